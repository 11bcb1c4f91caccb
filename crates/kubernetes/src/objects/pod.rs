//! Pods: what of their JSON is kept, and what it means.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use platform::ReplicaState;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::envelope::{Kept, Meta, or_default, port};
use super::labels::Interned;
use super::{Labels, OwnPod, Pod, Shape, Sight, Stamp};
use crate::model::{Declared, is_tcp, port_of_model};
use crate::names::{DELETION_COST, DIRECT_PORT, PROXIED_PORT, SIDECAR};
use crate::site::COMPONENT;
use crate::world::{Key, Kind, Seen};

/// A pod in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Wire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

/// `spec` of a pod or of a template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    containers: Vec<Container>,
    #[serde(default, deserialize_with = "or_default")]
    init_containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "or_default")]
    env: Vec<Variable>,
    readiness_probe: Option<Probe>,
    startup_probe: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    container_port: Option<i64>,
    protocol: Option<String>,
}

/// What it is called; what it says is nobody's business here.
#[derive(Debug, Deserialize)]
struct Variable {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    exec: Option<IgnoredAny>,
    http_get: Option<HttpGet>,
}

#[derive(Debug, Deserialize)]
struct HttpGet {
    scheme: Option<String>,
}

impl Probe {
    /// Nobody but the kubelet asks these: a command runs in its container, and of TLS neither a sidecar nor an activator
    /// knows whom to believe.
    fn is_for_the_kubelet(&self) -> bool {
        let is_https = |get: &HttpGet| get.scheme.as_deref() == Some("HTTPS");
        self.exec.is_some() || self.http_get.as_ref().is_some_and(is_https)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    start_time: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", default, deserialize_with = "or_default")]
    pod_ips: Vec<Address>,
    #[serde(default, deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    #[serde(default, deserialize_with = "or_default")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "or_default")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Deserialize)]
struct Address {
    ip: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    reason: Option<String>,
    message: Option<String>,
    last_transition_time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    restart_count: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    state: State,
    #[serde(default, deserialize_with = "or_default")]
    last_state: State,
}

#[derive(Debug, Default, Deserialize)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: Option<i64>,
    signal: Option<i64>,
    reason: Option<String>,
    message: Option<String>,
    started_at: Option<String>,
}

impl Container {
    fn is_sidecar(&self) -> bool {
        let listens_on = |wanted| self.ports.iter().any(|found| port(found.container_port) == Some(wanted));
        self.name == SIDECAR || (listens_on(DIRECT_PORT) && listens_on(PROXIED_PORT))
    }

    /// Is a sidecar told whom to believe? By an autoscaler, from `AUTOSCALER_CA` on, or from files.
    fn is_encrypted(&self) -> bool {
        self.env.iter().any(|variable| ["AUTOSCALER_CA", "PROXIED_TLS_CA"].contains(&variable.name.as_str()))
    }

    fn only_platform_tells(&self) -> bool {
        self.startup_probe.is_some() || self.readiness_probe.as_ref().is_some_and(Probe::is_for_the_kubelet)
    }
}

impl Spec {
    /// Containers that are not our sidecar.
    fn models(&self) -> impl Iterator<Item = &Container> + Clone {
        self.containers.iter().filter(|container| !container.is_sidecar())
    }

