//! From what was seen to endpoints and revisions. Pure: what was seen and the time come in, what is to stand on the boards
//! and what is to be said of it come out.
//!
//! A namespace is drawn as a whole, since its endpoints vie for its Deployments. `index` finds pods by labels, so that a
//! namespace costs what it holds and not its square; `claims` says who keeps a host, which is asked across namespaces;
//! `own` is about Rouse's own pods; `kserve` says what an InferenceService means for an endpoint that names one; `endpoint` and `revision` draw one of each.

pub(crate) mod claims;
mod endpoint;
mod findings;
mod index;
pub(crate) mod kserve;
pub(crate) mod own;
mod revision;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use platform::{Endpoint, Revision};
use units::{EndpointKey, RevisionKey};

use crate::objects::{Autoscaled, Deployment, EndpointObject, Pod, Service, Slice};
use crate::world::Seen;
use claims::Claims;
pub(crate) use findings::{Findings, RevisionFindings};
use index::ByLabel;
use kserve::Predictors;

/// What bears on every namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) claims: &'a Claims,
    /// Activators' UIDs by address.
    pub(crate) activators: &'a BTreeMap<IpAddr, Arc<str>>,
    /// Where own ports are on an activator.
    pub(crate) listen: IpAddr,
}

/// What is remembered of what was drawn before, in this run.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Of each endpoint the last spec without a fault, and its generation; by UID, since a new one of its name is another.
    good: BTreeMap<EndpointKey, (Arc<str>, i64, Arc<api::ModelEndpoint>)>,
    /// Deployments by UID that were at zero when they were found.
    found_at_zero: BTreeMap<RevisionKey, (Arc<str>, bool)>,
}

/// A namespace.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Drawn {
    /// Each with its UID: another one under the same name is another endpoint.
    pub(crate) endpoints: Vec<(Arc<str>, Endpoint)>,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) findings: BTreeMap<EndpointKey, Findings>,
}

/// What was seen of one namespace, so that each thing is found at once.
struct Scene<'a> {
    around: Around<'a>,
    pods: ByLabel<'a, (&'a Arc<str>, &'a Pod)>,
    slices: BTreeMap<&'a str, Vec<&'a Slice>>,
    scalers: BTreeMap<&'a str, Vec<&'a Autoscaled>>,
    /// Services of others, by the Deployments whose pods they select.
    bypasses: BTreeMap<&'a RevisionKey, Vec<&'a Arc<str>>>,
    /// To whom each Deployment belongs that an endpoint names.
    owners: BTreeMap<RevisionKey, EndpointKey>,
    /// Those that stand in the `traffic` of any endpoint.
    served: BTreeSet<RevisionKey>,
}

/// One endpoint and what counts of it.
struct Subject<'a> {
    key: &'a EndpointKey,
    object: &'a EndpointObject,
    spec: Arc<api::ModelEndpoint>,
    /// `metadata.generation` of that spec.
    generation: i64,
}

/// Draws a namespace that has been listed in full.
pub(crate) fn draw(around: Around<'_>, namespace: &Arc<str>, memory: &mut Memory) -> Drawn {
    let mut drawn = Drawn::default();
    let mut subjects = memory.subjects(around.seen, namespace, &mut drawn.findings);
    resolve(around.seen, namespace, &mut subjects, &mut drawn.findings);
    let scene = Scene::of(around, namespace, &subjects);
    memory.look(around.seen, namespace, &scene.owners);
    for subject in &subjects {
        let mut findings = drawn.findings.remove(subject.key).unwrap_or_default();
        let endpoint = scene.endpoint(subject, &mut findings);
        for (position, (target, revision)) in subject.spec.targets().zip(subject.spec.revisions()).enumerate() {
            if scene.owners.get(&revision) == Some(subject.key) {
                let is_shadow = subject.spec.traffic.len() <= position;
                let reachable = is_shadow || endpoint.is_reachable(position);
                drawn.revisions.push(scene.revision(subject, target, revision, reachable, memory, &mut findings));
            }
        }
        drawn.endpoints.push((Arc::clone(&subject.object.uid), endpoint));
        drawn.findings.insert(subject.key.clone(), findings);
    }
    drawn
}

