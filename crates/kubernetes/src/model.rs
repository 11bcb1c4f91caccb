//! Which container of a pod is the model, and at which port it is asked. Decided here alone, for pods that are watched, for
//! those that get a sidecar, and for whoever leaves Rouse.

use k8s_openapi::api::core::v1::Container;

/// Names of ports that say: HTTP is spoken here.
const HTTP: [&str; 3] = ["http1", "h2c", "http"];

/// What KServe calls the container of the model.
const KSERVE: &str = "kserve-container";

/// A TCP port that a container declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declared<'a> {
    pub(crate) container: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) port: u16,
}

/// The model's port: one named `http1`, `h2c` or `http`, else the first of KServe's container, else the first of all.
pub(crate) fn port_of_model<'a>(declared: impl Iterator<Item = Declared<'a>> + Clone) -> Option<Declared<'a>> {
    let named = |it: &Declared<'_>| it.name.is_some_and(|name| HTTP.contains(&name));
    let of_kserve = |it: &Declared<'_>| it.container == KSERVE;
    let mut all = declared.clone();
    declared.clone().find(named).or_else(|| declared.clone().find(of_kserve)).or_else(|| all.next())
}

/// The TCP ports of containers, in their order.
pub(crate) fn declared(containers: &[Container]) -> impl Iterator<Item = Declared<'_>> + Clone {
    containers.iter().flat_map(|container| {
        let ports = container.ports.iter().flatten().filter(|port| is_tcp(port.protocol.as_deref()));
        ports.filter_map(|port| {
            let number = u16::try_from(port.container_port).ok().filter(|number| 0 < *number)?;
            Some(Declared { container: &container.name, name: port.name.as_deref(), port: number })
        })
    })
}

/// Is it TCP? So is what does not say.
pub(crate) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(declared: &[(&'static str, Option<&'static str>, u16)]) -> Option<u16> {
        let all = declared.iter().map(|(container, name, port)| Declared { container, name: *name, port: *port });
        port_of_model(all).map(|chosen| chosen.port)
    }

    #[test]
    fn a_name_says_most_then_kserves_container_and_then_what_is_first() {
        let (agent, metrics) = (("agent", None, 9081), ("agent", Some("metrics"), 9090));
        let (kserve, http) = (("kserve-container", Some("grpc"), 8081), ("model", Some("http"), 8080));
        assert_eq!(chosen(&[agent, kserve, http, ("other", Some("h2c"), 7000)]), Some(8080));
        assert_eq!(chosen(&[agent, metrics, kserve]), Some(8081));
        assert_eq!(chosen(&[metrics, agent]), Some(9090));
        assert_eq!(chosen(&[]), None);
    }
}
