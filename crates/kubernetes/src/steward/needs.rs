//! What an endpoint needs of Services, and has not. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use units::EndpointKey;

use crate::names::services_of;
use crate::objects::{EndpointObject, Service, Slice};
use crate::route::shapes::service_ports;
use crate::world::{Kind, Seen};

/// What is to be done about the Services of an endpoint.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Not there.
    pub(super) missing: Vec<String>,
    /// There, and somebody else's; each with whose.
    pub(super) taken: Vec<(String, String)>,
    /// There, its own, and with ports that its `spec` does not say any more.
    pub(super) outdated: Vec<String>,
    /// Its own, and of no use: of tags that are gone. Name and UID.
    pub(super) superfluous: Vec<(String, Arc<str>)>,
    /// Our slices that stand for it behind Services of KServe's with which it has nothing to do any more.
    pub(super) superfluous_slices: Vec<Arc<str>>,
}

/// Things of one owner, by name.
type Named<'a, T> = Vec<(&'a Arc<str>, &'a T)>;

/// Services by their namespace and the UID of who owns them: whoever names an owner of another namespace has none.
#[derive(Debug)]
pub(super) struct Owned<'a> {
    services: BTreeMap<(&'a str, &'a str), Named<'a, Service>>,
    /// Slices behind Services of KServe's, by their namespace and the name of the endpoint for which they are.
    beside: BTreeMap<(&'a str, &'a str), Named<'a, Slice>>,
}

impl<'a> Owned<'a> {
    /// Made once for a look at all endpoints.
    pub(super) fn of(seen: &'a Seen) -> Self {
        let mut services = BTreeMap::<_, Named<'_, Service>>::new();
        for ((namespace, name), service) in &seen.services {
            if let Some(owner) = &service.owner {
                services.entry((&**namespace, &**owner)).or_default().push((name, &**service));
            }
        }
        let mut beside = BTreeMap::<_, Named<'_, Slice>>::new();
        for ((namespace, name), slice) in &seen.slices {
            if let Some(endpoint) = &slice.beside_for {
                beside.entry((&**namespace, &**endpoint)).or_default().push((name, &**slice));
            }
        }
        Self { services, beside }
    }

    fn by(&self, namespace: &'a str, uid: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Service)> + '_ {
        self.services.get(&(namespace, uid)).into_iter().flatten().copied()
    }
}

impl Needs {
    /// `beside`: Services of KServe's behind which it stands too; `None` before anybody looked.
    ///
    /// Nothing, of one that is leaving or not understood, and while the Services of its namespace are not known.
    pub(super) fn of<'a>(
        seen: &Seen,
        owned: &Owned<'a>,
        (key, object): (&'a EndpointKey, &'a EndpointObject),
        beside: Option<&[Arc<str>]>,
    ) -> Self {
        let mut needs = Self::default();
        let Ok(spec) = &object.spec else { return needs };
        let namespace = &key.namespace;
        if object.leaving || !seen.is_listed(Kind::Services, Some(namespace)) {
            return needs;
        }
        let is_own = |service: &Service| service.owner.as_ref() == Some(&object.uid);
        let wanted = services_of(spec);
        let ports = service_ports(spec);
        for name in &wanted {
            match seen.services.get(&(Arc::clone(namespace), name.as_str().into())) {
                None => needs.missing.push(name.clone()),
                Some(service) if !is_own(service) => needs.taken.push((name.clone(), whose(service).to_owned())),
                Some(service) if service.goes_by(&ports) => {}
                Some(_) => needs.outdated.push(name.clone()),
            }
        }
        let superfluous = owned.by(namespace, &object.uid).filter(|(name, _)| wanted.iter().all(|it| *it != ***name));
        needs.superfluous = superfluous.map(|(name, service)| (name.to_string(), Arc::clone(&service.uid))).collect();
        let slices = owned.beside.get(&(&**namespace, &*key.name)).into_iter().flatten();
        let of_no_use = |slice: &Slice| beside.is_some_and(|beside| !beside.contains(&slice.service));
        needs.superfluous_slices =
            slices.filter(|(_, slice)| of_no_use(slice)).map(|(name, _)| Arc::clone(name)).collect();
        needs
    }
}

fn whose(service: &Service) -> &'static str {
    match &service.owner {
        Some(_) => "another ModelEndpoint's",
        None => "not Rouse's",
    }
}
