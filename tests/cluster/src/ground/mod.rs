//! A real control plane and a real kubelet, as plain processes.

pub(crate) mod identities;
mod names;
mod programs;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};

use crate::images::Images;
use crate::inside::NODE;
pub use cri::Running as Container;
use identities::Identities;
use names::Names;
pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use programs::Program;

/// Binaries of Kubernetes, of etcd, and of the container runtime.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Folder of etcd and of those of Kubernetes.
    pub kubernetes: PathBuf,
    /// The folder that cargo builds into: our own programs.
    pub ours: PathBuf,
}

/// A cluster that runs. All of it ends when it is dropped.
pub struct Ground {
    folder: tempfile::TempDir,
    /// Who is who.
    pub identities: Identities,
    /// Images that pods may name.
    pub images: Images,
    client: Client,
    kubectl: PathBuf,
    /// The folder of our own programs.
    pub ours: PathBuf,
    programs: Programs,
    pub(crate) installed: tokio::sync::OnceCell<()>,
    pub(crate) kserve: tokio::sync::OnceCell<()>,
}

struct Programs {
    etcd: Program,
    apiserver: Program,
    others: Vec<Program>,
    kubelet: Program,
    _names: Names,
}

impl Ground {
    /// Starts everything, and returns once pods can be deployed. Says how far it is.
    ///
    /// # Errors
    /// If a program does not come up, with the end of its log.
    pub async fn start(binaries: &Binaries) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let holder = tempfile::Builder::new().prefix("rouse-cluster-").tempdir()?;
        let folder = holder.path();
        let identities = Identities::make(&folder.join("identities"))?;
        let images = Images::of_ours(folder.join("images.json"), &binaries.ours)?;
        let of_kubernetes = |name| binaries.kubernetes.join(name);

        let etcd = Program::start("etcd", of_kubernetes("etcd"), settings::etcd(folder), folder)?;
        let flags = settings::apiserver(folder, &identities)?;
        let mut apiserver = Program::start("kube-apiserver", of_kubernetes("kube-apiserver"), flags, folder)?;
        let client = identities.client("admin").await?;
        apiserver.until("ready", async || is_ready(&client).await).await?;
        say(begun, "the API server answers");

        let mut controllers = Program::start(
            "kube-controller-manager",
            of_kubernetes("kube-controller-manager"),
            settings::controller_manager(folder, &identities),
            folder,
        )?;
        let flags = settings::scheduler(folder, &identities);
        let scheduler = Program::start("kube-scheduler", of_kubernetes("kube-scheduler"), flags, folder)?;
        let socket = folder.join("runtime.sock");
        let flags = settings::runtime(folder, &socket, &folder.join("images.json"));
        let mut runtime = Program::start("cri", binaries.ours.join("cri"), flags, folder)?;
        runtime.until("listening", async || socket.exists()).await?;
        let flags = settings::kubelet(folder, &identities, &socket)?;
        let mut kubelet = Program::start("kubelet", of_kubernetes("kubelet"), flags, folder)?;
        let flags = settings::proxy(folder, &identities)?;
        let proxy = Program::start("kube-proxy", of_kubernetes("kube-proxy"), flags, folder)?;

        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        controllers.until("making ServiceAccounts", async || accounts.get("default").await.is_ok()).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        let can_be_used = async || nodes.get(identities::NODE_NAME).await.is_ok_and(|node| is_usable(&node));
        kubelet.until("a node that can be used", can_be_used).await?;
        say(begun, "the node is ready");
        let names = Names::start(&client).await?;
        let others = vec![controllers, scheduler, runtime, proxy];
        let (kubectl, ours) = (of_kubernetes("kubectl"), binaries.ours.clone());
        let installed = tokio::sync::OnceCell::new();
        Ok(Self {
            folder: holder,
            installed,
            kserve: tokio::sync::OnceCell::new(),
            identities,
            images,
            client,
            kubectl,
            ours,
            programs: Programs { etcd, apiserver, others, kubelet, _names: names },
        })
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where logs of the control plane are, and those of pods under `pods`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the API server and starts it again after a while. Returns when it is ready.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart_apiserver(&mut self, after: Duration) -> anyhow::Result<()> {
        self.programs.apiserver.kill().await?;
        tokio::time::sleep(after).await;
        self.programs.apiserver.start_again()?;
        let client = self.client.clone();
        self.programs.apiserver.until("ready", async || is_ready(&client).await).await
    }

    /// Kills etcd and starts it again after a while.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn restart_etcd(&mut self, after: Duration) -> anyhow::Result<()> {
        self.programs.etcd.kill().await?;
        tokio::time::sleep(after).await;
        self.programs.etcd.start_again()
    }

    /// What kubectl does with these arguments, as somebody who may do everything.
    ///
    /// # Errors
    /// What it says if it fails.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(&self.kubectl);
        command.args(args).env("KUBECONFIG", self.identities.file("admin.kubeconfig"));
        let done = command.output().await.context("kubectl")?;
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        anyhow::ensure!(done.status.success(), "kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr));
        Ok(told)
    }

    /// What Rouse's programs asked of the API server so far, one JSON value a request.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn audit(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let text = std::fs::read_to_string(self.folder().join("audit.log")).context("the audit log")?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Stops the kubelet, as a machine that nobody looks after any more: containers run on.
    ///
    /// # Errors
    /// If it cannot be stopped.
    pub async fn stop_kubelet(&mut self) -> anyhow::Result<()> {
        self.programs.kubelet.kill().await
    }

    /// Starts the kubelet again. Returns when it answers.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_kubelet(&mut self) -> anyhow::Result<()> {
        self.programs.kubelet.start_again()?;
        let answers = async || tokio::net::TcpStream::connect((NODE, 10_250)).await.is_ok();
        self.programs.kubelet.until("listening", answers).await
    }

    /// What each program of the cluster holds in memory, in MiB, as a line to print.
    pub fn memory(&self) -> String {
        let Programs { etcd, apiserver, others, kubelet, .. } = &self.programs;
        let all = [etcd, apiserver, kubelet].into_iter().chain(others);
        all.map(Program::memory).collect::<Vec<_>>().join(", ")
    }

    /// Containers that run, as the runtime says: pod, container, process and address of each.
    ///
    /// # Errors
    /// If the runtime keeps no list.
    pub fn containers(&self) -> anyhow::Result<Vec<Container>> {
        cri::running(&self.folder().join("runtime"))
    }

    /// One of them.
    ///
    /// # Errors
    /// If it does not run.
    pub fn container(&self, namespace: &str, pod: &str, container: &str) -> anyhow::Result<Container> {
        let is_it = |it: &Container| it.namespace == namespace && it.pod == pod && it.container == container;
        let found = self.containers()?.into_iter().find(is_it);
        found.with_context(|| format!("{container} of {namespace}/{pod} does not run"))
    }

    /// Sends a signal to the process of a container: SIGKILL for a crash, SIGSTOP for one that hangs.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, container: &Container, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(container.pid.try_into()?), signal)?)
    }
}

fn say(begun: Instant, what: &str) {
    eprintln!("cluster: {what}, after {:.1} s", begun.elapsed().as_secs_f64());
}

async fn is_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    let asked = tokio::time::timeout(Duration::from_secs(1), client.request_text(request)).await;
    matches!(asked, Ok(Ok(_)))
}

fn is_usable(node: &Node) -> bool {
    let is_tainted =
        node.spec.as_ref().is_some_and(|spec| spec.taints.as_ref().is_some_and(|taints| !taints.is_empty()));
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.clone().any(|it| it.type_ == "Ready" && it.status == "True");
    is_ready && !is_tainted
}
