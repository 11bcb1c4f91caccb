//! A revision that no endpoint names any more is not left at zero: nobody would wake it.
//!
//! There is no finalizer on an endpoint for this: it would make a deletion, and that of its whole namespace, hang for as
//! long as Rouse is away. Instead the leader keeps a record of what endpoints name, in a ConfigMap of Rouse's own, and
//! the next one reads it: what stands in it and is named no more was let go of meanwhile.
//!
//! Without a record nothing would tell it from a Deployment that its owner has put to rest: a zero that comes through
//! `scale` is left out of that object, so that by `managedFields` nobody has written it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use platform::{Actuator, ScaleError, ScaleOrder};
use serde_json::json;
use tracing::info;
use units::{EndpointKey, Moment, ReplicaCount, RevisionKey};

use super::work::Work;
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::names::scale_version;
use crate::objects::{Deployment, EndpointObject, Watched};
use crate::site::{MANAGER, REVISIONS};
use crate::world::Seen;

/// So long after it was let go of: whoever deletes an endpoint may be about to delete the Deployment too, or to name it
/// in another endpoint. Also the pause between two writes, or two tries to read, of the record.
const SETTLE: Duration = Duration::from_secs(5);

/// Revisions that are not to be left at zero.
pub(super) type Record = BTreeSet<RevisionKey>;

/// Which revisions are named, and which were.
#[derive(Debug)]
pub(super) struct Releases {
    named: BTreeMap<EndpointKey, Vec<RevisionKey>>,
    /// Let go of, and when each is to be raised.
    released: BTreeMap<RevisionKey, Moment>,
    /// The leadership that has read the record.
    recalled: Option<u64>,
    /// What stands in the record, if that is known.
    recorded: Option<Record>,
    /// When the record was read or written last, or was to be.
    tried_at: Option<Moment>,
}

/// What a spec names, as far as it is known.
fn known(spec: &api::ModelEndpoint) -> Vec<RevisionKey> {
    let targets = spec.targets().zip(spec.revisions());
    targets.filter(|(target, _)| !target.is_unknown()).map(|(_, revision)| revision).collect()
}

impl Releases {
    pub(super) fn new() -> Self {
        Self { named: BTreeMap::new(), released: BTreeMap::new(), recalled: None, recorded: None, tried_at: None }
    }

    /// `resolved`: the spec with the Deployments of InferenceServices, of an endpoint that names any.
    pub(super) fn look(
        &mut self,
        now: Moment,
        seen: &Seen,
        resolved: impl Fn(&EndpointKey) -> Option<Arc<api::ModelEndpoint>>,
    ) {
        let mut named = BTreeMap::new();
        for (key, object) in &seen.endpoints {
            // One that is not understood any more still means what it named before.
            let revisions = match &object.spec {
                Ok(_) if object.names_kserve() => {
                    match resolved(key).map_or_else(|| self.named.remove(key), |spec| Some(known(&spec))) {
                        Some(revisions) => revisions,
                        // Nobody has looked yet.
                        None => continue,
                    }
                }
                Ok(spec) => known(spec),
                Err(_) => self.named.remove(key).unwrap_or_default(),
            };
            named.insert(key.clone(), revisions);
        }
        let before = std::mem::replace(&mut self.named, named);
        let now_named = self.all_named();
        self.released.retain(|revision, _| !now_named.contains(revision));
        for revision in before.into_values().flatten().filter(|revision| !now_named.contains(revision)) {
            self.released.entry(revision).or_insert_with(|| now.plus(SETTLE));
        }
    }

    fn all_named(&self) -> Record {
        self.named.values().flatten().cloned().collect()
    }

    /// What the leader of this epoch is to do about it now.
    pub(super) fn due(&mut self, now: Moment, epoch: u64, seen: &Seen) -> Vec<Work> {
        let mut work = Vec::new();
        let may_try = self.tried_at.is_none_or(|last| SETTLE <= now.since(last));
        if self.recalled != Some(epoch) {
            // Another may have written it since this program led last.
            self.recorded = None;
            if may_try {
                self.tried_at = Some(now);
                work.push(Work::Recall { epoch });
            }
            return work;
        }
        // What is still to be raised stays in it until it is, whoever leads then.
        let mut record = self.all_named();
        record.extend(self.released.keys().cloned());
        if may_try && self.recorded.as_ref() != Some(&record) {
            self.tried_at = Some(now);
            self.recorded = Some(record.clone());
            work.push(Work::Record { record });
        }
        // One that is not understood, and was not when this program began, may mean any of its namespace.
        let unclear = |revision: &RevisionKey| {
            let mut here = seen.endpoints.iter().filter(|(key, _)| key.namespace == revision.namespace);
            let is_unclear = |key: &EndpointKey, object: &EndpointObject| match self.named.get(key) {
                None => object.spec.is_err() || object.names_kserve(),
                Some(named) => object.spec.is_err() && named.is_empty(),
            };
            here.any(|(key, object)| is_unclear(key, object))
        };
        let due: Vec<RevisionKey> = self
            .released
            .iter()
            .filter(|(revision, at)| **at <= now && !unclear(revision))
            .map(|(it, _)| it.clone())
            .collect();
        for revision in due {
            self.released.remove(&revision);
            work.push(Work::Raise { revision, epoch });
        }
        work
    }

