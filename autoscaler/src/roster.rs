//! Who could forward to a revision, and so has to promise not to before it goes to zero.

use std::time::Duration;

use kpa::seal::{Member, Roster};
use platform::{ActivatorPod, Endpoint, ReplicaState, Revision};
use units::Moment;

use crate::ground::Ground;

/// Does an activator still count: can requests be routed to it, or could they within the grace?
pub(crate) fn counts(pod: &ActivatorPod, now: Moment, grace: Duration) -> bool {
    pod.out_since.is_none_or(|since| now.since(since) < grace)
}

/// Everybody whose answer counts, and as which incarnation each is connected.
///
/// Every activator that is connected, whose pod exists, or that a route names; but of those that are not connected none
/// that has been out of every route for the `grace`. And every sidecar of a replica that has been ready: one that has not can only have got requests
/// through an activator. Empty, which nobody can seal with, until the activators are known.
pub(crate) fn roster(
    ground: &Ground,
    revision: &Revision,
    endpoint: Option<&Endpoint>,
    now: Moment,
    grace: Duration,
) -> Roster {
    let mut roster = Roster::new();
    let Some(pods) = ground.activators.borrow().clone() else { return roster };
    if let Some(endpoint) = endpoint {
        roster.extend(endpoint.route.through().iter().map(|uid| (Member::Activator(uid.clone()), None)));
    }
    roster.extend(pods.iter().map(|pod| (Member::Activator(pod.uid.clone()), None)));
    for pod in pods.iter().filter(|pod| !counts(pod, now, grace)) {
        roster.remove(&Member::Activator(pod.uid.clone()));
    }
    // Also one that is out: as long as it is there, it may hold what came before, and forward it.
    let connected = ground.peers.activators();
    roster.extend(connected.iter().map(|peer| (Member::Activator(peer.uid.clone()), Some(peer.incarnation))));
    if revision.sidecars {
        let sidecars = ground.peers.sidecars(&revision.key);
        for replica in &revision.replicas {
            let connected = sidecars.get(&replica.name).map(|sidecar| sidecar.incarnation);
            let counts = match replica.state {
                ReplicaState::Ready | ReplicaState::Unready => true,
                ReplicaState::Starting => connected.is_some(),
                ReplicaState::Leaving => false,
            };
            if counts {
                roster.insert(Member::Sidecar(replica.name.clone()), connected);
            }
        }
    }
    roster
}
