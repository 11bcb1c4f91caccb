//! Which way requests take to an endpoint, by what the watches have seen. Pure.
//!
//! Whoever leads orders what is wanted until this says so. Hence whatever is half done, or names what it should not, is
//! told apart here from what any order asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use platform::Route;

use crate::objects::{Service, Slice};

/// What a route is read from.
pub(crate) struct Sight<'a> {
    /// The endpoint's Services that are its own, the one that is named like it first, each with our slices behind it.
    pub(crate) services: Vec<(&'a Service, Vec<&'a Slice>)>,
    /// Our slices behind each Service of KServe's that is to lead to the activators too, unless the path is direct.
    pub(crate) beside: Vec<Vec<&'a Slice>>,
    /// The endpoint's port on every activator, if it has one yet.
    pub(crate) own_port: Option<u16>,
    /// Activators' UIDs by address.
    pub(crate) activators: &'a BTreeMap<IpAddr, Arc<str>>,
    /// What the Services select when the path is direct; `None` if it cannot be.
    pub(crate) direct: Option<&'a BTreeMap<Arc<str>, Arc<str>>>,
}

impl Sight<'_> {
    /// Without a Service nobody is in the path, which is never what is wanted.
    pub(crate) fn route(&self) -> Route {
        let mut routes = self.services.iter().map(|(service, slices)| self.of_one(service, slices));
        let Some(first) = routes.next() else { return Route::Proxied { through: Arc::from([]) } };
        let beside = self.beside.iter().map(|slices| match self.through(slices) {
            // Where nobody is in the path anyway there is nothing else to say.
            through if through.is_empty() && first != Route::Proxied { through: Arc::clone(&through) } => Route::Direct,
            through => Route::Proxied { through },
        });
        let others: Vec<Route> = routes.chain(beside).collect();
        if others.iter().all(|other| *other == first) {
            return first;
        }
        let through: BTreeSet<&Arc<str>> = others.iter().chain([&first]).flat_map(Route::through).collect();
        Route::Changing { through: through.into_iter().cloned().collect() }
    }

    fn of_one(&self, service: &Service, slices: &[&Slice]) -> Route {
        let selects = (!service.selector.is_empty()).then_some(&service.selector);
        let is_direct = selects.is_some() && selects == self.direct;
        let through = self.through(slices);
        match selects {
            None => Route::Proxied { through },
            Some(_) if is_direct && through.is_empty() => Route::Direct,
            Some(_) => Route::Changing { through },
        }
    }

    /// Whom slices of ours name, each once.
    fn through(&self, slices: &[&Slice]) -> Arc<[Arc<str>]> {
        let named = slices.iter().flat_map(|slice| slice.addresses.iter().map(|address| self.named(slice, *address)));
        let through: BTreeSet<Arc<str>> = named.collect();
        through.into_iter().collect()
    }

    /// Who stands at an address: an activator's UID; else something that is none, for it is to be taken out.
    fn named(&self, slice: &Slice, address: IpAddr) -> Arc<str> {
        match self.activators.get(&address) {
            Some(uid) if slice.port.is_some() && slice.port == self.own_port => Arc::clone(uid),
            Some(_) | None => Arc::from(format!("nobody at {address}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<Arc<str>, Arc<str>> {
        pairs.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
    }

    fn service(selector: &[(&str, &str)]) -> Service {
        Service {
            uid: "s".into(),
            selector: labels(selector),
            owner: Some("e".into()),
            predicts_for: None,
            cluster_ip: None,
            ports: [].into(),
        }
    }

    fn slice(addresses: &[&str], port: u16) -> Slice {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Slice { service: "recommender".into(), addresses, port: Some(port), beside_for: None }
    }

    fn route(services: &[(Service, Vec<Slice>)]) -> Route {
        route_beside(services, &[])
    }

    fn route_beside(services: &[(Service, Vec<Slice>)], beside: &[Vec<Slice>]) -> Route {
        let activators = [("10.0.0.1", "a"), ("fd00::1", "a"), ("10.0.0.2", "b")];
        let activators = activators.map(|(address, uid)| (address.parse().unwrap(), Arc::from(uid))).into();
        let direct = labels(&[("app", "v1")]);
        let services = services.iter().map(|(service, slices)| (service, slices.iter().collect())).collect();
        let beside = beside.iter().map(|slices| slices.iter().collect()).collect();
        Sight { services, beside, own_port: Some(20_001), activators: &activators, direct: Some(&direct) }.route()
    }

    fn through(uids: &[&str]) -> Arc<[Arc<str>]> {
        uids.iter().map(|uid| Arc::from(*uid)).collect()
    }

    #[test]
    fn without_a_selector_requests_go_through_whom_the_slices_name_each_once() {
        let slices = vec![slice(&["10.0.0.2", "10.0.0.1"], 20_001), slice(&["fd00::1"], 20_001)];
        assert_eq!(route(&[(service(&[]), slices)]), Route::Proxied { through: through(&["a", "b"]) });
    }

    #[test]
    fn an_address_at_which_no_activator_is_differs_from_every_order() {
        let seen = route(&[(service(&[]), vec![slice(&["10.0.0.1", "10.0.0.7"], 20_001)])]);
        assert_eq!(seen, Route::Proxied { through: through(&["a", "nobody at 10.0.0.7"]) });
    }

    #[test]
    fn an_activator_named_at_another_port_is_not_in_the_path() {
        let seen = route(&[(service(&[]), vec![slice(&["10.0.0.1"], 20_002)])]);
        assert_eq!(seen, Route::Proxied { through: through(&["nobody at 10.0.0.1"]) });
    }

    #[test]
    fn with_the_revisions_selector_and_nothing_of_ours_it_is_direct() {
        let pods = service(&[("app", "v1")]);
        assert_eq!(route(&[(pods.clone(), vec![])]), Route::Direct);
        assert_eq!(route(&[(pods, vec![slice(&[], 20_001)])]), Route::Direct);
    }

    #[test]
    fn both_at_once_is_a_change_that_is_not_done() {
        let seen = route(&[(service(&[("app", "v1")]), vec![slice(&["10.0.0.1"], 20_001)])]);
        assert_eq!(seen, Route::Changing { through: through(&["a"]) });
    }

    #[test]
    fn a_selector_of_another_revision_is_a_change_that_is_not_done() {
        assert_eq!(route(&[(service(&[("app", "v0")]), vec![])]), Route::Changing { through: through(&[]) });
    }

    #[test]
    fn a_tags_service_that_goes_another_way_is_a_change_that_is_not_done() {
        let own = (service(&[]), vec![slice(&["10.0.0.1"], 20_001)]);
        let tags = (service(&[]), vec![slice(&["10.0.0.2"], 20_001)]);
        assert_eq!(route(&[own.clone(), tags]), Route::Changing { through: through(&["a", "b"]) });
        assert_eq!(route(&[own.clone(), own]), Route::Proxied { through: through(&["a"]) });
    }

    #[test]
    fn without_a_service_nobody_is_in_the_path() {
        assert_eq!(route(&[]), Route::Proxied { through: through(&[]) });
    }

    #[test]
    fn behind_a_service_of_kserve_the_same_activators_stand_and_none_when_it_is_direct() {
        let (ours, others) = (slice(&["10.0.0.1"], 20_001), slice(&["10.0.0.2"], 20_001));
        let proxied = [(service(&[]), vec![ours.clone()])];
        let direct = [(service(&[("app", "v1")]), vec![])];
        assert_eq!(route_beside(&proxied, &[vec![ours.clone()]]), Route::Proxied { through: through(&["a"]) });
        assert_eq!(route_beside(&direct, &[vec![]]), Route::Direct);
        // Each of these is a change that is not done.
        assert_eq!(route_beside(&proxied, &[vec![]]), Route::Changing { through: through(&["a"]) });
        assert_eq!(route_beside(&proxied, &[vec![others]]), Route::Changing { through: through(&["a", "b"]) });
        assert_eq!(route_beside(&direct, &[vec![ours]]), Route::Changing { through: through(&["a"]) });
    }
}
