//! A revision that no endpoint names any more is not left at zero: nobody would wake it.
//!
//! There is no finalizer on an endpoint for this: it would make a deletion, and that of its whole namespace, hang for as
//! long as Rouse is away. What is let go of while no autoscaler runs stays as it is: at zero a Deployment does not say who
//! wrote that (nobody owns a field that is not there), and raising what a person has put to rest would be worse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use platform::{Actuator, ScaleError, ScaleOrder};
use tracing::{info, warn};
use units::{EndpointKey, Moment, ReplicaCount, RevisionKey};

use super::work::Work;
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::names::scale_version;
use crate::objects::{Deployment, Watched};
use crate::world::Seen;

/// So long after it was let go of: whoever deletes an endpoint may be about to delete the Deployment too, or to name it
/// in another endpoint.
const SETTLE: Duration = Duration::from_secs(5);

/// Which revisions are named, and which were.
#[derive(Debug)]
pub(super) struct Releases {
    named: BTreeMap<EndpointKey, Vec<RevisionKey>>,
    /// Let go of, and when each is to be raised.
    released: BTreeMap<RevisionKey, Moment>,
}

impl Releases {
    pub(super) fn new() -> Self {
        Self { named: BTreeMap::new(), released: BTreeMap::new() }
    }

    pub(super) fn look(&mut self, now: Moment, seen: &Seen) {
        let mut named = BTreeMap::new();
        for (key, object) in &seen.endpoints {
            // One that is not understood any more still means what it named before.
            let revisions = match &object.spec {
                Ok(spec) => spec.revisions().collect(),
                Err(_) => self.named.remove(key).unwrap_or_default(),
            };
            named.insert(key.clone(), revisions);
        }
        let before = std::mem::replace(&mut self.named, named);
        let now_named: BTreeSet<&RevisionKey> = self.named.values().flatten().collect();
        self.released.retain(|revision, _| !now_named.contains(revision));
        for revision in before.into_values().flatten().filter(|revision| !now_named.contains(revision)) {
            self.released.entry(revision).or_insert_with(|| now.plus(SETTLE));
        }
    }

    /// What the leader of this epoch is to do about it now.
    pub(super) fn due(&mut self, now: Moment, epoch: u64) -> Vec<Work> {
        let due = self.released.extract_if(.., |_, at| *at <= now);
        due.map(|(revision, _)| Work::Raise { revision, epoch }).collect()
    }

    /// It could not be done.
    pub(super) fn again(&mut self, now: Moment, revision: RevisionKey) {
        self.released.insert(revision, now.plus(SETTLE));
    }
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
        order(hands, revision, &object.kept, epoch).await;
    }
    Ok(())
}

async fn order(hands: &dyn Actuator, revision: &RevisionKey, deployment: &Deployment, epoch: u64) {
    let version = scale_version(&deployment.uid, &deployment.resource_version, ReplicaCount::ZERO);
    let order = ScaleOrder {
        revision: revision.clone(),
        to: ReplicaCount(1),
        epoch,
        expect: Some(version),
        victims: Vec::new(),
    };
    match hands.scale(order).await {
        Ok(_) => info!(%revision, "no endpoint names it any more, and it was at zero: it has one replica now"),
        Err(ScaleError::Gone) => {}
        Err(error) => warn!(%revision, %error, "it was let go of at zero, and could not be raised"),
    }
}
