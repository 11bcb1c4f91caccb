//! What the watches have seen, in small structs of our own: written by `follow`, read by everything else here.
//!
//! The catalogue's boards are made from it (`picture`); the leader's hands (`route`, `steward`) look things up in it. What
//! a write depends on is read anew from the API server all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use units::{EndpointKey, RevisionKey};

use crate::objects::labels::Interned;
use crate::objects::{
    Autoscaled, ConfigMap, Deployment, EndpointObject, InferenceService, Kept, OwnPod, Pod, Service, Sight, Slice,
    Watched,
};
use crate::picture::Findings;
use crate::steward::Restraint;

/// A namespace and a name.
pub(crate) type Key = (Arc<str>, Arc<str>);

/// Everything seen. Shared by reference; each call is short, and none waits for the network.
#[derive(Debug)]
pub(crate) struct World {
    seen: RwLock<Seen>,
    /// Counts changes. Whoever follows looks at everything that is dirty since, see [`Self::changes`].
    changes: watch::Sender<u64>,
    dirty: Mutex<Dirty>,
    /// The namespaces that have an endpoint.
    namespaces: watch::Sender<BTreeSet<Arc<str>>>,
    /// Those in which one names an InferenceService.
    kserve: watch::Sender<BTreeSet<Arc<str>>>,
    /// What is to be said of each endpoint, beside what is put on the boards.
    findings: RwLock<BTreeMap<EndpointKey, Arc<Findings>>>,
    /// Revisions whose `replicas` others write too.
    restraints: RwLock<BTreeMap<RevisionKey, Restraint>>,
    /// Where autoscalers take streams.
    pub(crate) autoscalers: watch::Sender<Option<Arc<[SocketAddr]>>>,
}

/// Everything seen, by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Every `ModelEndpoint`, also those that are not understood.
    pub(crate) endpoints: BTreeMap<EndpointKey, Arc<EndpointObject>>,
    /// Deployments of namespaces that have an endpoint.
    pub(crate) deployments: BTreeMap<RevisionKey, Arc<Deployment>>,
    /// Pods of these namespaces, by namespace and name; without those that have ended.
    pub(crate) pods: BTreeMap<Key, Arc<Pod>>,
    /// Services of these namespaces; in an activator only those of endpoints.
    pub(crate) services: BTreeMap<Key, Arc<Service>>,
    /// EndpointSlices of ours, everywhere.
    pub(crate) slices: BTreeMap<Key, Arc<Slice>>,
    /// HorizontalPodAutoscalers of these namespaces: who else writes `replicas`. Not in an activator.
    pub(crate) autoscaled: BTreeMap<Key, Arc<Autoscaled>>,
    /// InferenceServices of namespaces that have an endpoint which names one.
    pub(crate) inference_services: BTreeMap<Key, Arc<InferenceService>>,
    /// Rouse's own pods, by name.
    pub(crate) own_pods: BTreeMap<Arc<str>, Arc<OwnPod>>,
    /// `config-autoscaler`, if there is one. Not in an activator.
    pub(crate) configs: BTreeMap<Arc<str>, Arc<ConfigMap>>,
    /// Kinds, and namespaces of them, that have been listed in full at least once.
    listed: BTreeSet<(Kind, Option<Arc<str>>)>,
    interned: Interned,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Endpoints,
    Deployments,
    Pods,
    Services,
    Slices,
    Autoscaled,
    InferenceServices,
    OwnPods,
    Config,
}

/// What changed since it was last drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// Namespaces in which anything changed.
    pub(crate) namespaces: BTreeSet<Arc<str>>,
    /// Endpoints, in any of them.
    pub(crate) endpoints: bool,
    /// Rouse's own pods, or who stands in our slices.
    pub(crate) own: bool,
    pub(crate) config: bool,
}

impl Seen {
    /// Has it been listed in full, in this namespace or, without one, everywhere?
    pub(crate) fn is_listed(&self, what: Kind, namespace: Option<&Arc<str>>) -> bool {
        self.listed.contains(&(what, namespace.cloned())) || self.listed.contains(&(what, None))
    }

    /// The namespaces that have an endpoint.
    pub(crate) fn namespaces(&self) -> BTreeSet<Arc<str>> {
        self.endpoints.keys().map(|key| Arc::clone(&key.namespace)).collect()
    }

    /// Those in which one names an InferenceService.
    fn namespaces_of_kserve(&self) -> BTreeSet<Arc<str>> {
        let those = self.endpoints.iter().filter(|(_, object)| object.may_go_by_kserve());
        those.map(|(key, _)| Arc::clone(&key.namespace)).collect()
    }

