//! Which endpoint a Host means, as one immutable table that is swapped whole.
//!
//! Endpoints are known from configuration, never from replicas seen: a known endpoint is never answered with 404.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use platform::Endpoint;
use units::EndpointKey;

/// Hosts to endpoints. `E` is what stands for an endpoint where the table is used.
#[derive(Debug)]
pub(crate) struct Routes<E> {
    /// The names that endpoints have by being there.
    own_names: HashMap<Arc<str>, E>,
    /// Hosts that they asked for.
    hosts: HashMap<Arc<str>, E>,
    by_key: HashMap<EndpointKey, E>,
    /// The only endpoint there is, where such a one answers for every Host.
    alone: Option<E>,
    /// Has everything that existed at the start been told?
    synced: bool,
}

/// Where a Host leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<E> {
    /// To this endpoint.
    Endpoint(E),
    /// Nowhere.
    UnknownHost,
    /// Not known yet: the activator has just started.
    NotSynced,
}

impl<E: Clone> Routes<E> {
    /// A table over these endpoints, the oldest first: the older of two that claim a host keeps it.
    pub(crate) fn new<'a>(
        endpoints: impl IntoIterator<Item = (&'a Endpoint, E)>,
        cluster_domain: &str,
        alone_answers_every_host: bool,
        synced: bool,
    ) -> Self {
        let (mut by_name, mut hosts) = (HashMap::new(), HashMap::new());
        let mut all = Vec::new();
        let mut by_key = HashMap::new();
        let mut of_tags = Vec::new();
        for (endpoint, it) in endpoints {
            for host in own_names(&endpoint.key, cluster_domain) {
                by_name.entry(host).or_insert_with(|| it.clone());
            }
            for host in &endpoint.hosts {
                hosts.entry(Arc::clone(host)).or_insert_with(|| it.clone());
            }
            for target in &endpoint.targets {
                let name = target.tag.as_deref().map(|tag| service_of_tag(tag, &endpoint.key));
                of_tags
                    .extend(name.map(|name| (EndpointKey::new(Arc::clone(&endpoint.key.namespace), name), it.clone())));
            }
            by_key.insert(endpoint.key.clone(), it.clone());
            all.push(it);
        }
        // After all others: an endpoint that is called like that has the name.
        for (name, it) in of_tags {
            for host in own_names(&name, cluster_domain) {
                by_name.entry(host).or_insert_with(|| it.clone());
            }
        }
        let alone = match (alone_answers_every_host, all.len()) {
            (true, 1) => all.pop(),
            _ => None,
        };
        Self { own_names: by_name, hosts, by_key, alone, synced }
    }

    /// Where `authority` (a Host header's or `:authority`'s value) leads.
    pub(crate) fn find(&self, authority: Option<&str>) -> Found<E> {
        if let Some(host) = authority.map(normal) {
            // In this order: nobody takes the own name of another by asking for it as a host.
            if let Some(it) = self.own_names.get(&*host).or_else(|| self.hosts.get(&*host)) {
                return Found::Endpoint(it.clone());
            }
        }
        match &self.alone {
            Some(it) => Found::Endpoint(it.clone()),
            None if self.synced => Found::UnknownHost,
            None => Found::NotSynced,
        }
    }

    /// The endpoint of this name.
    pub(crate) fn by_key(&self, key: &EndpointKey) -> Option<&E> {
        self.by_key.get(key)
    }

    /// Whether this Host is another endpoint's own name. On an endpoint's own port any Host is right but such; also one
    /// that another asked for, as a router may well send parts of one host to several endpoints.
    pub(crate) fn belongs_to_another(&self, authority: &str, it: &E) -> bool
    where
        E: PartialEq,
    {
        self.own_names.get(&*normal(authority)).is_some_and(|other| other != it)
    }
}

/// What the Service of a tag is called.
pub(crate) fn service_of_tag(tag: &str, endpoint: &EndpointKey) -> String {
    format!("{tag}-{}", endpoint.name)
}

/// Is this Host the Service `name` in `namespace`? Also by its bare name, as it is called from there.
pub(crate) fn is_service(authority: &str, name: &str, namespace: &str) -> bool {
    let host = normal(authority);
    let Some(rest) = host.strip_prefix(name) else { return false };
    let of_namespace = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(namespace));
    rest.is_empty() || of_namespace.is_some_and(|rest| rest.is_empty() || rest == ".svc" || rest.starts_with(".svc."))
}

/// The names that an endpoint has by being there.
fn own_names(key: &EndpointKey, cluster_domain: &str) -> [Arc<str>; 4] {
    let EndpointKey { namespace, name } = key;
    [
        format!("{name}.{namespace}").into(),
        format!("{name}.{namespace}.svc").into(),
        format!("{name}.{namespace}.svc.{cluster_domain}").into(),
        format!("{name}.localhost").into(),
    ]
}

