//! Containers: processes, from their creation to their removal.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::Status;
use tracing::{info, warn};

use crate::images::{Image, name_in};
use crate::inside::{ContainerSpec, Role, exit_code};
use crate::line::Line;
use crate::protocol::{self as p, ContainerEventType as Kind};
use crate::state::{Container, Phase, State, environment, new_id, now, selects};
use crate::{Running, Runtime, logs};

impl Runtime {
    /// Writes a container down. Nothing runs yet.
    pub(crate) fn create_container(&self, request: p::CreateContainerRequest) -> Result<String, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("a container without configuration"))?;
        let image = config.image.as_ref().map(|image| name_in(&image.image).to_owned()).unwrap_or_default();
        self.image(&image).map_err(|error| Status::not_found(format!("{error:#}")))?;
        let mut state = self.state.lock();
        if !state.sandboxes.contains_key(&request.pod_sandbox_id) {
            return Err(Status::not_found(format!("no sandbox {}", request.pod_sandbox_id)));
        }
        let name = |config: &p::ContainerConfig| config.metadata.as_ref().map(|metadata| metadata.name.clone());
        let other = state.containers.iter().find(|(_, other)| {
            let is_same = other.sandbox == request.pod_sandbox_id && name(&other.config) == name(&config);
            is_same && matches!(*other.phase.borrow(), Phase::Running { .. })
        });
        if let Some((other, _)) = other {
            // A kubelet whose picture is older than its last action would start what runs already, and find every port taken
            // for as long as it tries. So it is told once more what there is.
            self.tell(&state, other, Kind::ContainerStartedEvent);
            return Err(Status::failed_precondition(format!("{} runs already", name(&config).unwrap_or_default())));
        }
        let (phase, _) = watch::channel(Phase::Created);
        let id = new_id();
        let container = Container { sandbox: request.pod_sandbox_id, config, image, created_at: now(), phase };
        state.containers.insert(id.clone(), container);
        self.tell(&state, &id, Kind::ContainerCreatedEvent);
        Ok(id)
    }

    /// What an image is now.
    pub(crate) fn image(&self, name: &str) -> anyhow::Result<Image> {
        self.images.find(name)?.with_context(|| format!("there is no image {name} in {}", self.config.images.display()))
    }

    /// How long the image of a container has its start take.
    pub(crate) fn start_delay(&self, id: &str) -> Result<Duration, Status> {
        let image = self.with_container(id, |_, container| container.image.clone())?;
        Ok(self.image(&image).map_or(Duration::ZERO, |image| image.start_delay))
    }

    /// Starts a container's process, and returns once it is the pod's own program.
    pub(crate) async fn start_container(self: Arc<Self>, id: String) -> anyhow::Result<()> {
        let (spec, log, mut running) = self.prepare(&id)?;
        let log = logs::open(&log).with_context(|| format!("cannot write the log {}", log.display()))?;
        let (mut child, line, pid) = start_process(&spec).await?;
        running.pid = pid;
        self.write_down(&id, &running)?;

        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let second = log.try_clone().context("cannot write the log twice")?;
        let started_at = now();
        self.enter(&id, Phase::Running { pid, started_at }, Kind::ContainerStartedEvent);
        info!(pod = %format_args!("{}/{}", running.namespace, running.pod), container = running.container, pid, "container started");

        let runtime = self.clone();
        self.tasks.spawn(async move {
            let copied = async {
                let stdout = async { if let Some(it) = stdout { logs::copy(it, "stdout", log).await } };
                let stderr = async { if let Some(it) = stderr { logs::copy(it, "stderr", second).await } };
                tokio::join!(stdout, stderr)
            };
            // All that it said is in the log before anyone learns that it ended: its descendants died with it, so that both
            // streams have ended.
            let (ended, _) = tokio::join!(child.wait(), copied);
            drop(line);
            let code = ended.map_or(255, exit_code);
            let _ = std::fs::remove_file(runtime.file_of(&id));
            runtime.enter(&id, Phase::Exited { started_at, finished_at: now(), code }, Kind::ContainerStoppedEvent);
            info!(pod = %format_args!("{}/{}", running.namespace, running.pod), container = running.container, code, "container ended");
        });
        Ok(())
    }

    /// All that the process of a container needs to be told: what to run, where its output goes, and who it is.
    fn prepare(&self, id: &str) -> anyhow::Result<(ContainerSpec, PathBuf, Running)> {
        let state = self.state.lock();
        let container = state.containers.get(id).with_context(|| format!("no container {id}"))?;
        if *container.phase.borrow() != Phase::Created {
            bail!("container {id} was started before");
        }
        let sandbox = state.sandboxes.get(&container.sandbox).context("its sandbox is gone")?;
        let holder = sandbox.holder.borrow().context("its sandbox has stopped")?;
        let (pod, config) = (&sandbox.config, &container.config);
        let image = self.image(&container.image)?;
        let metadata = pod.metadata.clone().unwrap_or_default();
        let hostname = if pod.hostname.is_empty() { metadata.name.clone() } else { pod.hostname.clone() };
        let command = if config.command.is_empty() { &image.command } else { &config.command };
        let spec = ContainerSpec {
            network_of: sandbox.address.map(|_| holder),
            root: self.config.root.join("roots").join(id),
            folders: image
                .command
                .iter()
                .map(PathBuf::from)
                .chain(image.folders.clone())
                .filter(|it| it.is_absolute())
                .collect(),
            resolv_conf: resolv_conf(pod.dns_config.as_ref()),
            mounts: config
                .mounts
                .iter()
                .map(|it| (it.host_path.clone(), it.container_path.clone(), it.readonly))
                .collect(),
            command: command.iter().chain(&config.args).cloned().collect(),
            env: environment(&image, config, &hostname),
            working_dir: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone().into() },
            hostname,
        };
        let log = Path::new(&pod.log_directory).join(&config.log_path);
        let container = config.metadata.clone().unwrap_or_default().name;
        let running =
            Running { namespace: metadata.namespace, pod: metadata.name, container, pid: 0, address: sandbox.address };
        Ok((spec, log, running))
    }

    fn file_of(&self, id: &str) -> PathBuf {
        self.config.root.join("containers").join(format!("{id}.json"))
    }

    /// Whole at once, since a test may look at any time.
    fn write_down(&self, id: &str, running: &Running) -> anyhow::Result<()> {
        let file = self.file_of(id);
        let draft = file.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec_pretty(running)?)?;
        std::fs::rename(&draft, &file).with_context(|| format!("cannot write {}", file.display()))
    }

    fn enter(&self, id: &str, phase: Phase, kind: Kind) {
        let state = self.state.lock();
        if let Some(container) = state.containers.get(id) {
            container.phase.send_replace(phase);
            self.tell(&state, id, kind);
        }
    }

    /// SIGTERM, and SIGKILL once `grace` has passed. Returns after the exit; done already if nothing runs.
    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) {
        let Ok(mut phase) = self.with_container(id, |_, container| container.phase.subscribe()) else { return };
        let Phase::Running { pid, .. } = *phase.borrow_and_update() else { return };
        let over = |phase: &Phase| phase.state() == p::ContainerState::ContainerExited;
        if Duration::ZERO < grace {
            send_signal(pid, Signal::SIGTERM);
            if tokio::time::timeout(grace, phase.wait_for(over)).await.is_ok() {
                return;
            }
        }
        send_signal(pid, Signal::SIGKILL);
        // An error says that the container was removed meanwhile, which waits for its end, too.
        let _ = phase.wait_for(over).await;
    }

    /// Kills a container if it runs, and forgets it. Its log is the kubelet's to remove.
    pub(crate) async fn remove_container(&self, id: &str) {
        self.stop_container(id, Duration::ZERO).await;
        let mut state = self.state.lock();
        self.tell(&state, id, Kind::ContainerDeletedEvent);
        state.containers.remove(id);
        let _ = std::fs::remove_dir(self.config.root.join("roots").join(id));
    }

    /// One container as the kubelet sees it.
    pub(crate) fn container_status(&self, id: &str) -> Result<p::ContainerStatus, Status> {
        self.state.lock().status(id).ok_or_else(|| Status::not_found(format!("no container {id}")))
    }

    /// The containers that a filter lets through.
    pub(crate) fn list_containers(&self, filter: Option<p::ContainerFilter>) -> Vec<p::Container> {
        let filter = filter.unwrap_or_default();
        let passes = |container: &p::Container| {
            (filter.id.is_empty() || filter.id == container.id)
                && (filter.pod_sandbox_id.is_empty() || filter.pod_sandbox_id == container.pod_sandbox_id)
                && filter.state.is_none_or(|wanted| wanted.state == container.state)
                && selects(&filter.label_selector, &container.labels)
        };
        let state = self.state.lock();
        state.containers.iter().map(|(id, container)| container.listed(id)).filter(passes).collect()
    }

    pub(crate) fn with_container<T>(&self, id: &str, look: impl FnOnce(&State, &Container) -> T) -> Result<T, Status> {
        let state = self.state.lock();
        let container = state.containers.get(id).ok_or_else(|| Status::not_found(format!("no container {id}")))?;
        Ok(look(&state, container))
    }
}

/// Starts the process that sets a container up and waits for it. Its exit is that of the container.
async fn start_process(spec: &ContainerSpec) -> anyhow::Result<(Child, Line, u32)> {
    let (mut line, stdin) = Line::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg(Role::Outside.name())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a container's process")?;
    line.tell(spec).await?;
    let pid = line.answer().await?;
    Ok((child, line, pid))
}

/// Sends a signal to a process that may have ended.
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let Ok(raw) = i32::try_from(pid) else { return };
    match kill(Pid::from_raw(raw), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(error) => warn!(%error, pid, %signal, "could not send a signal"),
    }
}

fn resolv_conf(dns: Option<&p::DnsConfig>) -> String {
    let Some(dns) = dns else { return String::new() };
    let mut text: String = dns.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (key, values) in [("search", &dns.searches), ("options", &dns.options)] {
        if !values.is_empty() {
            text += &format!("{key} {}\n", values.join(" "));
        }
    }
    text
}