    /// Does an endpoint of this namespace name an InferenceService, or may it?
    pub(crate) fn names_kserve(&self, namespace: &Arc<str>) -> bool {
        let mut here = self.endpoints.range(EndpointKey::new(Arc::clone(namespace), "")..);
        here.by_ref().take_while(|(key, _)| key.namespace == *namespace).any(|(_, object)| object.may_go_by_kserve())
    }

    pub(crate) fn has_endpoints(&self, namespace: &Arc<str>) -> bool {
        let first = EndpointKey::new(Arc::clone(namespace), "");
        self.endpoints.range(first..).next().is_some_and(|(key, _)| key.namespace == *namespace)
    }

    /// Puts one thing. Says whether anything changed by it.
    fn put<K: Kept>(&mut self, key: &K::Key, mut thing: K, sight: Sight) -> bool {
        thing.share(&mut self.interned);
        let slots = K::slots(self);
        let before = slots.get(key);
        let thing = thing.settled(before.map(|before| &**before), sight);
        if before.is_some_and(|before| **before == thing) {
            return false;
        }
        slots.insert(key.clone(), Arc::new(thing));
        true
    }
}

impl World {
    /// Nothing has been seen.
    pub(crate) fn new() -> Self {
        Self {
            seen: RwLock::new(Seen::default()),
            changes: watch::Sender::new(0),
            dirty: Mutex::default(),
            namespaces: watch::Sender::default(),
            kserve: watch::Sender::default(),
            findings: RwLock::default(),
            restraints: RwLock::default(),
            autoscalers: watch::Sender::new(None),
        }
    }