    /// What was due and under way was given up. What came of it is not known: the record is read again, in which stands
    /// whatever was not raised.
    pub(super) fn interrupted(&mut self) {
        self.recalled = None;
        self.tried_at = None;
    }

    /// Something came of what was due.
    pub(super) fn ended(&mut self, now: Moment, end: End) {
        match end {
            End::Recalled { epoch, record } => {
                let named = self.all_named();
                for revision in record.iter().filter(|revision| !named.contains(revision)) {
                    self.released.entry(revision.clone()).or_insert_with(|| now.plus(SETTLE));
                }
                (self.recalled, self.recorded, self.tried_at) = (Some(epoch), Some(record), None);
            }
            End::NotRecorded => self.recorded = None,
            End::NotRaised(revision) => drop(self.released.insert(revision, now.plus(SETTLE))),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum End {
    /// The record was read.
    Recalled { epoch: u64, record: Record },
    /// It could not be written.
    NotRecorded,
    /// A revision could not be raised.
    NotRaised(RevisionKey),
}

/// Reads the record. It has a line for each namespace, with the revisions in it.
pub(super) async fn recall(cluster: &Cluster) -> Result<Record, Fault> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.patient.clone(), &cluster.site.namespace);
    let map = maps.get_opt(REVISIONS).await.map_err(|error| Fault::of(&error))?;
    let mut record = Record::new();
    for (namespace, names) in map.and_then(|map| map.data).unwrap_or_default() {
        let namespace: Arc<str> = namespace.into();
        record.extend(names.split_whitespace().map(|name| RevisionKey::new(Arc::clone(&namespace), name)));
    }
    Ok(record)
}

/// Writes the record in the place of the one before.
pub(super) async fn record(cluster: &Cluster, record: &Record) -> Result<(), Fault> {
    let mut data: BTreeMap<&str, String> = BTreeMap::new();
    for revision in record {
        let names = data.entry(&revision.namespace).or_default();
        if !names.is_empty() {
            names.push(' ');
        }
        names.push_str(&revision.name);
    }
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": REVISIONS, "namespace": &*cluster.site.namespace },
        "data": data,
    });
    let maps: Api<ConfigMap> = Api::namespaced(cluster.patient.clone(), &cluster.site.namespace);
    // Applied, so that what was in it and is not said again goes.
    let applied = maps.patch(REVISIONS, &PatchParams::apply(MANAGER).force(), &Patch::Apply(map)).await;
    applied.map(drop).map_err(|error| Fault::of(&error))
}

/// Raises a revision if it is at zero.
pub(super) async fn raise(
    cluster: &Cluster,
    hands: &dyn Actuator,
    revision: &RevisionKey,
    epoch: u64,
) -> Result<(), Fault> {
    let deployments: Api<Watched<Deployment>> = Api::namespaced(cluster.patient.clone(), &revision.namespace);
    let only = ListParams::default().fields(&format!("metadata.name={}", revision.name));
    let found = deployments.list(&only).await.map_err(|error| Fault::of(&error))?;
    for object in found.items.iter().filter(|object| object.kept.replicas == 0) {
        order(hands, revision, &object.kept, epoch).await?;
    }
    Ok(())
}

async fn order(hands: &dyn Actuator, revision: &RevisionKey, deployment: &Deployment, epoch: u64) -> Result<(), Fault> {
    let version = scale_version(&deployment.uid, &deployment.resource_version, ReplicaCount::ZERO);
    let order = ScaleOrder {
        revision: revision.clone(),
        to: ReplicaCount(1),
        epoch,
        expect: Some(version),
        victims: Vec::new(),
    };
    match hands.scale(order).await {
        Ok(_) => {
            info!(%revision, "no endpoint names it any more, and it was at zero: it has one replica now");
            Ok(())
        }
        Err(ScaleError::Gone) => Ok(()),
        Err(error) => Err(Fault::Unknown { why: error.to_string() }),
    }
}