/// Lower case, without port and trailing dot.
fn normal(authority: &str) -> std::borrow::Cow<'_, str> {
    let host = match authority.rfind(':') {
        // An IPv6 address in brackets has colons of its own.
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::endpoint;

    fn routes(alone: bool, names: &[(&str, &[&str])]) -> Routes<usize> {
        let endpoints: Vec<Endpoint> = names
            .iter()
            .map(|(name, hosts)| {
                let mut endpoint = endpoint(name);
                endpoint.hosts = hosts.iter().map(|host| Arc::from(*host)).collect();
                endpoint
            })
            .collect();
        Routes::new(endpoints.iter().enumerate().map(|(n, endpoint)| (endpoint, n)), "cluster.local", alone, true)
    }

    #[test]
    fn a_host_is_found_whatever_its_case_port_or_trailing_dot() {
        let routes = routes(false, &[("a", &[]), ("b", &["models.example.com"])]);
        for host in ["a.default", "A.Default:8080", "a.default.svc.cluster.local.", "a.localhost:8080"] {
            assert_eq!(routes.find(Some(host)), Found::Endpoint(0), "{host}");
        }
        assert_eq!(routes.find(Some("MODELS.example.com.:80")), Found::Endpoint(1));
        assert_eq!(routes.find(Some("[::1]:8080")), Found::UnknownHost);
        assert_eq!(routes.find(None), Found::UnknownHost);
    }

    #[test]
    fn the_older_of_two_keeps_a_host() {
        let routes = routes(false, &[("old", &["x.example.com", "young.default"]), ("young", &["x.example.com"])]);
        assert_eq!(routes.find(Some("x.example.com")), Found::Endpoint(0));
        assert_eq!(routes.find(Some("young.default")), Found::Endpoint(1), "its own name is never another's");
    }

    #[test]
    fn an_endpoint_that_is_alone_answers_for_every_host_where_that_is_wanted() {
        assert_eq!(routes(true, &[("a", &[])]).find(Some("127.0.0.1:8080")), Found::Endpoint(0));
        assert_eq!(routes(true, &[("a", &[]), ("b", &[])]).find(Some("127.0.0.1:8080")), Found::UnknownHost);
        assert_eq!(routes(false, &[("a", &[])]).find(Some("127.0.0.1:8080")), Found::UnknownHost);
    }

    #[test]
    fn the_service_of_a_tag_is_its_endpoints_unless_another_is_called_so() {
        let mut tagged = endpoint("a");
        tagged.targets[0].tag = Some("new".into());
        let others = [endpoint("b"), endpoint("new-c")];
        let mut rival = endpoint("c");
        rival.targets[0].tag = Some("new".into());
        let all = [tagged, rival].into_iter().chain(others).collect::<Vec<Endpoint>>();
        let routes = Routes::new(all.iter().zip(0..), "cluster.local", false, true);
        assert_eq!(routes.find(Some("new-a.default.svc:80")), Found::Endpoint(0));
        assert_eq!(routes.find(Some("new-c.default")), Found::Endpoint(3));
        assert!(routes.belongs_to_another("new-a.default", &2) && !routes.belongs_to_another("new-a.default", &0));
    }

    #[test]
    fn a_service_is_called_by_its_whole_name_or_from_its_own_namespace() {
        let is_it = |host| is_service(host, "new-a", "shop");
        for host in
            ["new-a", "New-A:80", "new-a.shop", "new-a.shop.svc", "new-a.shop.svc.cluster.local.", "new-a.shop.:80"]
        {
            assert!(is_it(host), "{host}");
        }
        for host in ["a", "new-a.example.com", "new-a.shops", "new-ab", "new-a.shop.example.com", "x.new-a.shop"] {
            assert!(!is_it(host), "{host}");
        }
    }

    #[test]
    fn before_the_first_sync_an_unknown_host_is_not_said_to_be_unknown() {
        let routes: Routes<usize> = Routes::new([], "cluster.local", false, false);
        assert_eq!(routes.find(Some("a.default")), Found::NotSynced);
    }

    #[test]
    fn on_its_own_port_only_the_name_of_another_is_wrong() {
        let routes = routes(false, &[("a", &[]), ("b", &["models.example.com"])]);
        assert!(!routes.belongs_to_another("models.example.com", &0), "a router may send parts of it to several");
        assert!(!routes.belongs_to_another("gateway.example.com", &0));
        assert!(!routes.belongs_to_another("a.default", &0));
        assert!(routes.belongs_to_another("b.default:20001", &0));
    }
}