    /// Looks. Keep it short: watches wait meanwhile.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.read())
    }

    /// Tells of changes. Several in a row are one.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells which namespaces have an endpoint.
    pub(crate) fn namespaces(&self) -> watch::Receiver<BTreeSet<Arc<str>>> {
        self.namespaces.subscribe()
    }

    /// Tells in which namespaces an endpoint names an InferenceService.
    pub(crate) fn kserve(&self) -> watch::Receiver<BTreeSet<Arc<str>>> {
        self.kserve.subscribe()
    }

    /// What changed since this was asked last.
    pub(crate) fn take_dirty(&self) -> Dirty {
        std::mem::take(&mut self.dirty.lock())
    }

    /// An endpoint as it was seen last.
    pub(crate) fn endpoint(&self, key: &EndpointKey) -> Option<Arc<EndpointObject>> {
        self.look(|seen| seen.endpoints.get(key).cloned())
    }

    /// A revision's Deployment as it was seen last.
    pub(crate) fn deployment(&self, key: &RevisionKey) -> Option<Arc<Deployment>> {
        self.look(|seen| seen.deployments.get(key).cloned())
    }

    /// Is there certainly no such Service? `false` as long as those of the namespace are not known.
    pub(crate) fn knows_of_no_service(&self, namespace: &Arc<str>, name: &str) -> bool {
        self.look(|seen| {
            seen.is_listed(Kind::Services, Some(namespace))
                && !seen.services.contains_key(&(Arc::clone(namespace), Arc::from(name)))
        })
    }

    /// What is to be said of an endpoint, beside what is on the boards. `None` until it was looked at.
    pub(crate) fn findings(&self, key: &EndpointKey) -> Option<Arc<Findings>> {
        self.findings.read().get(key).cloned()
    }

    /// Replaces what is to be said of the endpoints of a namespace, and wakes whoever follows.
    pub(crate) fn set_findings(&self, namespace: &Arc<str>, found: BTreeMap<EndpointKey, Findings>) {
        let mut findings = self.findings.write();
        let mut changed = false;
        findings.retain(|key, _| {
            let stays = key.namespace != *namespace || found.contains_key(key);
            changed |= !stays;
            stays
        });
        for (key, found) in found {
            if findings.get(&key).is_none_or(|known| **known != found) {
                findings.insert(key, Arc::new(found));
                changed = true;
            }
        }
        drop(findings);
        if changed {
            self.tell();
        }
    }

    /// What Rouse does not do with a revision, because others write its `replicas` too.
    pub(crate) fn restraint(&self, key: &RevisionKey) -> Option<Restraint> {
        self.restraints.read().get(key).cloned()
    }

    /// Replaces all of that, and has what depends on it drawn anew.
    pub(crate) fn set_restraints(&self, restraints: BTreeMap<RevisionKey, Restraint>) {
        let before = {
            let mut known = self.restraints.write();
            if *known == restraints {
                return;
            }
            std::mem::replace(&mut *known, restraints.clone())
        };
        let differs = |key: &&RevisionKey| before.get(*key) != restraints.get(*key);
        let namespaces: BTreeSet<Arc<str>> =
            before.keys().chain(restraints.keys()).filter(differs).map(|key| Arc::clone(&key.namespace)).collect();
        self.dirty.lock().namespaces.extend(namespaces);
        self.tell();
    }

    /// The addresses of these activators, those that have one, by the UID of their pods.
    pub(crate) fn addresses_of(&self, uids: &[Arc<str>]) -> Vec<(Arc<str>, Vec<IpAddr>)> {
        self.look(|seen| {
            let of = |uid: &&Arc<str>| seen.own_pods.values().find(|pod| pod.uid == **uid);
            uids.iter().filter_map(|uid| of(&uid).map(|pod| (Arc::clone(uid), pod.addresses.clone()))).collect()
        })
    }

    /// A watch told of one thing.
    pub(crate) fn put<K: Kept>(&self, thing: Watched<K>, sight: Sight) {
        let Watched { namespace, name, kept, .. } = thing;
        let key = K::key(&namespace, &name);
        self.note::<K>(|seen, namespaces| {
            if seen.put(&key, kept, sight) {
                namespaces.insert(K::namespace_of(&key).cloned());
            }
        });
    }

    /// A watch told that one thing is gone.
    pub(crate) fn gone<K: Kept>(&self, thing: &Watched<K>) {
        let key = K::key(&thing.namespace, &thing.name);
        self.note::<K>(|seen, namespaces| {
            if K::slots(seen).remove(&key).is_some() {
                namespaces.insert(K::namespace_of(&key).cloned());
            }
        });
    }

    /// A watch told everything there is, in one namespace or everywhere: what it did not tell of is gone.
    pub(crate) fn all<K: Kept>(&self, within: Option<&Arc<str>>, things: Vec<Watched<K>>, sight: Sight) {
        let things: BTreeMap<K::Key, K> =
            things.into_iter().map(|thing| (K::key(&thing.namespace, &thing.name), thing.kept)).collect();
        self.note::<K>(|seen, namespaces| {
            K::slots(seen).retain(|key, _| {
                let of = K::namespace_of(key);
                let stays = things.contains_key(key) || (within.is_some() && of != within);
                if !stays {
                    namespaces.insert(of.cloned());
                }
                stays
            });
            for (key, thing) in things {
                if seen.put(&key, thing, sight) {
                    namespaces.insert(K::namespace_of(&key).cloned());
                }
            }
            if seen.listed.insert((K::WHAT, within.cloned())) {
                match within {
                    Some(namespace) => _ = namespaces.insert(Some(Arc::clone(namespace))),
                    // What waited for this stands in every namespace.
                    None => namespaces.extend(seen.namespaces().into_iter().map(Some).chain([None])),
                }
            }
        });
    }

    /// Nobody watches this namespace any more, so what was seen of it says nothing.
    pub(crate) fn forget<K: Kept>(&self, namespace: &Arc<str>) {
        self.note::<K>(|seen, namespaces| {
            seen.listed.remove(&(K::WHAT, Some(Arc::clone(namespace))));
            K::slots(seen).retain(|key, _| K::namespace_of(key) != Some(namespace));
            namespaces.insert(Some(Arc::clone(namespace)));
        });
    }

    /// Changes what was seen of one kind, notes where, and wakes whoever follows.
    fn note<K: Kept>(&self, how: impl FnOnce(&mut Seen, &mut BTreeSet<Option<Arc<str>>>)) {
        let mut touched = BTreeSet::new();
        let mut seen = self.seen.write();
        how(&mut seen, &mut touched);
        if touched.is_empty() {
            return;
        }
        if K::WHAT == Kind::Endpoints {
            let replace =
                |known: &mut BTreeSet<Arc<str>>, new: BTreeSet<Arc<str>>| std::mem::replace(known, new) != *known;
            self.namespaces.send_if_modified(|known| replace(known, seen.namespaces()));
            self.kserve.send_if_modified(|known| replace(known, seen.namespaces_of_kserve()));
        }
        drop(seen);
        let mut dirty = self.dirty.lock();
        match K::WHAT {
            Kind::OwnPods | Kind::Slices => dirty.own = true,
            Kind::Config => dirty.config = true,
            Kind::Endpoints => dirty.endpoints = true,
            Kind::Deployments | Kind::Pods | Kind::Services | Kind::Autoscaled => {}
            Kind::InferenceServices => {}
        }
        dirty.namespaces.extend(touched.into_iter().flatten());
        drop(dirty);
        self.tell();
    }

    /// Puts there what a test wants.
    #[cfg(test)]
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Seen) -> T) -> T {
        how(&mut self.seen.write())
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}
