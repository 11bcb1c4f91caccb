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
        let others: Vec<Route> = routes.collect();
        if others.iter().all(|other| *other == first) {
            return first;
        }
        let through: BTreeSet<&Arc<str>> = others.iter().chain([&first]).flat_map(Route::through).collect();
        Route::Changing { through: through.into_iter().cloned().collect() }
    }

    fn of_one(&self, service: &Service, slices: &[&Slice]) -> Route {
        let named = slices.iter().flat_map(|slice| slice.addresses.iter().map(|address| self.named(slice, *address)));
        let through: BTreeSet<Arc<str>> = named.collect();
        let selects = (!service.selector.is_empty()).then_some(&service.selector);
        let is_direct = selects.is_some() && selects == self.direct;
        let through: Arc<[Arc<str>]> = through.into_iter().collect();
        match selects {
            None => Route::Proxied { through },
            Some(_) if is_direct && through.is_empty() => Route::Direct,
            Some(_) => Route::Changing { through },
        }
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
            cluster_ip: None,
            ports: [].into(),
        }
    }

    fn slice(addresses: &[&str], port: u16) -> Slice {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Slice { service: "recommender".into(), addresses, port: Some(port) }
    }

    fn route(services: &[(Service, Vec<Slice>)]) -> Route {
        let activators = [("10.0.0.1", "a"), ("fd00::1", "a"), ("10.0.0.2", "b")];
        let activators = activators.map(|(address, uid)| (address.parse().unwrap(), Arc::from(uid))).into();
        let direct = labels(&[("app", "v1")]);
        let services = services.iter().map(|(service, slices)| (service, slices.iter().collect())).collect();
        Sight { services, own_port: Some(20_001), activators: &activators, direct: Some(&direct) }.route()
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
}