/// Puts the Deployments of InferenceServices in their place.
fn resolve(
    seen: &Seen,
    namespace: &Arc<str>,
    subjects: &mut [Subject<'_>],
    findings: &mut BTreeMap<EndpointKey, Findings>,
) {
    if !seen.names_kserve(namespace) {
        return;
    }
    let predictors = Predictors::of(seen, namespace);
    for subject in subjects {
        let Some(spec) = kserve::resolved(seen, namespace, &predictors, &subject.spec) else { continue };
        subject.spec = Arc::new(spec);
        findings.entry(subject.key.clone()).or_default().resolved = Some(Arc::clone(&subject.spec));
    }
}

impl Memory {
    /// The endpoints of a namespace that have a spec to go by, the oldest first.
    fn subjects<'a>(
        &mut self,
        seen: &'a Seen,
        namespace: &Arc<str>,
        findings: &mut BTreeMap<EndpointKey, Findings>,
    ) -> Vec<Subject<'a>> {
        let mut subjects = Vec::new();
        let mut known = BTreeSet::new();
        for (key, object) in within(&seen.endpoints, namespace) {
            if object.leaving {
                continue;
            }
            known.insert(key);
            let found = findings.entry(key.clone()).or_default();
            let good = match &object.spec {
                Ok(spec) => Some((object.generation, Arc::clone(spec))),
                Err(faults) => {
                    found.faults = Some(Arc::clone(faults));
                    let last = self.good.get(key).filter(|(uid, ..)| *uid == object.uid);
                    found.keeps_last_good = last.is_some();
                    last.map(|(_, generation, spec)| (*generation, Arc::clone(spec)))
                }
            };
            if let Some((generation, spec)) = good {
                self.good.insert(key.clone(), (Arc::clone(&object.uid), generation, Arc::clone(&spec)));
                subjects.push(Subject { key, object, spec, generation });
            }
        }
        self.good.retain(|key, _| key.namespace != *namespace || known.contains(key));
        subjects.sort_by_key(|subject| (subject.object.created, Arc::clone(&subject.object.uid)));
        subjects
    }

    /// Notes which Deployments were at zero when they were found.
    fn look(&mut self, seen: &Seen, namespace: &Arc<str>, owners: &BTreeMap<RevisionKey, EndpointKey>) {
        self.found_at_zero.retain(|key, _| key.namespace != *namespace || owners.contains_key(key));
        for key in owners.keys() {
            let Some(deployment) = seen.deployments.get(key) else {
                self.found_at_zero.remove(key);
                continue;
            };
            let known = self.found_at_zero.get(key).filter(|(uid, _)| *uid == deployment.uid);
            // Later at zero is as good: whoever took it there needed nobody's leave.
            let at_zero = known.is_some_and(|(_, at_zero)| *at_zero) || deployment.replicas == 0;
            self.found_at_zero.insert(key.clone(), (Arc::clone(&deployment.uid), at_zero));
        }
    }

    fn was_at_zero(&self, key: &RevisionKey) -> bool {
        self.found_at_zero.get(key).is_some_and(|(_, at_zero)| *at_zero)
    }
}

