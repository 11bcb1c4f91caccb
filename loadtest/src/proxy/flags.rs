//! What is asked for on the command line, and who is here to be measured.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::Form;
use crate::proxy::Plan;
use crate::proxy::peers::{Kind, Peer, find};
use crate::proxy::scenes::{MEMORY, Part, SCENES};

/// What the sidecar and the activator cost each request, beside nginx, HAProxy and a bare hyper proxy
///
/// Each has one worker thread and kept connections on both sides, and passes the same bytes on; ours with all they do in
/// production, and a limit of 1,000 requests at once that is never reached. All take turns in each round, and are
/// started anew for it, so that a slow moment of the machine slows all alike: trust the ratios. CPU is the processor time of
/// the whole process tree. Latency is measured at 1,000 requests a second from when each was due, less what the model
/// answers by itself. nginx and HAProxy are taken from PATH and /usr/sbin; who is missing is named. Everything, in five
/// rounds, takes about 8 minutes on two cores that do nothing else, and 12 with Knative's sidecar; progress is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest proxy --queue-proxy target/dist/queue-proxy --row docs/performance.md\n\
    Example: loadtest proxy --only activator,connections --rounds 2 --requests 20000")]
pub(crate) struct Flags {
    /// Only these parts, with commas between them
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Only these peers, with commas between them
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Kind>,
    /// How often all are measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Requests to each in each round, of 64 connections to a sidecar; elsewhere in proportion
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: u64,
    /// How long latency is measured, of each in each round
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    paced: u64,
    /// The sidecar to measure
    #[arg(long, value_name = "PATH", default_value = "target/dist/queue-proxy")]
    queue_proxy: PathBuf,
    /// Another build of the sidecar, to compare with in the same rounds
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Another build of this program, whose activator is to be compared with in the same rounds
    #[arg(long, value_name = "PATH")]
    against_activator: Option<PathBuf>,
    /// Knative's queue-proxy, to measure it too
    #[arg(long, value_name = "PATH")]
    knative_queue_proxy: Option<PathBuf>,
    /// For people or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub(crate) output: Form,
    /// Adds a row to each table of this file whose part was measured; it is `docs/performance.md`
    #[arg(long, value_name = "FILE")]
    pub(crate) row: Option<PathBuf>,
}

impl Flags {
    /// What is to be measured and can be, and why the rest cannot.
    pub(super) fn plan(&self) -> anyhow::Result<(Plan, Vec<Peer>, Vec<String>)> {
        let mut parts = if self.only.is_empty() { Part::ALL.to_vec() } else { self.only.clone() };
        let path = std::env::var_os("PATH");
        let h2load = find("h2load", path.as_deref());
        let mut left_out = Vec::new();
        if h2load.is_none() && parts.contains(&Part::H2c) {
            parts.retain(|part| *part != Part::H2c);
            left_out.push("h2c: no program h2load in PATH: sudo apt-get install nghttp2-client".to_owned());
        }
        let peers = self.peers(&parts, path.as_deref(), &mut left_out)?;
        anyhow::ensure!(!peers.is_empty(), "nobody is left to be measured: {}", left_out.join("; "));
        let paced = Duration::from_secs(self.paced);
        Ok((Plan { parts, rounds: self.rounds, requests: self.requests, paced, h2load }, peers, left_out))
    }

    fn peers(&self, parts: &[Part], path: Option<&OsStr>, left_out: &mut Vec<String>) -> anyhow::Result<Vec<Peer>> {
        let takes_part = |kind: &Kind| {
            let in_scene = SCENES.iter().any(|scene| parts.contains(&scene.part) && scene.peers.contains(kind));
            let asked = match kind {
                Kind::Other => self.against.is_some(),
                Kind::OtherActivator => self.against_activator.is_some(),
                _ => self.peers.is_empty() || self.peers.contains(kind),
            };
            (in_scene || parts.contains(&Part::Memory) && MEMORY.contains(kind)) && asked
        };
        let mut here = Vec::new();
        for kind in Kind::ALL.into_iter().filter(takes_part) {
            let server = |name| {
                find(name, path).ok_or(format!("no program {name} in PATH or /usr/sbin: sudo apt-get install {name}"))
            };
            let given = |path: &Option<PathBuf>, flag| path.clone().ok_or(format!("no {flag}"));
            let program = match kind {
                Kind::QueueProxy => Ok(self.queue_proxy.clone()),
                Kind::Other => given(&self.against, "--against"),
                Kind::OtherActivator => given(&self.against_activator, "--against-activator"),
                Kind::Bare | Kind::Activator | Kind::ActivatorAndSidecar | Kind::ActivatorAndSidecarTls => {
                    Ok(std::env::current_exe().context("where is this program?")?)
                }
                Kind::Nginx => server("nginx"),
                Kind::Haproxy => server("haproxy"),
                Kind::Knative => given(&self.knative_queue_proxy, "--knative-queue-proxy"),
            };
            match program {
                Ok(program) => {
                    let sidecar = matches!(kind, Kind::ActivatorAndSidecar | Kind::ActivatorAndSidecarTls)
                        .then(|| self.queue_proxy.clone());
                    for program in [Some(&program), sidecar.as_ref()].into_iter().flatten() {
                        anyhow::ensure!(program.is_file(), "{}: no such program: {}", kind.name(), program.display());
                    }
                    here.push(Peer { kind, program, sidecar });
                }
                Err(why) => left_out.push(format!("{}: {why}", kind.name())),
            }
        }
        Ok(here)
    }
}
