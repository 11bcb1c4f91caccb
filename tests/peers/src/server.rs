//! Models that others wrote, what stands in front of them, and the clients that others wrote.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use wired::{File, Model, Up, secs};

use crate::programs::{output, python};
use crate::sidecar::Sidecar;

/// A server with Python. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    _process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a script of `tests/peers/python`, which says where it listens. `None` without Python, said aloud.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(script: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = python(script)?;
        command.args(arguments).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python runs");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        let reading = timeout(secs(30), said.read_line(&mut line)).await;
        reading.unwrap_or_else(|_| panic!("{script} does not say where it listens")).expect("it can be read");
        let port: Option<u16> = line.trim_end().rsplit(' ').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{script} says where it listens, and not {line:?}"));
        Some(Self { _process: process, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A model with Python behind one or both of the programs that requests pass.
#[expect(clippy::large_enum_variant, reason = "there are two of them in a test")]
#[derive(Debug)]
pub enum Stage {
    /// Behind the sidecar.
    Sidecar(Server, Sidecar),
    /// Behind the activator and the sidecar, at zero until the first request.
    Up(Up),
}

impl Stage {
    /// One of each. None without Python, said aloud.
    pub async fn all(script: &str, arguments: &[&str]) -> Vec<Self> {
        let Some(server) = Server::start(script, arguments).await else { return Vec::new() };
        let sidecar = Sidecar::beside(server.address(), &[]).await;
        let up = Self::up(script, arguments).await;
        [Self::Sidecar(server, sidecar)].into_iter().chain(up).collect()
    }

    async fn up(script: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = python(script)?;
        command.args(arguments);
        let command = command.as_std();
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words = words.map(|word| word.to_str().expect("a path of words"));
        // Each script listens at PORT.
        Some(Self::Up(Up::start(&File::of(Model::command("peer", words))).await))
    }

    /// Where its clients go.
    pub fn url(&self) -> String {
        match self {
            Self::Sidecar(_, sidecar) => sidecar.url(""),
            // An endpoint that is alone answers for every Host.
            Self::Up(up) => format!("http://{}", up.shared()),
        }
    }
}

/// Runs a check of a client in `tests/peers/python` at each stage.
///
/// # Panics
/// If it does not pass, with what it said.
pub async fn passes(script: &str, check: &str, stages: &[Stage]) {
    for stage in stages {
        let mut client = python(script).expect("it was there for the server");
        client.args([check, &stage.url()]);
        if let Err(said) = succeeds(client).await {
            panic!("{check}, at {stage:?}:\n{said}");
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// With all that it said, if it did not succeed.
pub async fn succeeds(command: Command) -> Result<String, String> {
    let ended = output(command).await;
    let [out, complaints] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if ended.status.success() { Ok(out) } else { Err(format!("{}\n{out}\n{complaints}", ended.status)) }
}
