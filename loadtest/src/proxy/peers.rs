//! Who is measured, and how each is started: one worker thread, HTTP/1.1 and kept connections on both sides, bodies passed on
//! as they come, nothing logged for a request. The others (`others`) add no header; ours do all they do in production.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use crate::proxy::Stage;
use crate::proxy::model::Behind;
use crate::proxy::others;
use crate::proxy::process::Running;
use crate::proxy::trust::Trust;

/// A program that forwards requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Our sidecar
    QueueProxy,
    /// Another build of it
    Other,
    /// Our activator, straight before the model
    Activator,
    /// Another build of it
    OtherActivator,
    /// Our activator, with a sidecar between it and the model; only the activator is measured
    ActivatorAndSidecar,
    /// The same, with TLS between these two
    ActivatorAndSidecarTls,
    /// hyper and nothing else
    Bare,
    /// From PATH
    Nginx,
    /// From PATH
    Haproxy,
    /// Knative's sidecar
    Knative,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::QueueProxy,
        Self::Other,
        Self::Activator,
        Self::OtherActivator,
        Self::ActivatorAndSidecar,
        Self::ActivatorAndSidecarTls,
        Self::Bare,
        Self::Nginx,
        Self::Haproxy,
        Self::Knative,
    ];

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueProxy => "queue-proxy",
            Self::Other => "another build of it",
            Self::Activator => "activator",
            Self::OtherActivator => "another build of it",
            Self::ActivatorAndSidecar => "activator to sidecar",
            Self::ActivatorAndSidecarTls => "… with TLS",
            Self::Bare => "bare hyper proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Knative => "Knative's queue-proxy",
        }
    }

    /// Of its own: others are this bench.
    pub(crate) fn has_a_binary(self) -> bool {
        matches!(self, Self::QueueProxy | Self::Other | Self::Nginx | Self::Haproxy | Self::Knative)
    }

    /// The other build that it is compared with.
    pub(crate) fn other_build(self) -> Option<Self> {
        match self {
            Self::QueueProxy => Some(Self::Other),
            Self::Activator => Some(Self::OtherActivator),
            _ => None,
        }
    }
}

/// One that is here.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    /// The sidecar, where one stands between it and the model.
    pub(crate) sidecar: Option<PathBuf>,
}

/// The most connections that there are on either side of any of them.
pub(crate) const MOST_CONNECTIONS: usize = 1100;

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    /// Without TLS, by prior knowledge.
    Http2,
    /// TLS 1.3 with certificates on both sides, and HTTP/1.1 in it.
    Tls,
}

/// How a peer is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) wire: Wire,
    /// The most requests at the model at once. The bare proxy and nginx have no such limit.
    pub(crate) at_once: u32,
}

impl Setup {
    /// Nobody waits, for there are fewer connections; but all are counted and bounded as in production.
    pub(crate) fn unhindered(wire: Wire) -> Self {
        Self { wire, at_once: 1_000 }
    }
}

/// The most that wait.
const QUEUE_DEPTH: &str = "2000";

/// The allocator of our sidecar, as it is set there: an activator of the same process image as this bench has it too.
const ALLOCATOR: &str =
    "background_thread:true,narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_nslots_small_min:128";

impl Peer {
    /// Starts it in front of the model. `folder` is its own, and empty.
    pub(crate) async fn start(&self, setup: Setup, stage: &Stage, folder: &Path) -> anyhow::Result<Running> {
        self.start_it(setup, stage, folder).await.with_context(|| format!("{} cannot be measured", self.kind.name()))
    }

