//! One endpoint's route: which activators are in its path, or none.
//!
//! Orders it anew until the world says what is wanted. Whether a revision has room to go without activators is its
//! scaler's to say; here that is joined with what forbids it, and with which activators can serve.

use std::sync::Arc;
use std::time::Duration;

use platform::{ActivatorPod, Endpoint, Path, PathPolicy, Route, RouteOrder};
use tokio::sync::watch;
use tracing::{info, warn};
use units::EndpointKey;

use crate::endpoints::Wishes;
use crate::ground::Ground;
use crate::peers::Peers;

/// The pause between two orders for the same endpoint: the world may take a while to say what it did.
const PAUSE: Duration = Duration::from_secs(1);

/// Does the endpoint itself allow the direct path?
pub(crate) fn direct_allowed(endpoint: &Endpoint) -> bool {
    let nothing_to_choose = endpoint.targets.len() == 1 && endpoint.matches.is_empty() && endpoint.sticky.is_none();
    endpoint.path == PathPolicy::Auto && nothing_to_choose && endpoint.shadows.is_empty()
}

/// Keeps one endpoint's route as it should be, until the endpoint is gone.
pub(crate) async fn keep(
    ground: Ground,
    key: EndpointKey,
    mut facts: watch::Receiver<Arc<Endpoint>>,
    mut wishes: watch::Receiver<Wishes>,
) {
    let mut changes = ground.peers.changes();
    let mut acknowledged = ground.peers.acknowledgements_of(&key);
    let mut epoch = ground.epoch.clone();
    let mut activators = ground.activators.clone();
    let mut not_before = ground.clock.now();
    let mut failed = false;
    loop {
        let endpoint = Arc::clone(&facts.borrow_and_update());
        if all_know(&endpoint, &ground.peers) {
            ground.endpoints.is_in_force(&endpoint);
        }
        let pods = activators.borrow_and_update().clone();
        let wanted = match (ground.leading(), &pods) {
            (Some((epoch, _)), Some(pods)) => {
                wanted(&endpoint, &wishes.borrow_and_update(), pods, &ground.peers).map(|route| (epoch, route))
            }
            _ => None,
        };
        let is_wanted = wanted.is_some();
        let is_due = not_before <= ground.clock.now();
        if let (Some((epoch, route)), true) = (wanted, is_due) {
            info!(from = ?endpoint.route, to = ?route, "changing the route");
            let end = ground.actuator.set_route(RouteOrder { endpoint: key.clone(), route, epoch }).await;
            match end {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    warn!(%error, "the route is not as wanted, trying again");
                    failed = true;
                }
                Err(_) => {}
            }
            not_before = ground.clock.now().plus(PAUSE);
            continue;
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { return },
            changed = wishes.changed() => if changed.is_err() { return },
            changed = changes.changed() => if changed.is_err() { return },
            changed = acknowledged.changed() => if changed.is_err() { return },
            changed = epoch.changed() => if changed.is_err() { return },
            changed = activators.changed() => if changed.is_err() { return },
            () = ground.clock.sleep_until(not_before), if is_wanted => {}
        }
    }
}

/// Do all that are in its path route by this version? Nobody is, where requests go past them.
fn all_know(endpoint: &Endpoint, peers: &Peers) -> bool {
    let knows = |uid: &Arc<str>| {
        peers.acknowledgement(uid, &endpoint.key).is_some_and(|generation| endpoint.generation <= generation)
    };
    match &endpoint.route {
        Route::Direct => true,
        Route::Proxied { through } | Route::Changing { through } => !through.is_empty() && through.iter().all(knows),
    }
}

