//! What the runtime keeps, and what the kubelet is told of it.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::Path;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::images::Image;
use crate::network::Turn;
use crate::protocol as p;

/// Everything there is, by id.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sandboxes: BTreeMap<String, Sandbox>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) addresses: Turn,
}

/// A pod's frame: its network, and the process that holds it.
pub(crate) struct Sandbox {
    pub(crate) config: p::PodSandboxConfig,
    pub(crate) runtime_handler: String,
    pub(crate) created_at: i64,
    /// None on the host's network.
    pub(crate) address: Option<Ipv4Addr>,
    /// The process that holds the network's namespace; none once it has ended.
    pub(crate) holder: watch::Sender<Option<u32>>,
}

/// A container, from its creation to its removal.
pub(crate) struct Container {
    pub(crate) sandbox: String,
    pub(crate) config: p::ContainerConfig,
    /// The image's name, without tag.
    pub(crate) image: String,
    pub(crate) created_at: i64,
    pub(crate) phase: watch::Sender<Phase>,
}

/// How far a container is. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Running { pid: u32, started_at: i64 },
    Exited { started_at: i64, finished_at: i64, code: i32 },
}

/// Nanoseconds since 1970, as the protocol counts time.
pub(crate) fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// A name that was never given before, also by a server that was there before.
pub(crate) fn new_id() -> String {
    format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..))
}

/// Whether all that is selected stands among the labels.
pub(crate) fn selects(selector: &HashMap<String, String>, labels: &HashMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl State {
    /// The pod's uid that a sandbox or a container belongs to.
    pub(crate) fn pod_of(&self, id: &str) -> Option<&str> {
        let sandbox = self.containers.get(id).map_or(id, |container| &container.sandbox);
        self.sandboxes.get(sandbox).map(Sandbox::pod)
    }

    /// Every pod, by its uid.
    pub(crate) fn pods(&self) -> HashMap<&str, Pod<'_>> {
        let mut pods: HashMap<&str, Pod<'_>> = HashMap::new();
        for (id, sandbox) in &self.sandboxes {
            let pod = pods.entry(sandbox.pod()).or_insert(Pod { id, sandbox, containers: Vec::new() });
            if pod.sandbox.created_at < sandbox.created_at {
                (pod.id, pod.sandbox) = (id, sandbox);
            }
        }
        for (id, container) in &self.containers {
            let Some(sandbox) = self.sandboxes.get(&container.sandbox) else { continue };
            if let Some(pod) = pods.get_mut(sandbox.pod()) {
                pod.containers.push((id, container, sandbox));
            }
        }
        pods
    }

    /// One container as the kubelet sees it.
    pub(crate) fn status(&self, id: &str) -> Option<p::ContainerStatus> {
        let container = self.containers.get(id)?;
        Some(container.status(id, self.sandboxes.get(&container.sandbox)?))
    }
}

/// A pod as one picture of it shows it. A picture has one sandbox, the newest: that of an older one would have the kubelet
/// make another.
pub(crate) struct Pod<'a> {
    pub(crate) id: &'a str,
    pub(crate) sandbox: &'a Sandbox,
    /// All of them, also those of older sandboxes.
    containers: Vec<(&'a str, &'a Container, &'a Sandbox)>,
}

impl Pod<'_> {
    pub(crate) fn statuses(&self) -> Vec<p::ContainerStatus> {
        self.containers.iter().map(|(id, container, sandbox)| container.status(id, sandbox)).collect()
    }
}

