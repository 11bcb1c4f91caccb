//! One revision.

use std::net::SocketAddr;
use std::sync::Arc;

use platform::{Layer, Replica, ReplicaState, Revision, Scale, Source, Trouble, Workload};
use units::{ConcurrencyLimit, ReplicaCount, RevisionKey};

use super::{Findings, Memory, Scene, Subject, kserve};
use crate::names::{ADOPT, ADOPTED_DOMAIN, PROXIED_PORT, scale_version};
use crate::objects::{Deployment, InferenceService, Pod};

impl Scene<'_> {
    pub(super) fn revision(
        &self,
        subject: &Subject<'_>,
        target: &api::TrafficTarget,
        key: RevisionKey,
        reachable: bool,
        memory: &Memory,
        findings: &mut Findings,
    ) -> Revision {
        let service = self.inference_service(subject, target);
        // One that is stopped is about to go, and what it has is not to be used any more.
        let deployment = self.deployment(&key).filter(|_| service.is_none_or(|service| !service.stopped));
        let pods = deployment.map(|deployment| self.pods_of(deployment)).unwrap_or_default();
        let adopted = is_adopted(subject, &key, deployment) || memory.was_at_zero(&key);
        if let Some(found) = findings.revisions.get_mut(&key.name) {
            found.adopted = adopted;
        }
        let limited = subject.spec.container_concurrency != ConcurrencyLimit::Unlimited;
        let own_port = subject.spec.port.as_ref().and_then(|port| port.container_port);
        let mut replicas: Vec<Replica> = pods.iter().map(|(name, pod)| replica(name, pod, own_port)).collect();
        replicas.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Revision {
            endpoint: subject.key.clone(),
            workload: deployment.map_or(Workload::Missing, workload),
            reachable,
            container_concurrency: subject.spec.container_concurrency,
            container_concurrency_from: if limited && !subject.spec.said.container_concurrency {
                Source::KServe
            } else {
                Source::Endpoint
            },
            sidecars: deployment.is_some_and(Deployment::is_to_have_sidecar)
                && pods.iter().all(|(_, pod)| pod.shape.sidecar),
            layers: layers(subject, target, deployment, service),
            adopted,
            // That takes more than one look: whoever draws knows it of the steward.
            contested: false,
            replicas,
            progress_deadline: deployment
                .map_or(api::Deployment::PROGRESS_DEADLINE, |deployment| deployment.progress_deadline),
            trouble: deployment.and_then(|deployment| trouble(deployment, &pods)),
            key,
        }
    }
}

fn workload(deployment: &Deployment) -> Workload {
    let replicas = ReplicaCount(deployment.replicas);
    let version = scale_version(&deployment.uid, &deployment.resource_version, replicas);
    Workload::Present { generation: deployment.template_generation, scale: Scale { replicas, version } }
}

fn layers(
    subject: &Subject<'_>,
    target: &api::TrafficTarget,
    deployment: Option<&Deployment>,
    service: Option<&InferenceService>,
) -> Vec<Layer> {
    let mut layers = Vec::with_capacity(6);
    let [of_annotations, of_fields] = service.map(kserve::layers).map_or([None, None], |layers| layers.map(Some));
    if let Some(deployment) = deployment {
        layers.push(Layer { source: Source::Deployment, values: deployment.annotations.clone() });
        layers.push(Layer { source: Source::PodTemplate, values: deployment.template_annotations.clone() });
    }
    layers.extend(of_annotations);
    layers.push(Layer { source: Source::Traffic, values: target.autoscaling.annotations() });
    layers.push(Layer { source: Source::Endpoint, values: subject.spec.autoscaling.annotations() });
    layers.extend(of_fields);
    layers
}

/// Was it made for Rouse, or has somebody said or written down that it may be taken down?
fn is_adopted(subject: &Subject<'_>, key: &RevisionKey, deployment: Option<&Deployment>) -> bool {
    let annotations = &subject.object.annotations;
    let says = |name: &str| annotations.get(name).is_some_and(|value| &**value == "true");
    let of_deployment = deployment.and_then(|deployment| deployment.annotations.get(ADOPT));
    says(ADOPT) || of_deployment.is_some_and(|value| value == "true") || says(&format!("{ADOPTED_DOMAIN}/{}", key.name))
}

fn replica(name: &Arc<str>, pod: &Pod, own_port: Option<u16>) -> Replica {
    let port = if pod.shape.sidecar { PROXIED_PORT } else { own_port.unwrap_or(pod.shape.model_port) };
    // Who is probed too early where only Kubernetes can tell would be used too early.
    let may_be_tried = match pod.state {
        ReplicaState::Ready | ReplicaState::Leaving => true,
        ReplicaState::Starting | ReplicaState::Unready => !pod.shape.only_platform_tells,
    };
    Replica {
        name: Arc::clone(name),
        address: pod.addresses.first().filter(|_| may_be_tried).map(|address| SocketAddr::new(*address, port)),
        encrypted: pod.shape.encrypted,
        state: pod.state,
        since: pod.since.moment,
        created: pod.created.moment,
        spawned: pod.spawned.map(|spawned| spawned.moment),
    }
}

/// Why its copies do not start; never of one that is to have none, or that has one which is ready.
fn trouble(deployment: &Deployment, pods: &[(&Arc<str>, &Pod)]) -> Option<Trouble> {
    let is_ready = |pod: &Pod| pod.state == ReplicaState::Ready;
    if deployment.replicas == 0 || pods.iter().any(|(_, pod)| is_ready(pod)) {
        return None;
    }
    let starting = || pods.iter().filter(|(_, pod)| pod.state != ReplicaState::Leaving);
    // The one that has tried most often tells most.
    let worst = starting().filter(|(_, pod)| pod.trouble.is_some()).max_by_key(|(_, pod)| pod.crashes());
    let words = worst.and_then(|(_, pod)| pod.trouble.clone()).or_else(|| deployment.failing.clone())?;
    let crashes_in_a_row = starting().map(|(_, pod)| pod.crashes()).max().unwrap_or_default();
    Some(Trouble { crashes_in_a_row, last_words: words })
}
