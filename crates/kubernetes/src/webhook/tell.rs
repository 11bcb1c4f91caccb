//! Events of what the webhook did not do: once for an owner and a reason, and no more than the API server should have.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;
use units::Moment;

use super::review::Told;
use crate::cluster::Cluster;
use crate::site::MANAGER;
use crate::steward::{Change, event_about};

/// The same is told again after so long: pods of one owner come and go.
const AGAIN: Duration = Duration::from_secs(600);

/// What is remembered of what was told. Beyond it the oldest may be told again.
const REMEMBERED: usize = 1_000;

/// A call that takes longer is given up: what is wrong is in the log too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes what comes, for as long as it is polled.
pub(super) async fn events(cluster: &Cluster, mut told: mpsc::Receiver<Told>) -> anyhow::Result<Infallible> {
    let mut said = Said::default();
    while let Some(told) = told.recv().await {
        let now = cluster.clock.now();
        if !said.is_new(&told, now) {
            continue;
        }
        let namespace = told.owner.namespace.clone().unwrap_or_default();
        let change = Change { reason: told.reason, note: told.note, warns: true };
        let event = event_about(told.owner, "Inject", &change, &cluster.site.pod_name, now);
        let events: Api<Event> = Api::namespaced(cluster.patient.clone(), &namespace);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match timeout(PATIENCE, events.create(&params, &event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, namespace, "an Event could not be written"),
            Err(_) => debug!(namespace, "an Event could not be written in time"),
        }
    }
    anyhow::bail!("the webhook has ended")
}

/// What was told, and when.
#[derive(Debug, Default)]
struct Said(BTreeMap<(String, String), Moment>);

impl Said {
    fn is_new(&mut self, told: &Told, now: Moment) -> bool {
        if REMEMBERED <= self.0.len() {
            self.0.retain(|_, at| now.since(*at) < AGAIN);
        }
        if REMEMBERED <= self.0.len() {
            self.0.clear();
        }
        let key = (told.owner.uid.clone().unwrap_or_default(), told.note.clone());
        let is_new = self.0.get(&key).is_none_or(|at| AGAIN <= now.since(*at));
        if is_new {
            self.0.insert(key, now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn told(uid: &str, note: &str) -> Told {
        let owner = ObjectReference { uid: Some(uid.to_owned()), ..ObjectReference::default() };
        Told { owner, reason: "SidecarLeftOut", note: note.to_owned() }
    }

    #[test]
    fn the_same_is_told_once_in_ten_minutes() {
        let at = |seconds| Moment::from_unix(Duration::from_secs(seconds));
        let mut said = Said::default();
        assert!(said.is_new(&told("a", "why"), at(0)) && !said.is_new(&told("a", "why"), at(599)));
        assert!(said.is_new(&told("b", "why"), at(1)) && said.is_new(&told("a", "else"), at(1)));
        assert!(said.is_new(&told("a", "why"), at(600)));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut said = Said::default();
        for owner in 0..3 * REMEMBERED {
            assert!(said.is_new(&told(&owner.to_string(), "why"), Moment::from_unix(Duration::from_secs(1))));
            assert!(said.0.len() <= REMEMBERED);
        }
    }
}
