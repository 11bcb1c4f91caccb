//! A server, and a kubelet's calls to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use cri::protocol as p;
use cri::protocol::image_service_client::ImageServiceClient;
use cri::protocol::runtime_service_client::RuntimeServiceClient;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

/// No answer takes as long on any machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A server with a folder of its own; killed when dropped.
pub(crate) struct Node {
    pub(crate) folder: tempfile::TempDir,
    server: Child,
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    pub(crate) images: ImageServiceClient<Channel>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Node {
    /// A server for pods in `10.9.<third>.0/24`, with `shell` and what else `images` has.
    pub(crate) async fn start(third: u8, images: serde_json::Value, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("images.json"), images.to_string()).unwrap();
        let server = Command::new(env!("CARGO_BIN_EXE_cri"))
            .args(["--pod-cidr", &format!("10.9.{third}.0/24"), "--node-address", "10.9.0.1"])
            .arg("--socket")
            .arg(at("cri.sock"))
            .arg("--root")
            .arg(at("root"))
            .arg("--images")
            .arg(at("images.json"))
            .args(arguments)
            .spawn()
            .unwrap();
        let socket = at("cri.sock");
        let channel = until("the server listens", || connect(socket.clone())).await;
        Self {
            folder,
            server,
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        }
    }

    pub(crate) fn set_images(&self, images: &serde_json::Value) {
        std::fs::write(self.folder.path().join("images.json"), images.to_string()).unwrap();
    }

    /// A pod's sandbox, and its address.
    pub(crate) async fn sandbox(&mut self, pod: &str) -> (String, String) {
        let config = self.pod(pod);
        self.run_sandbox(config).await
    }

    pub(crate) async fn sandbox_on_host(&mut self, pod: &str) -> (String, String) {
        let namespaces = p::NamespaceOption { network: p::NamespaceMode::Node.into(), ..Default::default() };
        let context = p::LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
        let linux = p::LinuxPodSandboxConfig { security_context: Some(context), ..Default::default() };
        let config = p::PodSandboxConfig { linux: Some(linux), ..self.pod(pod) };
        self.run_sandbox(config).await
    }

    async fn run_sandbox(&mut self, config: p::PodSandboxConfig) -> (String, String) {
        let request = p::RunPodSandboxRequest { config: Some(config), ..Default::default() };
        let id = self.runtime.run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id;
        let status = p::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false };
        let status = self.runtime.pod_sandbox_status(status).await.unwrap().into_inner().status.unwrap();
        assert_eq!(status.state(), p::PodSandboxState::SandboxReady);
        (id, status.network.unwrap().ip)
    }

    /// The process that holds the network of the only pod: the server's only child.
    pub(crate) fn holder(&self) -> nix::unistd::Pid {
        let parent = format!("PPid:\t{}\n", self.server.id());
        let mut children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            status.contains(&parent).then(|| entry.file_name().to_str()?.parse().ok()).flatten()
        });
        let child = children.next().unwrap();
        assert_eq!(children.next(), None);
        nix::unistd::Pid::from_raw(child)
    }

    pub(crate) fn logs(&self, pod: &str) -> PathBuf {
        self.folder.path().join("logs").join(pod)
    }

    fn pod(&self, pod: &str) -> p::PodSandboxConfig {
        p::PodSandboxConfig {
            metadata: Some(p::PodSandboxMetadata {
                name: pod.into(),
                uid: format!("uid-of-{pod}"),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: pod.into(),
            log_directory: self.logs(pod).display().to_string(),
            dns_config: Some(p::DnsConfig {
                servers: vec!["10.96.0.10".into()],
                searches: vec!["default.svc.cluster.local".into()],
                options: Vec::new(),
            }),
            labels: [("app".to_owned(), pod.to_owned())].into(),
            ..Default::default()
        }
    }

    /// Creates a container with the image `shell`, whose script it is given; not started.
    pub(crate) async fn create(&mut self, sandbox: &str, pod: &str, script: &str, mounts: Vec<p::Mount>) -> String {
        self.try_to_create(sandbox, pod, script, mounts).await.unwrap()
    }

    pub(crate) async fn try_to_create(
        &mut self,
        sandbox: &str,
        pod: &str,
        script: &str,
        mounts: Vec<p::Mount>,
    ) -> Result<String, tonic::Status> {
        let config = p::ContainerConfig {
            metadata: Some(p::ContainerMetadata { name: "main".into(), attempt: 0 }),
            image: Some(p::ImageSpec { image: "shell:latest".into(), ..Default::default() }),
            args: vec!["-c".into(), script.into()],
            envs: vec![p::KeyValue { key: "GREETING".into(), value: "hello".into() }],
            mounts,
            log_path: "main/0.log".into(),
            ..Default::default()
        };
        let request = p::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(self.pod(pod)),
        };
        self.runtime.create_container(request).await.map(|created| created.into_inner().container_id)
    }

    pub(crate) async fn start_container(&mut self, id: &str) -> Result<(), tonic::Status> {
        self.runtime.start_container(p::StartContainerRequest { container_id: id.into() }).await.map(drop)
    }

    /// Creates and starts.
    pub(crate) async fn run(&mut self, sandbox: &str, pod: &str, script: &str) -> String {
        let id = self.create(sandbox, pod, script, Vec::new()).await;
        self.start_container(&id).await.unwrap();
        id
    }

    pub(crate) async fn status(&mut self, id: &str) -> p::ContainerStatus {
        let request = p::ContainerStatusRequest { container_id: id.into(), verbose: false };
        self.runtime.container_status(request).await.unwrap().into_inner().status.unwrap()
    }

    /// The status once the container has ended.
    pub(crate) async fn ended(&mut self, id: &str) -> p::ContainerStatus {
        let runtime = self.runtime.clone();
        until("the container ends", || {
            let mut runtime = runtime.clone();
            let request = p::ContainerStatusRequest { container_id: id.into(), verbose: false };
            async move {
                let status = runtime.container_status(request).await.unwrap().into_inner().status.unwrap();
                (status.state() == p::ContainerState::ContainerExited).then_some(status)
            }
        })
        .await
    }

    pub(crate) async fn stop(&mut self, id: &str, timeout: i64) {
        self.runtime.stop_container(p::StopContainerRequest { container_id: id.into(), timeout }).await.unwrap();
    }

    pub(crate) async fn exec(
        &mut self,
        id: &str,
        script: &str,
        timeout: i64,
    ) -> Result<p::ExecSyncResponse, tonic::Status> {
        let cmd = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let request = p::ExecSyncRequest { container_id: id.into(), cmd, timeout };
        self.runtime.exec_sync(request).await.map(tonic::Response::into_inner)
    }

    /// The lines that a pod's container said, without their times.
    pub(crate) async fn said(&self, pod: &str, wanted: &str) -> String {
        let log = self.logs(pod).join("main/0.log");
        until(&format!("{pod} says {wanted}"), || async {
            let text = std::fs::read_to_string(&log).ok()?;
            text.contains(wanted).then_some(text)
        })
        .await
    }
}

async fn connect(socket: PathBuf) -> Option<Channel> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.ok()
}

/// What `look` gives at last.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// The only container that runs on the node.
pub(crate) fn only_running(root: &Path) -> cri::Running {
    let mut running = cri::running(root).unwrap();
    assert_eq!(running.len(), 1, "{running:?}");
    running.remove(0)
}