    pub(crate) fn shape(&self) -> Shape {
        let declared = self.models().flat_map(|container| {
            container.ports.iter().filter(|port| is_tcp(port.protocol.as_deref())).filter_map(|declared| {
                let (container, name) = (container.name.as_str(), declared.name.as_deref());
                Some(Declared { container, name, port: port(declared.container_port)? })
            })
        });
        let chosen = port_of_model(declared);
        let sidecars = || self.containers.iter().chain(&self.init_containers).filter(|it| it.is_sidecar());
        Shape {
            sidecar: sidecars().next().is_some(),
            encrypted: sidecars().any(Container::is_encrypted),
            model_port: chosen.map_or(8080, |chosen| chosen.port),
            speaks_h2c: chosen.is_some_and(|chosen| chosen.name == Some("h2c")),
            only_platform_tells: self.models().any(Container::only_platform_tells),
        }
    }
}

impl Status {
    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    fn addresses(&self) -> Box<[IpAddr]> {
        let all = self.pod_ips.iter().filter_map(|address| address.ip.as_deref()).chain(self.pod_ip.as_deref());
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in all.filter_map(|text| text.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.into()
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Of that container; without a name of it, of the first.
    fn of_container(&self, name: Option<&str>) -> Option<&ContainerStatus> {
        self.container_statuses.iter().find(|status| name.is_none_or(|name| status.name == name))
    }

    /// How far the pod is and since when, but for leaving.
    ///
    /// Kubernetes does not say whether a pod that is not ready ever was. It sets the condition to False when it starts the
    /// pod, and again when the pod stops being ready: so one that changed later than the start was ready in between.
    fn progress(&self, created: Stamp) -> (ReplicaState, Stamp) {
        let Some(ready) = self.condition("Ready") else { return (ReplicaState::Starting, created) };
        let since = ready.last_transition_time.as_deref().map_or(created, |text| Stamp::said(Some(text)));
        if ready.status == "True" {
            return (ReplicaState::Ready, since);
        }
        let started = self.start_time.as_deref().map(|text| Stamp::said(Some(text)));
        // A second apart they can be by rounding alone.
        match started {
            Some(started) if 1 < since.seconds_after(started) => (ReplicaState::Unready, since),
            Some(_) | None => (ReplicaState::Starting, created),
        }
    }

    /// What keeps the pod from becoming ready, if something but time does.
    fn trouble(&self) -> Option<String> {
        if self.has_ended() {
            return Some(sentence(self.reason.as_deref().unwrap_or("the pod ended"), self.message.as_deref()));
        }
        let containers = || self.init_container_statuses.iter().chain(&self.container_statuses);
        let unscheduled = || {
            let condition = self.condition("PodScheduled").filter(|condition| condition.status == "False")?;
            Some(sentence(condition.reason.as_deref()?, condition.message.as_deref()))
        };
        containers().find_map(ContainerStatus::trouble).or_else(unscheduled)
    }
}

impl ContainerStatus {
    fn restarts(&self) -> u32 {
        u32::try_from(self.restart_count.unwrap_or_default().max(0)).unwrap_or(u32::MAX)
    }

    /// Runs that came to an end: every restart follows one, and the newest may have ended too.
    fn ends(&self) -> u32 {
        let ended =
            self.state.terminated.is_some() || (self.state.waiting.is_some() && self.last_state.terminated.is_some());
        self.restarts().saturating_add(u32::from(ended))
    }

    fn spawned(&self) -> Option<Stamp> {
        let running = self.state.running.as_ref().map(|running| &running.started_at);
        let ended = || [&self.state, &self.last_state].into_iter().find_map(|state| state.terminated.as_ref());
        let started = running.or_else(|| ended().map(|ended| &ended.started_at))?;
        Some(Stamp::said(Some(started.as_deref()?)))
    }

    fn trouble(&self) -> Option<String> {
        let last = || self.last_state.terminated.as_ref().map(Terminated::words);
        match &self.state {
            State { terminated: Some(ended), .. } if ended.is_failure() => Some(ended.words()),
            State { waiting: Some(waiting), .. } => match waiting.reason.as_deref() {
                // Time alone is what these need, unless something ended before.
                None | Some("ContainerCreating" | "PodInitializing") => last(),
                // The exit says more than how long Kubernetes waits before the next try.
                Some("CrashLoopBackOff") => last().or_else(|| Some("CrashLoopBackOff".to_owned())),
                Some(reason) => Some(sentence(reason, waiting.message.as_deref())),
            },
            // It was started again after it had ended, and has yet to become ready.
            State { running: Some(_), .. } if 0 < self.restarts() => last(),
            State { .. } => None,
        }
    }
}

impl Terminated {
    fn is_failure(&self) -> bool {
        self.exit_code != Some(0)
    }

    fn words(&self) -> String {
        let end = match (self.signal.filter(|signal| *signal != 0), self.exit_code) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(code)) => format!("exit status {code}"),
            (None, None) => "ended".to_owned(),
        };
        let end = match self.reason.as_deref() {
            None | Some("Error" | "Completed") => end,
            Some(reason) => format!("{reason}, {end}"),
        };
        sentence(&end, self.message.as_deref())
    }
}

/// A reason and what is said of it, short enough to be kept of many pods and shown in one line or a few.
fn sentence(reason: &str, message: Option<&str>) -> String {
    const LONGEST_CHARS: usize = 300;
    let message = message.map(str::trim).filter(|message| !message.is_empty());
    let all = message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"));
    match all.char_indices().nth(LONGEST_CHARS) {
        None => all,
        Some((end, _)) => format!("{}…", &all[..end]),
    }
}

impl Kept for Pod {
    type Wire = Wire;
    type Key = Key;

    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const WHAT: Kind = Kind::Pods;

