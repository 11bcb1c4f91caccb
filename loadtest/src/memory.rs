//! Memory that must not grow with what passes through: bodies of a gigabyte, ten thousand requests that wait, and what is
//! given back after a burst of bodies that were held.
//!
//! Only the memory of the program under test is looked at (`/proc/PID/status`); models and clients are other processes,
//! or this one.

mod bodies;
mod held;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

pub use bodies::{Large, through_rouse_up, through_sidecar};
pub use held::{Held, Holding, hold};

/// How long something may take to start on a slow machine.
const START: Duration = Duration::from_secs(60);

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its own, now.
    pub own: u64,
    /// The most that it ever had, with what it shares with others.
    pub peak: u64,
}

impl Memory {
    /// Of a process.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
        Self::read(&status)
    }

    fn read(status: &str) -> anyhow::Result<Self> {
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let line = line.with_context(|| format!("no {name}"))?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name}: {line}"))?;
            Ok(kib << 10)
        };
        Ok(Self { own: bytes("RssAnon")?, peak: bytes("VmHWM")? })
    }
}

/// Bytes as a person reads them.
#[derive(Clone, Copy, Debug)]
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

/// As many open files as may be; how many that is. What is started from here gets as many.
///
/// # Errors
/// If the limit can be neither raised nor read.
pub fn raise_open_files() -> anyhow::Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// One model as the file of `rouse up`, run by a shell so that it can wait before it becomes `rouse predictor`.
fn model(script: &str, container_concurrency: u32, autoscaling: &Value) -> String {
    let documents = [
        json!({
            "apiVersion": "rouse.dev/v1alpha1",
            "kind": "ModelEndpoint",
            "metadata": { "name": "model" },
            "spec": {
                "traffic": [{ "revision": "model-v1", "percent": 100 }],
                "containerConcurrency": container_concurrency,
                "autoscaling": autoscaling,
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "model-v1" },
            "spec": { "template": { "spec": { "containers": [{
                "name": "model",
                "command": ["sh", "-c", script],
            }] } } },
        }),
    ];
    documents.iter().map(|document| format!("---\n{document:#}\n")).collect()
}

/// A program that listens on a port that was free a moment ago. Killed when it is dropped.
#[derive(Debug)]
struct Listening {
    process: Child,
    address: SocketAddr,
}

impl Listening {
    /// Starts it, and returns once it takes connections.
    async fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, String)],
        port: u16,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let coming = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START, coming).await.with_context(|| format!("{} does not listen", program.display()))?;
        Ok(Self { process, address })
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("it has ended")
    }
}

/// A port that is free.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "VmHWM:\t    3072 kB\nVmRSS:\t  9000 kB\nRssAnon:\t    2048 kB\n";
        assert_eq!(Memory::read(status).unwrap(), Memory { own: 2 << 20, peak: 3 << 20 });
        assert!(Memory::read("Name:\tzombie\n").is_err());
    }
}
