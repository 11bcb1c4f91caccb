//! One endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use api::{PathMode, Protocol};
use platform::{Endpoint, OnUnavailable, PathPolicy, QueueLimits, Route, Shadow, Target, Timeouts, UpstreamProtocol};
use units::RevisionKey;

use super::{Findings, RevisionFindings, Scene, Subject, kserve};
use crate::names::services_of;
use crate::objects::{InferenceService, Service};
use crate::route::seen::Sight;

impl Scene<'_> {
    pub(super) fn endpoint(&self, subject: &Subject<'_>, findings: &mut Findings) -> Endpoint {
        let spec = &*subject.spec;
        findings.never_direct = self.never_direct(subject);
        findings.beside = self.beside(subject).into_iter().map(|(name, _)| Arc::clone(name)).collect();
        for (target, revision) in spec.targets().zip(spec.revisions()) {
            let found = self.findings_of(subject, target, &revision);
            findings.revisions.insert(revision.name, found);
        }
        Endpoint {
            key: subject.key.clone(),
            generation: generation(subject),
            hosts: self.hosts(subject, findings),
            own_port: subject.object.status.activator_port.map(|port| SocketAddr::new(self.around.listen, port)),
            targets: spec
                .traffic
                .iter()
                .zip(spec.revisions())
                .map(|(target, revision)| Target {
                    revision,
                    percent: target.percent,
                    tag: target.tag.as_deref().map(Into::into),
                })
                .collect(),
            matches: spec.matches.as_slice().into(),
            sticky: spec.sticky.clone(),
            shadows: self.shadows(subject),
            upstream: self.upstream(spec),
            path: match findings.never_direct {
                None => PathPolicy::Auto,
                Some(_) => PathPolicy::Proxied,
            },
            route: self.route(subject),
            container_concurrency: spec.container_concurrency,
            timeouts: Timeouts {
                request: spec.timeouts.request,
                response_start: spec.timeouts.response_start,
                idle: spec.timeouts.idle,
            },
            queue: QueueLimits {
                max_requests: spec.queue.max_requests,
                max_bytes: spec.queue.max_bytes,
                max_wait: spec.queue.max_wait,
            },
            on_unavailable: match spec.on_unavailable {
                api::OnUnavailable::Fail => OnUnavailable::Fail,
                api::OnUnavailable::Fallback => OnUnavailable::Fallback,
            },
            answer_headers: spec.answer_headers,
        }
    }

    /// Those that no older endpoint has.
    fn hosts(&self, subject: &Subject<'_>, findings: &mut Findings) -> Vec<Arc<str>> {
        let mut hosts = Vec::new();
        for host in subject.spec.hosts.iter().map(|host| Arc::from(host.as_str())) {
            match self.around.claims.holder(&host) {
                Some(holder) if holder != subject.key => findings.hosts_of_others.push((host, holder.clone())),
                Some(_) | None => hosts.push(host),
            }
        }
        hosts
    }

    /// As the endpoint says, else as the port of the first revision that is there is named.
    fn upstream(&self, spec: &api::ModelEndpoint) -> UpstreamProtocol {
        let said = spec.port.as_ref().and_then(|port| port.protocol);
        let of_first = || spec.revisions().find_map(|key| self.deployment(&key)).map(|deployment| deployment.shape);
        let is_h2c = match said {
            Some(protocol) => protocol == Protocol::H2c,
            None => of_first().is_some_and(|shape| shape.speaks_h2c),
        };
        if is_h2c { UpstreamProtocol::H2c } else { UpstreamProtocol::Http1 }
    }

    fn never_direct(&self, subject: &Subject<'_>) -> Option<&'static str> {
        let spec = &*subject.spec;
        if spec.path == PathMode::Proxied {
            return Some("spec.path says proxied");
        }
        if !spec.shadows.is_empty() {
            return Some("it has a shadow, to which the activators send copies");
        }
        let mut revisions = spec.revisions();
        let (Some(revision), None) = (revisions.next(), revisions.next()) else {
            return Some("it has several revisions");
        };
        if !spec.matches.is_empty() {
            return Some("it has a match, which the activators look for");
        }
        if spec.sticky.is_some() {
            return Some("its clients are sticky, which the activators see to");
        }
        if self.owners.get(&revision) != Some(subject.key) {
            return Some("its Deployment belongs to an older endpoint");
        }
        let Some(deployment) = self.deployment(&revision) else { return Some("its Deployment is missing") };
        if self.inference_service(subject, &spec.traffic[0]).is_some_and(|service| service.stopped) {
            return Some("its InferenceService is stopped");
        }
        if deployment.recreates {
            return Some("its Deployment has the strategy Recreate");
        }
        if deployment.match_labels().is_none() {
            return Some("its Deployment selects pods in a way that a Service cannot");
        }
        if !deployment.is_to_have_sidecar() {
            return Some("its pods have no queue-proxy");
        }
        let lacks_it = self.pods_of(deployment).iter().any(|(_, pod)| !pod.shape.sidecar);
        match (lacks_it, deployment.shape.sidecar) {
            (false, _) => None,
            (true, true) => Some("one of its pods has no queue-proxy yet"),
            (true, false) => Some(
                "one of its pods has no queue-proxy: the webhook was not there when it was made, or left it alone, which \
                 an Event of its owner says",
            ),
        }
    }

    /// Those that are its own alone: copies for what another endpoint serves would count into its demand.
    fn shadows(&self, subject: &Subject<'_>) -> Arc<[Shadow]> {
        let of = |shadow: &api::Shadow| {
            let revision = RevisionKey::new(Arc::clone(&subject.key.namespace), shadow.target.revision.as_str());
            let is_own = self.owners.get(&revision) == Some(subject.key) && !self.served.contains(&revision);
            is_own.then(|| Shadow {
                revision,
                percent: shadow.percent,
                wake: shadow.wake,
                compare: shadow.compare.clone(),
            })
        };
        subject.spec.shadows.iter().filter_map(of).collect()
    }

    fn route(&self, subject: &Subject<'_>) -> Route {
        let services = services_of(&subject.spec).into_iter();
        let revision = subject.spec.revisions().next();
        let deployment = revision.and_then(|revision| self.deployment(&revision));
        Sight {
            services: services.filter_map(|name| self.service(subject, &name)).collect(),
            beside: self.beside(subject).into_iter().map(|(name, _)| self.slices_of(name)).collect(),
            own_port: subject.object.status.activator_port,
            activators: self.around.activators,
            // Also where the direct path is not allowed any more: it is what there is until that is changed.
            direct: deployment.and_then(|deployment| deployment.match_labels()),
        }
        .route()
    }

    /// Services of KServe's behind which Rouse is to stand too, until the path is direct: as what comes through one of
    /// them goes where the endpoint's own requests go, only of one that names nothing else.
    fn beside(&self, subject: &Subject<'_>) -> Vec<(&Arc<str>, &Service)> {
        let [target] = subject.spec.traffic.as_slice() else { return Vec::new() };
        let (Some(name), Some(revision)) = (&target.inference_service, subject.spec.revisions().next()) else {
            return Vec::new();
        };
        let is_up = self.inference_service(subject, target).is_some_and(|service| !service.stopped);
        let is_own = self.owners.get(&revision) == Some(subject.key);
        let deployment = self.deployment(&revision).filter(|_| is_up && is_own);
        let service = deployment.and_then(|of| kserve::service_of(self.around.seen, &subject.key.namespace, name, of));
        service.into_iter().collect()
    }

    pub(super) fn inference_service(
        &self,
        subject: &Subject<'_>,
        target: &api::TrafficTarget,
    ) -> Option<&InferenceService> {
        kserve::named(self.around.seen, &subject.key.namespace, target)
    }

    fn findings_of(
        &self,
        subject: &Subject<'_>,
        target: &api::TrafficTarget,
        revision: &RevisionKey,
    ) -> RevisionFindings {
        let owner = self.owners.get(revision);
        let deployment = self.deployment(revision);
        let service = self.inference_service(subject, target);
        let name = target.inference_service.as_deref();
        let bypasses = self.bypasses.get(revision).into_iter().flatten().map(|name| Arc::clone(name));
        let of_kserve = |name: &Arc<str>| {
            let key = (Arc::clone(&revision.namespace), Arc::clone(name));
            self.around.seen.services.get(&key).is_some_and(|service| service.predicts_for.is_some())
        };
        let (behind_kserves, bypassed_by) = bypasses.partition(of_kserve);
        let why_missing = name.and_then(|name| kserve::hindrance(name, service, deployment.is_some()));
        let scalers = self.scalers.get(&*revision.name).into_iter().flatten();
        RevisionFindings {
            is_missing: deployment.is_none() || why_missing.is_some(),
            why_missing,
            rival: name.zip(service).and_then(|(name, service)| kserve::rival(name, service)),
            passed_over: name.zip(service).and_then(|(name, service)| kserve::passed_over(name, service)),
            taken_by: owner.filter(|owner| *owner != subject.key).cloned(),
            bypassed_by,
            behind_kserves,
            scaled_by: scalers.map(|scaler| Arc::clone(&scaler.by)).collect(),
            without_sidecars: deployment.is_some_and(|deployment| {
                let lacks_it = || self.pods_of(deployment).iter().any(|(_, pod)| !pod.shape.sidecar);
                // Those that are older than the template's own sidecar are about to go.
                !deployment.is_to_have_sidecar() || !deployment.shape.sidecar && lacks_it()
            }),
            adopted: false,
        }
    }
}

/// Changes with whatever activators route by, and alike in every program: it is made of nothing but what the object says.
fn generation(subject: &Subject<'_>) -> u64 {
    let spec = u64::try_from(subject.generation).unwrap_or_default();
    (spec << 16) | u64::from(subject.object.status.activator_port.unwrap_or_default())
}