impl<'a> Scene<'a> {
    fn of(around: Around<'a>, namespace: &Arc<str>, subjects: &[Subject<'_>]) -> Self {
        let seen = around.seen;
        let mut owners = BTreeMap::new();
        // The oldest come first, and keep what they name.
        for subject in subjects {
            for revision in subject.spec.revisions() {
                owners.entry(revision).or_insert_with(|| subject.key.clone());
            }
        }
        let of_traffic = |subject: &Subject<'_>| {
            let revisions: Vec<RevisionKey> = subject.spec.revisions().take(subject.spec.traffic.len()).collect();
            revisions
        };
        let served = subjects.iter().flat_map(of_traffic).collect();
        let deployments = || within(&seen.deployments, namespace);
        let pods = within(&seen.pods, namespace).filter(|(_, pod)| !pod.ended);
        let mut slices: BTreeMap<&str, Vec<&Slice>> = BTreeMap::new();
        for (_, slice) in within(&seen.slices, namespace) {
            slices.entry(&slice.service).or_default().push(slice);
        }
        let mut scalers: BTreeMap<&str, Vec<&Autoscaled>> = BTreeMap::new();
        for (_, scaler) in within(&seen.autoscaled, namespace) {
            scalers.entry(&scaler.deployment).or_default().push(scaler);
        }
        let templates = ByLabel::of(deployments().map(|(key, deployment)| (&deployment.template_labels, key)));
        let mut bypasses: BTreeMap<&RevisionKey, Vec<&Arc<str>>> = BTreeMap::new();
        for ((_, name), service) in within(&seen.services, namespace) {
            if service.owner.is_some() || service.selector.is_empty() {
                continue;
            }
            for revision in templates.with(&service.selector) {
                bypasses.entry(revision).or_default().push(name);
            }
        }
        Self {
            around,
            pods: ByLabel::of(pods.map(|((_, name), pod)| (&pod.labels, (name, &**pod)))),
            slices,
            scalers,
            bypasses,
            owners,
            served,
        }
    }

    /// The pods of a Deployment. That their labels match is enough: Kubernetes sees to it that no other pods have them.
    fn pods_of(&self, deployment: &Deployment) -> Vec<(&'a Arc<str>, &'a Pod)> {
        let mut pods: Vec<_> = if deployment.selector.labels().is_empty() {
            self.pods.all().collect()
        } else {
            self.pods.with(deployment.selector.labels()).collect()
        };
        pods.retain(|(_, pod)| deployment.selector.selects(&pod.labels));
        pods
    }

    fn deployment(&self, key: &RevisionKey) -> Option<&'a Deployment> {
        self.around.seen.deployments.get(key).map(|deployment| &**deployment)
    }

    /// A Service of this endpoint's own, and what of ours stands behind it.
    fn service(&self, subject: &Subject<'_>, name: &str) -> Option<(&'a Service, Vec<&'a Slice>)> {
        let key = (Arc::clone(&subject.key.namespace), Arc::from(name));
        let service = self.around.seen.services.get(&key)?;
        let is_own = service.owner.as_ref() == Some(&subject.object.uid);
        is_own.then(|| (&**service, self.slices_of(name)))
    }

    /// What of ours stands behind a Service.
    fn slices_of(&self, service: &str) -> Vec<&'a Slice> {
        self.slices.get(service).cloned().unwrap_or_default()
    }
}

/// Those of a namespace, in a map whose keys begin with it.
fn within<'a, K: FirstOf, T>(
    all: &'a BTreeMap<K, Arc<T>>,
    namespace: &Arc<str>,
) -> impl Iterator<Item = (&'a K, &'a Arc<T>)> + use<'a, K, T> {
    let namespace = Arc::clone(namespace);
    all.range(K::first_of(&namespace)..).take_while(move |(key, _)| *key.namespace() == namespace)
}

/// Keys that sort by namespace first.
trait FirstOf: Ord {
    /// Lies before every key of that namespace, and after every key of those before it.
    fn first_of(namespace: &Arc<str>) -> Self;

    fn namespace(&self) -> &Arc<str>;
}

impl FirstOf for EndpointKey {
    fn first_of(namespace: &Arc<str>) -> Self {
        Self::new(Arc::clone(namespace), "")
    }

    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }
}

impl FirstOf for RevisionKey {
    fn first_of(namespace: &Arc<str>) -> Self {
        Self::new(Arc::clone(namespace), "")
    }

    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }
}

impl FirstOf for (Arc<str>, Arc<str>) {
    fn first_of(namespace: &Arc<str>) -> Self {
        (Arc::clone(namespace), Arc::default())
    }

    fn namespace(&self) -> &Arc<str> {
        &self.0
    }
}

#[cfg(test)]
mod tests;
