//! Rouse's own pods: which activators there are, who is still in a path, and where autoscalers take streams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use platform::ActivatorPod;
use units::Moment;

use crate::objects::OwnPod;
use crate::world::Seen;

const ACTIVATOR: &str = "activator";
const AUTOSCALER: &str = "autoscaler";

fn pods<'a>(seen: &'a Seen, component: &'a str) -> impl Iterator<Item = &'a OwnPod> {
    seen.own_pods.values().map(|pod| &**pod).filter(move |pod| &*pod.component == component && !pod.ended)
}

/// Activators' UIDs by address.
pub(crate) fn addresses(seen: &Seen) -> BTreeMap<IpAddr, Arc<str>> {
    let of =
        |pod: &'_ OwnPod| -> Vec<_> { pod.addresses.iter().map(|address| (*address, Arc::clone(&pod.uid))).collect() };
    pods(seen, ACTIVATOR).flat_map(of).collect()
}

/// Every activator that exists and has not ended, by UID. `before` is the answer to the question before this one.
///
/// Requests can come to an activator while one of our slices names it, and, at the shared port, while Kubernetes' own
/// slices do: as long as it is ready and not leaving.
pub(crate) fn activators(seen: &Seen, before: Option<&[ActivatorPod]>, now: Moment) -> Vec<ActivatorPod> {
    let named: BTreeSet<&IpAddr> = seen.slices.values().flat_map(|slice| &slice.addresses).collect();
    let out_before = |uid: &Arc<str>| before?.iter().find(|pod| pod.uid == *uid)?.out_since;
    let mut activators: Vec<ActivatorPod> = pods(seen, ACTIVATOR)
        .map(|pod| {
            let is_in = (pod.ready && !pod.leaving) || pod.addresses.iter().any(|address| named.contains(address));
            ActivatorPod {
                name: Arc::clone(&pod.name),
                uid: Arc::clone(&pod.uid),
                out_since: (!is_in).then(|| out_before(&pod.uid).unwrap_or(now)),
            }
        })
        .collect();
    activators.sort_by(|a, b| a.uid.cmp(&b.uid));
    activators
}

/// Where each autoscaler takes streams. One that is leaving still does, as long as it runs.
pub(crate) fn autoscalers(seen: &Seen, port: u16) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = pods(seen, AUTOSCALER)
        .filter_map(|pod| pod.addresses.first().map(|address| SocketAddr::new(*address, port)))
        .collect();
    addresses.sort();
    addresses
}
