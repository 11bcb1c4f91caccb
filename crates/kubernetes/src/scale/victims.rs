//! Which pods go first when there are to be fewer: the idlest.
//!
//! A Deployment takes no names, but its ReplicaSets take the cheapest of their ready pods first
//! ([pod deletion cost](https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost)). So those
//! that are to go are made the cheapest right before there are to be fewer. It is a wish: a ReplicaSet takes pods that are
//! not ready before any other, a rolling update spreads the loss over two ReplicaSets, and an order that is refused leaves
//! its marks behind until the next one. Whoever goes drains, so what comes of an unheeded wish is a longer wait.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::Api;
use kube::api::{Patch, PatchParams};
use platform::{ReplicaState, ScaleOrder};
use serde_json::json;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::actuator::Hands;
use crate::names::DELETION_COST;
use crate::objects::Pod;
use crate::site::MANAGER;
use crate::world::Seen;

/// What is written into who is to go: nothing is cheaper.
const CHEAPEST: i32 = i32::MIN;

/// Marking takes no longer: an order has `PROMPT` for all of it, and what is not marked by then
/// is the ReplicaSet's to choose.
const MARKING: Duration = Duration::from_millis(300);

/// So many pods are marked at once.
const AT_ONCE: usize = 8;

/// A pod whose cost is to change.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    pod: Arc<str>,
    uid: Arc<str>,
    /// `None`: it costs what any other does again.
    cost: Option<i32>,
}

/// What is to be written before an order for fewer: the first of its victims, as many as there are too many, become the
/// cheapest, and those that are not chosen any more lose that. A cost that somebody else gave stays. Nothing when all go.
fn marks(seen: &Seen, order: &ScaleOrder) -> Vec<Mark> {
    if order.to.is_zero() {
        return Vec::new();
    }
    let surplus = order.victims.len().saturating_sub(usize::try_from(order.to.0).unwrap_or(usize::MAX));
    let mark = |(rank, name): (usize, &Arc<str>)| {
        let pod: &Pod = seen.pods.get(&(Arc::clone(&order.revision.namespace), Arc::clone(name)))?;
        let cost = match (rank < surplus, pod.deletion_cost) {
            (true, None) => Some(CHEAPEST),
            (false, Some(CHEAPEST)) => None,
            (true | false, _) => return None,
        };
        let stays = !matches!(pod.state, ReplicaState::Leaving);
        stays.then(|| Mark { pod: Arc::clone(name), uid: Arc::clone(&pod.uid), cost })
    };
    order.victims.iter().enumerate().filter_map(mark).collect()
}

impl Hands {
    /// Tells the ReplicaSets whom to take. Ends within [`MARKING`].
    pub(super) async fn mark_victims(&self, order: &ScaleOrder) {
        if !self.may_write(order.epoch) {
            return;
        }
        let marks = self.cluster.world.look(|seen| marks(seen, order));
        if marks.is_empty() {
            return;
        }
        let wanted = marks.len();
        let pods: Api<PodObject> = Api::namespaced(self.cluster.prompt.clone(), &order.revision.namespace);
        let mut done = 0_usize;
        let all = async {
            let mut ends = stream::iter(marks).map(|mark| write(&pods, mark)).buffer_unordered(AT_ONCE);
            while let Some(written) = ends.next().await {
                done += usize::from(written);
            }
        };
        // What is left is not waited for: that there are fewer matters more than who goes.
        drop(timeout(MARKING, all).await);
        if done < wanted {
            info!(revision = %order.revision, done, wanted, "not all pods that are to go first could be told so");
        }
    }
}

/// Through `status`, which takes annotations and, unlike the pod itself, gives nobody a say in what runs in it.
async fn write(pods: &Api<PodObject>, mark: Mark) -> bool {
    let cost = mark.cost.map(|cost| cost.to_string());
    let patch = json!({ "metadata": { "uid": mark.uid, "annotations": { DELETION_COST: cost } } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match pods.patch_status(&mark.pod, &params, &Patch::Merge(&patch)).await {
        Ok(_) => true,
        Err(error) => {
            debug!(pod = %mark.pod, %error, "its cost could not be written");
            false
        }
    }
}

#[cfg(test)]
mod tests;
