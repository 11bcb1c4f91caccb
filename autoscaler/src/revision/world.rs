//! How the revision stands in the world, as the scaler is told.

use std::sync::Arc;

use kpa::{PathState, World};
use platform::{Endpoint, Path, ReplicaState};
use units::{Moment, ReplicaCount};

use super::{PathSeen, Revision, count};
use crate::{roster, routes};

impl Revision {
    /// An activator that is not connected, and whose pod is gone or has been out of every path for the grace, is not
    /// waited for.
    pub(super) fn forget_who_is_gone(&mut self, now: Moment) {
        let Some(pods) = self.activators.borrow().clone() else { return };
        let grace = self.scaler.policy().grace;
        let is_gone = |uid: &Arc<str>| {
            let counts = pods.iter().any(|pod| pod.uid == *uid && roster::counts(pod, now, grace));
            !counts && !self.ground.peers.is_connected(uid)
        };
        let gone: Vec<Arc<str>> = self.told_of.iter().filter(|uid| is_gone(uid)).cloned().collect();
        for uid in gone {
            self.told_of.remove(&uid);
            self.scaler.forget_activator(&uid);
            self.held.nothing_at(&uid);
            let mut shown = self.place.lock();
            shown.series.forget(now, &uid);
            shown.ledger.forget(&uid);
        }
    }

    /// How it stands in the world.
    pub(super) fn world(&mut self, now: Moment, endpoint: Option<&Endpoint>) -> World {
        let path = self.path_state(now, endpoint);
        let held = self.held.level(now);
        let scale = self.scale();
        let facts = self.facts.borrow();
        World {
            ready: count(&facts.replicas, ReplicaState::Ready),
            starting: count(&facts.replicas, ReplicaState::Starting),
            scale: scale.as_ref().map_or(ReplicaCount::ZERO, |scale| scale.replicas),
            path,
            direct_allowed: endpoint.is_some_and(routes::direct_allowed) && self.sidecars_are_ready_for_direct(&facts),
            held,
            adopted: facts.adopted || self.asked_for,
            contested: facts.contested,
            bypassed: self.sidecars.values().any(|seen| 0 < seen.foreign),
            start_failed: self.failed.is_some(),
            missing: scale.is_none(),
        }
    }

    /// Which way requests take, since when, and since when every activator knows.
    pub(super) fn path_state(&mut self, now: Moment, endpoint: Option<&Endpoint>) -> PathState {
        let path = endpoint.map_or(Path::Proxied, |endpoint| endpoint.route.path());
        if self.path.path != path {
            self.path = PathSeen { path, since: now, acknowledged: None };
        }
        let all_know = match (endpoint, &*self.ground.activators.borrow()) {
            (Some(endpoint), Some(pods)) => {
                let knows = |uid: &str| {
                    let acknowledged = self.ground.peers.acknowledgement(uid, &endpoint.key);
                    acknowledged.is_some_and(|generation| endpoint.generation <= generation)
                };
                let grace = self.scaler.policy().grace;
                pods.iter().filter(|pod| roster::counts(pod, now, grace)).all(|pod| knows(&pod.uid))
            }
            _ => false,
        };
        self.path.acknowledged = if all_know { self.path.acknowledged.or(Some(now)) } else { None };
        match path {
            Path::Direct => PathState::Direct,
            Path::Proxied => PathState::Proxied { since: self.path.since, acknowledged: self.path.acknowledged },
        }
    }
}
