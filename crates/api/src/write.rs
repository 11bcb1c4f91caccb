//! Documents back to YAML: what differs from the default, in the order in which a person would write it. Reading it
//! again gives the same documents.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use traffic::{Match, Pattern, Sticky};

use crate::deployment::{Check, Container, Deployment, PortRef, Probe};
use crate::documents::{ConfigAutoscaler, Documents};
use crate::endpoint::{
    API_VERSION, Autoscaling, KnobKind, ModelEndpoint, OnUnavailable, PathMode, Protocol, Queue, Shadow, Timeouts,
    TrafficTarget,
};
use crate::quantity::{show_duration, show_size};

/// All documents, `---` between them.
///
/// # Errors
/// If the YAML library refuses, which is a fault of this program.
pub fn to_yaml(documents: &Documents) -> Result<String, serde_saphyr::ser_error::Error> {
    let endpoints = documents.endpoints.iter().map(|placed| of_endpoint(&placed.value));
    let deployments = documents.deployments.iter().map(|placed| of_deployment(&placed.value));
    let config = documents.config.iter().map(|placed| of_config(&placed.value));
    let mut out = String::new();
    for document in endpoints.chain(deployments).chain(config) {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&serde_saphyr::to_string(&document)?);
    }
    Ok(out)
}

/// A value to be written. Maps keep their order.
#[derive(Clone, Debug, PartialEq)]
enum Yaml {
    Text(String),
    Whole(i64),
    Number(f64),
    Bool(bool),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Serialize for Yaml {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Yaml {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

macro_rules! whole {
    ($($number:ty),*) => {$(
        impl From<$number> for Yaml {
            fn from(number: $number) -> Self {
                Self::Whole(i64::from(number))
            }
        }
    )*};
}
whole!(u8, u16, u32);

impl From<std::time::Duration> for Yaml {
    /// As `…Seconds` fields have it: whole seconds, which is all that could be read.
    fn from(duration: std::time::Duration) -> Self {
        Self::Whole(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
    }
}

/// A map in the making.
struct Map(Vec<(String, Yaml)>);

impl Map {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn with(mut self, name: &str, value: impl Into<Yaml>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    fn with_some(self, name: &str, value: Option<impl Into<Yaml>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Leaves it out if it is the default.
    fn unless<T: PartialEq + Into<Yaml>>(self, default: T, name: &str, value: T) -> Self {
        if value == default { self } else { self.with(name, value) }
    }

    /// Leaves it out if there is nothing in it.
    fn with_any(self, name: &str, value: Yaml) -> Self {
        match &value {
            Yaml::List(items) if items.is_empty() => self,
            Yaml::Map(entries) if entries.is_empty() => self,
            _ => self.with(name, value),
        }
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map.0)
    }
}

fn list<T>(items: &[T], each: impl Fn(&T) -> Yaml) -> Yaml {
    Yaml::List(items.iter().map(each).collect())
}

fn words(words: &[String]) -> Yaml {
    list(words, |word| word.into())
}

fn texts<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Yaml {
    Yaml::Map(entries.into_iter().map(|(name, value)| (name.clone(), value.into())).collect())
}

fn meta(namespace: &str, name: &str, annotations: Yaml) -> Map {
    Map::new().with("name", name).unless("default", "namespace", namespace).with_any("annotations", annotations)
}

fn envelope(version: &str, kind: &str, meta: Map) -> Map {
    Map::new().with("apiVersion", version).with("kind", kind).with("metadata", meta)
}

fn of_endpoint(endpoint: &ModelEndpoint) -> Yaml {
    let port = endpoint.port.iter().map(|port| {
        let protocol = port.protocol.map(|protocol| match protocol {
            Protocol::Http1 => "http1",
            Protocol::H2c => "h2c",
        });
        Map::new()
            .with("name", &port.name)
            .with("port", port.port)
            .with_some("containerPort", port.container_port)
            .with_some("protocol", protocol)
            .into()
    });
    let traffic = list(&endpoint.traffic, |target| {
        Map::new()
            .with(if target.inference_service.is_some() { "inferenceService" } else { "revision" }, target.name())
            .with("percent", target.percent.get())
            .with_some("tag", target.tag.as_ref())
            .with_any("autoscaling", of_autoscaling(&target.autoscaling))
            .into()
    });
    let path = match endpoint.path {
        PathMode::Auto => "auto",
        PathMode::Proxied => "proxied",
    };
    let on_unavailable = match endpoint.on_unavailable {
        OnUnavailable::Fail => "fail",
        OnUnavailable::Fallback => "fallback",
    };
    let spec = Map::new()
        .with_any("hosts", words(&endpoint.hosts))
        .with_any("ports", Yaml::List(port.collect()))
        .with("traffic", traffic)
        .with_any("match", list(&endpoint.matches, |one| of_match(one, endpoint)))
        .with_some("sticky", endpoint.sticky.as_ref().map(of_sticky))
        .unless("fail", "onUnavailable", on_unavailable)
        .with_any("shadow", list(&endpoint.shadows, of_shadow))
        .unless("auto", "path", path)
        .unless(0, "containerConcurrency", endpoint.container_concurrency.to_field())
        .with_any("timeouts", of_timeouts(&endpoint.timeouts))
        .with_any("queue", of_queue(&endpoint.queue))
        .with_any("autoscaling", of_autoscaling(&endpoint.autoscaling))
        .with_some("answerHeaders", (!endpoint.answer_headers).then_some(Yaml::Bool(false)));
    let meta = meta(&endpoint.key.namespace, &endpoint.key.name, Yaml::Map(Vec::new()));
    envelope(API_VERSION, "ModelEndpoint", meta).with("spec", spec).into()
}

fn of_match(one: &Match, endpoint: &ModelEndpoint) -> Yaml {
    let header = one.header.as_ref().map(|(name, pattern)| of_pattern(Map::new().with("name", name.as_str()), pattern));
    let cookie = one.cookie.as_ref().map(|(name, pattern)| of_pattern(Map::new().with("name", &**name), pattern));
    Map::new()
        .with_some("header", header)
        .with_some("cookie", cookie)
        .with_some("path", one.path.as_ref().map(|pattern| of_pattern(Map::new(), pattern)))
        .with_some("method", one.method.as_ref().map(http::Method::as_str))
        .with_some("to", endpoint.traffic.get(one.to).map(TrafficTarget::name))
        .into()
}

fn of_pattern(map: Map, pattern: &Pattern) -> Map {
    match pattern {
        Pattern::Exact(text) => map.with("exact", &**text),
        Pattern::Prefix(text) => map.with("prefix", &**text),
        Pattern::Regex(regex) => map.with("regex", regex.source()),
    }
}

fn of_sticky(sticky: &Sticky) -> Yaml {
    match sticky {
        Sticky::Header(name) => Map::new().with("header", name.as_str()),
        Sticky::Cookie { name, set } => {
            Map::new().with("cookie", &**name).with_some("setCookie", set.then_some(Yaml::Bool(true)))
        }
        Sticky::ClientAddress => Map::new().with("clientAddress", Yaml::Bool(true)),
    }
    .into()
}

fn of_shadow(shadow: &Shadow) -> Yaml {
    let compare = shadow.compare.as_ref().map(|rules| {
        let defaults = compare::Rules::default();
        let tolerance = rules.tolerance.total_cmp(&defaults.tolerance).is_ne().then_some(Yaml::Number(rules.tolerance));
        Yaml::from(Map::new().with_some("tolerance", tolerance).with_any("ignore", words(&rules.ignore)))
    });
    Map::new()
        .with("revision", shadow.target.name())
        .unless(100, "percent", shadow.percent.get())
        .with_some("wake", shadow.wake.then_some(Yaml::Bool(true)))
        .with_some("compare", compare)
        .into()
}

fn of_timeouts(timeouts: &Timeouts) -> Yaml {
    let defaults = Timeouts::default();
    let show = |limit: Option<std::time::Duration>| show_duration(limit.unwrap_or_default());
    let each = [
        ("request", timeouts.request, defaults.request),
        ("responseStart", timeouts.response_start, defaults.response_start),
        ("idle", timeouts.idle, defaults.idle),
    ];
    let mut map = Map::new();
    for (name, limit, _) in each.iter().filter(|(_, limit, default)| limit != default) {
        map = map.with(name, &show(*limit));
    }
    map.into()
}

fn of_queue(queue: &Queue) -> Yaml {
    let defaults = Queue::default();
    let max_bytes = (queue.max_bytes != defaults.max_bytes).then(|| show_size(queue.max_bytes));
    let max_wait = (queue.max_wait != defaults.max_wait).then(|| show_duration(queue.max_wait));
    Map::new()
        .unless(defaults.max_requests.get(), "maxRequests", queue.max_requests.get())
        .with_some("maxBytes", max_bytes.as_ref())
        .with_some("maxWait", max_wait.as_ref())
        .into()
}

fn of_autoscaling(autoscaling: &Autoscaling) -> Yaml {
    let mut map = Map::new();
    for (knob, text) in &autoscaling.0 {
        let number = match knob.kind() {
            KnobKind::Whole | KnobKind::Number => {
                text.parse().map(Yaml::Whole).or_else(|_| text.parse().map(Yaml::Number)).ok()
            }
            KnobKind::Word | KnobKind::Duration => None,
        };
        map = map.with(knob.field(), number.unwrap_or_else(|| text.into()));
    }
    map.into()
}

fn of_deployment(workload: &Deployment) -> Yaml {
    // Kubernetes wants a selector and labels that fit it; nothing here does.
    let labels = || Map::new().with("app", &*workload.key.name);
    let template_meta =
        Map::new().with("labels", labels()).with_any("annotations", texts(&workload.template_annotations));
    let pod = Map::new()
        .unless(Deployment::TERMINATION_GRACE, "terminationGracePeriodSeconds", workload.termination_grace)
        .with("containers", Yaml::List(vec![of_container(&workload.container)]));
    let spec = Map::new()
        .unless(Deployment::PROGRESS_DEADLINE, "progressDeadlineSeconds", workload.progress_deadline)
        .with("selector", Map::new().with("matchLabels", labels()))
        .with("template", Map::new().with("metadata", template_meta).with("spec", pod));
    let meta = meta(&workload.key.namespace, &workload.key.name, texts(&workload.annotations));
    envelope("apps/v1", "Deployment", meta).with("spec", spec).into()
}

fn of_container(container: &Container) -> Yaml {
    let env = list(&container.env, |variable| {
        Map::new().with("name", &variable.name).unless("", "value", variable.value.as_str()).into()
    });
    let ports = list(&container.ports, |port| {
        Map::new().with_some("name", port.name.as_ref()).with("containerPort", port.port).into()
    });
    Map::new()
        .with("name", &container.name)
        .with_some("image", container.image.as_ref())
        .with("command", words(&container.command))
        .with_any("args", words(&container.args))
        .with_some("workingDir", container.working_dir.as_ref())
        .with_any("env", env)
        .with_any("ports", ports)
        .with_some("readinessProbe", container.readiness.as_ref().map(of_probe))
        .with_some("livenessProbe", container.liveness.as_ref().map(of_probe))
        .with_some("startupProbe", container.startup.as_ref().map(of_probe))
        .into()
}

fn of_probe(probe: &Probe) -> Yaml {
    let port = |port: &PortRef| match port {
        PortRef::Number(number) => Yaml::from(*number),
        PortRef::Name(name) => name.into(),
    };
    let (kind, check) = match &probe.check {
        Check::HttpGet { path, port: at, headers } => {
            let header = |(name, value): &(String, String)| Map::new().with("name", name).with("value", value).into();
            let get = Map::new().unless("/", "path", path.as_str()).with("port", port(at));
            ("httpGet", get.with_any("httpHeaders", list(headers, header)))
        }
        Check::TcpSocket { port: at } => ("tcpSocket", Map::new().with("port", port(at))),
        Check::Grpc { port, service } => {
            ("grpc", Map::new().with("port", *port).unless("", "service", service.as_str()))
        }
        Check::Exec { command } => ("exec", Map::new().with("command", words(command))),
    };
    let defaults = Probe::new(probe.check.clone());
    Map::new()
        .with(kind, check)
        .unless(defaults.initial_delay, "initialDelaySeconds", probe.initial_delay)
        .unless(defaults.period, "periodSeconds", probe.period)
        .unless(defaults.timeout, "timeoutSeconds", probe.timeout)
        .unless(defaults.success_threshold, "successThreshold", probe.success_threshold)
        .unless(defaults.failure_threshold, "failureThreshold", probe.failure_threshold)
        .into()
}

fn of_config(config: &ConfigAutoscaler) -> Yaml {
    let meta = meta(&config.namespace, "config-autoscaler", Yaml::Map(Vec::new()));
    envelope("v1", "ConfigMap", meta).with_any("data", texts(&config.data)).into()
}

#[cfg(test)]
mod tests;
