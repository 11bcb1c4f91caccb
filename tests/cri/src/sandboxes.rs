//! Sandboxes: a pod's network, from its making to its removal.

use std::sync::Arc;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::Status;
use tracing::{info, warn};

use crate::containers::send_signal;
use crate::inside::{HolderSpec, Role};
use crate::line::Line;
use crate::protocol::{self as p, ContainerEventType as Kind};
use crate::state::{Pod, Sandbox, State, new_id, now, selects};
use crate::{Runtime, network};

impl Runtime {
    /// Makes a network for a pod, and gives the sandbox's id.
    pub(crate) async fn run_sandbox(self: Arc<Self>, request: p::RunPodSandboxRequest) -> anyhow::Result<String> {
        let config = request.config.context("a sandbox without configuration")?;
        let id = new_id();
        let address = match Sandbox::on_host(&config) {
            true => None,
            false => Some(self.next_address()?),
        };
        let (mut child, pid, mut line) = start_holder(address.is_some()).await?;
        if let Some(address) = address {
            let node = self.config.node_address;
            let attached = network::attach(&network::interface(&id), pid, address, node).await;
            attached.with_context(|| format!("cannot attach a pod at {address}"))?;
            line.tell(&HolderSpec { address, node }).await?;
            line.answer::<()>().await.context("cannot set up a pod's side of its network")?;
        }
        let (holder, _) = watch::channel(Some(pid));
        let metadata = config.metadata.clone().unwrap_or_default();
        info!(pod = %format_args!("{}/{}", metadata.namespace, metadata.name), ?address, %id, "sandbox started");
        let runtime_handler = request.runtime_handler;
        let sandbox = Sandbox { config, runtime_handler, created_at: now(), address, holder };
        {
            let mut state = self.state.lock();
            state.sandboxes.insert(id.clone(), sandbox);
            self.tell(&state, &id, Kind::ContainerCreatedEvent);
            // Without it a kubelet shows a pod's trouble with its image only seconds later.
            self.tell(&state, &id, Kind::ContainerStartedEvent);
        }
        let (runtime, held) = (self.clone(), id.clone());
        self.tasks.spawn(async move {
            let _ = child.wait().await;
            drop(line);
            let state = runtime.state.lock();
            if let Some(sandbox) = state.sandboxes.get(&held) {
                sandbox.holder.send_replace(None);
                runtime.tell(&state, &held, Kind::ContainerStoppedEvent);
            }
        });
        Ok(id)
    }

    fn next_address(&self) -> anyhow::Result<std::net::Ipv4Addr> {
        let State { sandboxes, addresses, .. } = &mut *self.state.lock();
        let in_use = |address| sandboxes.values().any(|sandbox| sandbox.address == Some(address));
        addresses.next(self.config.pod_range, in_use).context("all addresses for pods are in use")
    }

    /// Kills what is left in a sandbox, and takes its network away. Done already if it has stopped or is not known.
    pub(crate) async fn stop_sandbox(self: Arc<Self>, id: String) {
        for container in self.containers_in(&id) {
            self.stop_container(&container, std::time::Duration::ZERO).await;
        }
        let Some((mut holder, address)) =
            self.state.lock().sandboxes.get(&id).map(|sandbox| (sandbox.holder.subscribe(), sandbox.address))
        else {
            return;
        };
        let Some(pid) = *holder.borrow_and_update() else { return };
        if address.is_some()
            && let Err(error) = network::detach(&network::interface(&id)).await
        {
            warn!(%id, error = %format_args!("{error:#}"), "could not take a pod's network away");
        }
        send_signal(pid, Signal::SIGKILL);
        // An error says that the sandbox was removed meanwhile, and its holder with it.
        let _ = holder.wait_for(Option::is_none).await;
        info!(%id, "sandbox stopped");
    }

    /// Stops a sandbox and forgets it with its containers.
    pub(crate) async fn remove_sandbox(self: Arc<Self>, id: String) {
        self.clone().stop_sandbox(id.clone()).await;
        for container in self.containers_in(&id) {
            self.remove_container(&container).await;
        }
        let mut state = self.state.lock();
        self.tell(&state, &id, Kind::ContainerDeletedEvent);
        state.sandboxes.remove(&id);
    }

    fn containers_in(&self, sandbox: &str) -> Vec<String> {
        let state = self.state.lock();
        state.containers.iter().filter(|(_, it)| it.sandbox == sandbox).map(|(id, _)| id.clone()).collect()
    }

    /// A sandbox with all containers of its pod.
    pub(crate) fn sandbox_status(&self, id: &str) -> Result<p::PodSandboxStatusResponse, Status> {
        let state = self.state.lock();
        let sandbox = state.sandboxes.get(id).ok_or_else(|| Status::not_found(format!("no sandbox {id}")))?;
        Ok(p::PodSandboxStatusResponse {
            status: Some(sandbox.status(id)),
            containers_statuses: state.pods().get(sandbox.pod()).map(Pod::statuses).unwrap_or_default(),
            // A time says that this may be taken for an event's picture; without events it must not be said.
            timestamp: if self.config.polling { 0 } else { now() },
            ..p::PodSandboxStatusResponse::default()
        })
    }

    /// The sandboxes that a filter lets through.
    pub(crate) fn list_sandboxes(&self, filter: Option<p::PodSandboxFilter>) -> Vec<p::PodSandbox> {
        let filter = filter.unwrap_or_default();
        let passes = |sandbox: &p::PodSandbox| {
            (filter.id.is_empty() || filter.id == sandbox.id)
                && filter.state.is_none_or(|wanted| wanted.state == sandbox.state)
                && selects(&filter.label_selector, &sandbox.labels)
        };
        let state = self.state.lock();
        state.sandboxes.iter().map(|(id, sandbox)| sandbox.listed(id)).filter(passes).collect()
    }
}

/// Starts a process that holds a network namespace: its own, or for a pod on the host's network only a place in the list of
/// processes. It ends with the server, since the server's end of its line closes then.
async fn start_holder(own_network: bool) -> anyhow::Result<(Child, u32, Line)> {
    let (mut line, stdin) = Line::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg(Role::Holder.name())
        .args(own_network.then_some("--network"))
        .stdin(stdin)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the holder of a sandbox")?;
    let pid = child.id().context("the holder of a sandbox ended at once")?;
    line.answer::<()>().await.context("cannot make a pod's network namespace")?;
    Ok((child, pid, line))
}