impl Container {
    /// One container as the kubelet sees it.
    fn status(&self, id: &str, sandbox: &Sandbox) -> p::ContainerStatus {
        let config = &self.config;
        let phase = *self.phase.borrow();
        let (started_at, finished_at, exit_code) = match phase {
            Phase::Created => (0, 0, 0),
            Phase::Running { started_at, .. } => (started_at, 0, 0),
            Phase::Exited { started_at, finished_at, code } => (started_at, finished_at, code),
        };
        let reason = match phase {
            Phase::Created | Phase::Running { .. } => "",
            Phase::Exited { code: 0, .. } => "Completed",
            Phase::Exited { .. } => "Error",
        };
        p::ContainerStatus {
            id: id.to_owned(),
            metadata: config.metadata.clone(),
            state: phase.state().into(),
            created_at: self.created_at,
            started_at,
            finished_at,
            exit_code,
            image: Some(self.shown_image()),
            image_ref: self.image.clone(),
            image_id: self.image.clone(),
            reason: reason.to_owned(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: format!("{}/{}", sandbox.config.log_directory, config.log_path),
            ..p::ContainerStatus::default()
        }
    }

    /// The container in a list.
    pub(crate) fn listed(&self, id: &str) -> p::Container {
        p::Container {
            id: id.to_owned(),
            pod_sandbox_id: self.sandbox.clone(),
            metadata: self.config.metadata.clone(),
            image: Some(self.shown_image()),
            image_ref: self.image.clone(),
            image_id: self.image.clone(),
            state: self.phase.borrow().state().into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
        }
    }

    /// The image by the name that the pod gave it, which is what people look for in a pod's status.
    fn shown_image(&self) -> p::ImageSpec {
        let mut image = self.config.image.clone().unwrap_or_default();
        if !image.user_specified_image.is_empty() {
            image.image.clone_from(&image.user_specified_image);
        }
        image
    }
}

impl Sandbox {
    /// The pod's uid.
    pub(crate) fn pod(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.uid)
    }

    pub(crate) fn state(&self) -> p::PodSandboxState {
        match *self.holder.borrow() {
            Some(_) => p::PodSandboxState::SandboxReady,
            None => p::PodSandboxState::SandboxNotready,
        }
    }

    /// Whether it has the host's network instead of its own.
    pub(crate) fn on_host(config: &p::PodSandboxConfig) -> bool {
        namespaces(config).is_some_and(|options| options.network() == p::NamespaceMode::Node)
    }

    /// The sandbox as the kubelet sees it.
    pub(crate) fn status(&self, id: &str) -> p::PodSandboxStatus {
        p::PodSandboxStatus {
            id: id.to_owned(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            network: Some(p::PodSandboxNetworkStatus {
                ip: self.address.map(|address| address.to_string()).unwrap_or_default(),
                additional_ips: Vec::new(),
            }),
            // Given back as it came: a kubelet that finds a difference makes another sandbox.
            linux: Some(p::LinuxPodSandboxStatus {
                namespaces: Some(p::Namespace { options: namespaces(&self.config).cloned() }),
            }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }

    /// The sandbox in a list.
    pub(crate) fn listed(&self, id: &str) -> p::PodSandbox {
        p::PodSandbox {
            id: id.to_owned(),
            metadata: self.config.metadata.clone(),
            state: self.state().into(),
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }
}

fn namespaces(config: &p::PodSandboxConfig) -> Option<&p::NamespaceOption> {
    config.linux.as_ref()?.security_context.as_ref()?.namespace_options.as_ref()
}

impl Phase {
    pub(crate) fn state(self) -> p::ContainerState {
        match self {
            Self::Created => p::ContainerState::ContainerCreated,
            Self::Running { .. } => p::ContainerState::ContainerRunning,
            Self::Exited { .. } => p::ContainerState::ContainerExited,
        }
    }
}

/// The variables of a container: those of the image, which the pod's own ones may replace. The folder of the image's program
/// is looked into first, as images have theirs on their path.
pub(crate) fn environment(image: &Image, config: &p::ContainerConfig, hostname: &str) -> BTreeMap<String, String> {
    let program =
        image.command.first().and_then(|program| Path::new(program).parent()).filter(|folder| folder.is_absolute());
    let own = program.map(|folder| format!("{}:", folder.display())).unwrap_or_default();
    let path = format!("{own}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let usual = [("PATH", path.as_str()), ("HOSTNAME", hostname), ("HOME", "/root")];
    let usual = usual.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let own = config.envs.iter().map(|it| (it.key.clone(), it.value.clone()));
    usual.into_iter().chain(image.env.clone()).chain(own).collect()
}