    fn keep(wire: Wire) -> (Meta, Self) {
        let Wire { mut metadata, spec, status } = wire;
        let created = metadata.created();
        let (state, since) = match metadata.leaving_since() {
            Some(leaving) => (ReplicaState::Leaving, leaving),
            None => status.progress(created),
        };
        let container = spec.models().next().map(|container| container.name.as_str());
        let model = status.of_container(container);
        let ends = model.map_or(0, ContainerStatus::ends);
        let trouble = status.trouble().filter(|_| state != ReplicaState::Ready);
        let pod = Self {
            uid: Arc::clone(&metadata.uid),
            labels: Labels::from(std::mem::take(&mut metadata.labels)),
            addresses: status.addresses(),
            created,
            state,
            since,
            ended: status.has_ended(),
            shape: spec.shape(),
            deletion_cost: metadata.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()),
            spawned: model.and_then(ContainerStatus::spawned),
            ends,
            ends_before: match state {
                ReplicaState::Ready => ends,
                // It was ready, and what is in its way now has begun since.
                ReplicaState::Unready => ends.saturating_sub(1),
                ReplicaState::Starting | ReplicaState::Leaving => 0,
            },
            trouble: trouble.map(Arc::from),
        };
        (metadata, pod)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Key {
        (Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &Key) -> Option<&Arc<str>> {
        Some(&key.0)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Key, Arc<Self>> {
        &mut seen.pods
    }

    fn share(&mut self, interned: &mut Interned) {
        self.labels = interned.intern(std::mem::take(&mut self.labels));
    }

    fn settled(mut self, before: Option<&Self>, sight: Sight) -> Self {
        let before = before.filter(|before| before.uid == self.uid);
        self.created = self.created.settled(before.map(|before| before.created), sight);
        self.spawned = self.spawned.map(|spawned| spawned.settled(before.and_then(|before| before.spawned), sight));
        // What was seen ready stays one that was, whatever the times say.
        let was_ready =
            before.is_some_and(|before| matches!(before.state, ReplicaState::Ready | ReplicaState::Unready));
        if was_ready && self.state == ReplicaState::Starting {
            self.state = ReplicaState::Unready;
        }
        if let Some(before) = before.filter(|_| self.state != ReplicaState::Ready) {
            self.ends_before = before.ends_before;
        }
        let same = before.filter(|before| before.state == self.state);
        self.since = match self.state {
            ReplicaState::Starting => self.created,
            ReplicaState::Ready | ReplicaState::Unready | ReplicaState::Leaving => match same {
                // While it leaves its grace may be cut short, which moves the end that the API gives.
                Some(same) if self.state == ReplicaState::Leaving => same.since,
                same => self.since.settled(same.map(|same| same.since), sight),
            },
        };
        self
    }
}

impl Kept for OwnPod {
    type Wire = Wire;
    type Key = Arc<str>;

    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const WHAT: Kind = Kind::OwnPods;

    fn keep(wire: Wire) -> (Meta, Self) {
        let Wire { metadata, status, .. } = wire;
        let ready = status.condition("Ready").is_some_and(|ready| ready.status == "True");
        let pod = Self {
            name: metadata.name.as_str().into(),
            uid: Arc::clone(&metadata.uid),
            component: metadata.labels.get(COMPONENT).map_or_else(Arc::default, |word| word.as_str().into()),
            addresses: status.addresses().into(),
            ready,
            leaving: metadata.is_leaving(),
            ended: status.has_ended(),
        };
        (metadata, pod)
    }

    fn key(_: &Arc<str>, name: &Arc<str>) -> Arc<str> {
        Arc::clone(name)
    }

    fn namespace_of(_: &Arc<str>) -> Option<&Arc<str>> {
        None
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Arc<str>, Arc<Self>> {
        &mut seen.own_pods
    }
}

#[cfg(test)]
mod tests;