    async fn start_it(&self, setup: Setup, stage: &Stage, folder: &Path) -> anyhow::Result<Running> {
        let [listen, other, direct, proxied] = free_ports()?;
        let Stage { behind, trust } = stage;
        let model = behind.model;
        let Setup { wire, at_once } = setup;
        let mut command = Command::new(&self.program);
        let mut sidecar = None;
        match self.kind {
            Kind::QueueProxy | Kind::Other if wire == Wire::Tls => {
                // Activators come to the other port, and only that one has certificates.
                queue_proxy(&mut command, other, listen, at_once, behind);
                with_certificates(&mut command, trust);
            }
            Kind::QueueProxy | Kind::Other => queue_proxy(&mut command, listen, other, at_once, behind),
            Kind::Activator | Kind::OtherActivator => activator(&mut command, listen, model, at_once, behind),
            Kind::ActivatorAndSidecar | Kind::ActivatorAndSidecarTls => {
                let program = self.sidecar.as_ref().context("it needs a sidecar")?;
                let mut beside = Command::new(program);
                queue_proxy(&mut beside, direct, proxied, at_once, behind);
                if self.kind == Kind::ActivatorAndSidecarTls {
                    with_certificates(&mut beside, trust);
                }
                sidecar = Some(Running::start(beside, proxied, &folder.join("sidecar")).await?);
                activator(&mut command, listen, proxied, at_once, behind);
                command.arg("--sidecar");
                if self.kind == Kind::ActivatorAndSidecarTls {
                    command.arg("--certificate").arg(&trust.activators_certificate);
                    command.arg("--key").arg(&trust.activators_key).arg("--authority").arg(&trust.authority);
                }
            }
            Kind::Bare => {
                command.args(["bare-proxy", "--listen"]).arg(listen.to_string());
                command.arg("--upstream").arg(model.to_string());
                if wire == Wire::Http2 {
                    command.arg("--h2c");
                }
            }
            Kind::Nginx => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, others::nginx(listen, wire, trust, model, folder))?;
                command.arg("-p").arg(folder).arg("-c").arg(file).arg("-e").arg(folder.join("error.log"));
            }
            Kind::Haproxy => {
                let file = folder.join("haproxy.cfg");
                std::fs::write(&file, others::haproxy(listen, wire, trust, model, at_once))?;
                command.arg("-db").arg("-q").arg("-f").arg(file);
            }
            Kind::Knative => {
                let vars = others::knative(listen, other, model, at_once);
                command.env_clear().env("GOMAXPROCS", "1").envs(vars);
            }
        }
        Ok(Running::start(command, listen, &folder.join("output")).await?.with(sidecar))
    }

    /// Bytes of its binary.
    pub(crate) fn binary_bytes(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.program).with_context(|| self.program.display().to_string())?.len())
    }
}

fn queue_proxy(command: &mut Command, direct: SocketAddr, proxied: SocketAddr, at_once: u32, behind: &Behind) {
    command.env_clear();
    command.env("UPSTREAM", behind.model.to_string()).env("LISTEN", direct.to_string());
    command.env("PROXIED_LISTEN", proxied.to_string()).env("ADMIN_LISTEN", "127.0.0.1:0");
    command.env("CONTAINER_CONCURRENCY", at_once.to_string()).env("QUEUE_DEPTH", QUEUE_DEPTH).env("WORKERS", "1");
    command.env("AUTOSCALER", behind.autoscaler.to_string());
    command.env("NAMESPACE", "default").env("REVISION", "iris-v1").env("POD_NAME", "iris-v1-0");
}

fn with_certificates(sidecar: &mut Command, trust: &Trust) {
    sidecar.env("PROXIED_TLS_CERT", &trust.certificate).env("PROXIED_TLS_KEY", &trust.key);
    sidecar.env("PROXIED_TLS_CA", &trust.authority);
}

fn activator(command: &mut Command, listen: SocketAddr, replica: SocketAddr, at_once: u32, behind: &Behind) {
    command.env_clear().env("_RJEM_MALLOC_CONF", ALLOCATOR);
    command.arg("activator").arg("--listen").arg(listen.to_string());
    command.arg("--replica").arg(replica.to_string());
    command.arg("--autoscaler").arg(behind.autoscaler.to_string());
    command.arg("--container-concurrency").arg(at_once.to_string());
}

/// Where a program lies: in the folders of `path`, and in those where servers are installed.
pub(crate) fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path.into_iter().flat_map(std::env::split_paths);
    let servers = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    folders.chain(servers).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Free until now. All are held at once, so that they differ.
fn free_ports() -> anyhow::Result<[SocketAddr; 4]> {
    let taken = [(); 4].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 4];
    for (port, listener) in ports.iter_mut().zip(&taken) {
        *port = listener.as_ref().map_err(|error| anyhow::anyhow!("no free port: {error}"))?.local_addr()?;
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_the_path_first() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nginx");
        std::fs::write(&program, "").unwrap();
        assert_eq!(find("nginx", Some(folder.path().as_os_str())), Some(program));
        assert_eq!(find("no-such-proxy", Some(folder.path().as_os_str())), None);
    }
}