/// The route that should be, if it is another than the one that is.
fn wanted(endpoint: &Endpoint, wishes: &Wishes, pods: &[ActivatorPod], peers: &Peers) -> Option<Route> {
    let path = match endpoint.targets.as_slice() {
        [only] if direct_allowed(endpoint) => wishes.get(&only.revision).copied().unwrap_or(endpoint.route.path()),
        _ => Path::Proxied,
    };
    let route = match path {
        Path::Direct => Route::Direct,
        Path::Proxied => {
            let through = through(endpoint, pods, peers);
            if through.is_empty() {
                // Nobody could serve: whoever is in the path stays.
                return None;
            }
            Route::Proxied { through }
        }
    };
    (route != endpoint.route).then_some(route)
}

/// The activators that can serve an endpoint now: they exist, are connected, stay, and know its route.
fn through(endpoint: &Endpoint, pods: &[ActivatorPod], peers: &Peers) -> Arc<[Arc<str>]> {
    let connected = peers.activators();
    let serves = |pod: &ActivatorPod| {
        connected.iter().any(|peer| peer.uid == pod.uid && !peer.leaving)
            && peers.acknowledgement(&pod.uid, &endpoint.key).is_some()
    };
    let mut through: Vec<Arc<str>> = pods.iter().filter(|pod| serves(pod)).map(|pod| Arc::clone(&pod.uid)).collect();
    through.sort();
    through.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::toy::endpoint;

    #[test]
    fn a_version_is_in_force_once_every_activator_in_the_path_has_said_so() {
        let peers = Peers::new();
        for uid in ["a", "b", "c"] {
            peers.activator_came(crate::peers::tests::activator(uid).0);
        }
        let mut endpoint = Endpoint { generation: 2, ..endpoint() };
        let say = |uid: &str, generation| peers.acknowledged(uid, endpoint.key.clone(), generation);
        let through = |uids: &[&str]| Route::Proxied { through: uids.iter().map(|uid| Arc::from(*uid)).collect() };
        endpoint.route = through(&["a", "b"]);
        assert!(!all_know(&endpoint, &peers));
        say("a", 2);
        say("b", 1);
        assert!(!all_know(&endpoint, &peers));
        say("b", 3);
        assert!(all_know(&endpoint, &peers), "one that is not in the path need not know");
        endpoint.route = through(&["a", "b", "c"]);
        assert!(!all_know(&endpoint, &peers));
        endpoint.route = through(&[]);
        assert!(!all_know(&endpoint, &peers), "nobody is asked, so nothing is known");
        endpoint.route = Route::Direct;
        assert!(all_know(&endpoint, &peers));
    }

    #[test]
    fn until_a_version_is_in_force_the_one_before_it_is() {
        let endpoints = crate::endpoints::Endpoints::new();
        let of = |generation| Arc::new(Endpoint { generation, ..endpoint() });
        let (facts, seen) = watch::channel(of(1));
        let key = endpoint().key;
        let _wishes = endpoints.came(key.clone(), seen);
        let in_force = || endpoints.in_force(&key).unwrap().generation;
        assert_eq!(in_force(), 1, "what is written, while nothing else is known");
        endpoints.is_in_force(&of(1));
        facts.send_replace(of(2));
        assert_eq!(in_force(), 1);
        endpoints.is_in_force(&of(2));
        assert_eq!(in_force(), 2);
    }

    #[test]
    fn whatever_activators_choose_by_forbids_the_direct_path() {
        let allowed = |change: &dyn Fn(&mut Endpoint)| {
            let mut endpoint = endpoint();
            change(&mut endpoint);
            direct_allowed(&endpoint)
        };
        assert!(allowed(&|_| {}));
        assert!(!allowed(&|endpoint| endpoint.path = PathPolicy::Proxied));
        assert!(!allowed(&|endpoint| endpoint.targets.push(endpoint.targets[0].clone())));
        assert!(!allowed(&|endpoint| endpoint.sticky = Some(traffic::Sticky::ClientAddress)));
        let one = traffic::Match { header: None, cookie: None, path: None, method: None, to: 0 };
        assert!(!allowed(&|endpoint| endpoint.matches = Arc::from([one.clone()])));
    }
}
