//! `queue-proxy` as a program.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use wired::{eventually, secs};

use crate::programs::ending_with_us;

/// A running `queue-proxy`. Killed when it is dropped.
#[derive(Debug)]
pub struct Sidecar {
    process: Child,
    folder: TempDir,
    direct: SocketAddr,
    proxied: SocketAddr,
}

impl Sidecar {
    /// Starts it beside a model, with settings from its environment, and returns once it has taken its ports.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn beside(model: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let output = fs::File::create(folder.path().join("output")).expect("a file can be written");
        let mut command = ending_with_us(wired::queue_proxy());
        for port in ["LISTEN", "PROXIED_LISTEN", "ADMIN_LISTEN"] {
            command.env(port, "127.0.0.1:0");
        }
        command.env("UPSTREAM", model.to_string()).env("LOG_FORMAT", "json").envs(settings.iter().copied());
        command.stdout(output.try_clone().expect("a descriptor can be had")).stderr(output);
        let process = command.spawn().expect("queue-proxy runs");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sidecar = Self { process, folder, direct: nowhere, proxied: nowhere };
        (sidecar.direct, sidecar.proxied) = eventually(secs(30), "queue-proxy serves", async || {
            if let Ok(Some(status)) = sidecar.process.try_wait() {
                panic!("queue-proxy ended with {status}:\n{}", sidecar.output());
            }
            sidecar.serving()
        })
        .await;
        sidecar
    }

    /// The port for clients.
    pub fn direct(&self) -> SocketAddr {
        self.direct
    }

    /// The port for activators.
    pub fn proxied(&self) -> SocketAddr {
        self.proxied
    }

    /// A URL at the port for clients.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.direct)
    }

    /// All that it has logged.
    pub fn output(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// The addresses in its line `serving`.
    fn serving(&self) -> Result<(SocketAddr, SocketAddr), String> {
        let output = self.output();
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let Some(line) = lines.into_iter().find(|line| line["message"] == "serving") else {
            return Err(output.clone());
        };
        let address = |name: &str| line[name].as_str().and_then(|address| address.parse().ok());
        address("direct").zip(address("proxied")).ok_or_else(|| line.to_string())
    }
}
