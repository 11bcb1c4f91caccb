//! Which endpoint has which host: the oldest that asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use units::{EndpointKey, Moment};

use crate::world::Seen;

/// Who has which host.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Claims {
    holders: BTreeMap<Arc<str>, EndpointKey>,
    /// What each endpoint asks for, and how old it is: to see whether anything changed.
    asked: BTreeMap<EndpointKey, (Moment, Arc<str>, Vec<String>)>,
}

impl Claims {
    /// By what was seen. An endpoint whose spec is not understood keeps the hosts that it asked for before: `before` knows.
    pub(crate) fn of(seen: &Seen, before: &Self) -> Self {
        let asked: BTreeMap<_, _> = seen
            .endpoints
            .iter()
            .filter(|(_, object)| !object.leaving)
            .map(|(key, object)| {
                let hosts = match &object.spec {
                    Ok(spec) => spec.hosts.clone(),
                    Err(_) => before.last_asked_by(key, &object.uid),
                };
                (key.clone(), (object.created, Arc::clone(&object.uid), hosts))
            })
            .collect();
        let mut by_age: Vec<_> = asked.iter().map(|(key, (created, uid, hosts))| (created, uid, key, hosts)).collect();
        by_age.sort();
        let mut holders = BTreeMap::new();
        for (_, _, key, hosts) in by_age {
            for host in hosts {
                holders.entry(Arc::from(host.as_str())).or_insert_with(|| key.clone());
            }
        }
        Self { holders, asked }
    }

    fn last_asked_by(&self, key: &EndpointKey, uid: &Arc<str>) -> Vec<String> {
        let asked = self.asked.get(key).filter(|(_, known, _)| known == uid);
        asked.map(|(_, _, hosts)| hosts.clone()).unwrap_or_default()
    }

    /// Who has this host, if anybody asks for it.
    pub(crate) fn holder(&self, host: &str) -> Option<&EndpointKey> {
        self.holders.get(host)
    }

    /// The namespaces of endpoints that have gained or lost a host, or whose rival for one is another.
    pub(crate) fn differing(&self, before: &Self) -> BTreeSet<Arc<str>> {
        let mut namespaces = BTreeSet::new();
        let hosts: BTreeSet<&Arc<str>> = self.holders.keys().chain(before.holders.keys()).collect();
        let changed: BTreeSet<&str> =
            hosts.into_iter().filter(|host| self.holder(host) != before.holder(host)).map(|host| &**host).collect();
        for (key, (_, _, hosts)) in self.asked.iter().chain(&before.asked) {
            if hosts.iter().any(|host| changed.contains(host.as_str())) {
                namespaces.insert(Arc::clone(&key.namespace));
            }
        }
        namespaces
    }
}
