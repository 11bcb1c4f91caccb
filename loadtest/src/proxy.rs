//! What the sidecar costs each request, beside others that forward: processor time, added latency, memory, size.
//!
//! All are measured in one run and in turns, for what is stable on a machine is the ratio of two of them, not the figure of
//! one. In reading order: `peers` (who, and how set up), `message`, `model` (what stands behind), `load` (who asks),
//! `process` (what it cost), `bare` (the proxy that does nothing else), `figures` (medians and ratios), `row` (one line for
//! `docs/performance.md`). Measured here and nowhere: TLS, HTTP/2, bodies that stream.

mod bare;
mod figures;
mod load;
mod message;
mod model;
mod peers;
mod process;
mod row;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

pub(crate) use bare::serve as serve_bare;
pub(crate) use figures::Report;
pub(crate) use peers::{Kind, Peer, find};
pub(crate) use row::add_to as add_row;

use figures::{Machine, Sample};
use load::{ClosedLoop, at_constant_rate};
use model::Behind;

/// Connections of the client, and those that proxies keep.
const CONNECTIONS: usize = 64;
/// A round's first requests, which fill caches and pools: one in so many of those that are measured.
const WARM_UP: u64 = 5;
/// Requests a second at which latency is measured.
const RATE: u32 = 1_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// Of each peer in each round.
    pub(crate) requests: u64,
    /// How long latency is measured, of each peer in each round.
    pub(crate) paced: Duration,
}

/// Measures them in turns. Whatever it started has ended when it returns, or is dropped.
///
/// # Errors
/// If one does not start, or a request is not answered as it should be.
pub(crate) async fn measure(plan: Plan, peers: &[Peer], left_out: Vec<String>) -> anyhow::Result<Report> {
    let machine = Machine::look()?;
    let behind = Behind::start().await?;
    let folder = TempDir::new().context("making a temporary folder")?;
    let mut samples: BTreeMap<Kind, Vec<Sample>> = BTreeMap::new();
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        let direct = paced(behind.model, plan.paced).await.context("the model itself")?;
        // Each begins once: what the machine does to the first of a round is done to all.
        let first = round as usize % peers.len();
        for peer in peers[first..].iter().chain(&peers[..first]) {
            let name = peer.kind.name();
            let place = folder.path().join(format!("{:?}-{round}", peer.kind));
            std::fs::create_dir(&place)?;
            let seen = look_at(peer, plan, &behind, &place).await.with_context(|| format!("{name}, round {round}"))?;
            let [added_p50, added_p99] = [0, 1].map(|which| seen.paced[which] - direct[which]);
            samples.entry(peer.kind).or_default().push(Sample { added_p50, added_p99, ..seen.sample });
        }
    }
    let sizes = peers.iter().map(|peer| Ok((peer.kind, peer.binary_bytes()?))).collect::<anyhow::Result<_>>()?;
    Ok(Report::new(machine, plan, left_out, &samples, &sizes))
}

struct Seen {
    sample: Sample,
    /// The 50th and the 99th percentile, in seconds, from when a request was due.
    paced: [f64; 2],
}

async fn look_at(peer: &Peer, plan: Plan, behind: &Behind, place: &Path) -> anyhow::Result<Seen> {
    let running = peer.start(behind, place).await?;
    let idle_bytes = running.own_memory()?;
    let mut clients = ClosedLoop::connect(running.address, CONNECTIONS).await?;
    clients.ask((plan.requests / WARM_UP).max(1)).await?;
    let before = running.processor_time()?;
    let took = clients.ask(plan.requests).await?;
    let used = running.processor_time()?.saturating_sub(before);
    let loaded_bytes = running.own_memory()?;
    drop(clients);
    let paced = paced(running.address, plan.paced).await?;
    let sample = Sample {
        cpu: used.as_secs_f64() / plan.requests as f64,
        requests_per_second: plan.requests as f64 / took.as_secs_f64(),
        idle_bytes,
        loaded_bytes,
        ..Sample::default()
    };
    Ok(Seen { sample, paced })
}

/// Blocks on a thread of its own: the model answers on this one.
async fn paced(to: std::net::SocketAddr, lasts: Duration) -> anyhow::Result<[f64; 2]> {
    let times = tokio::task::spawn_blocking(move || at_constant_rate(to, RATE, lasts)).await??;
    Ok([0.5, 0.99].map(|quantile| times.quantile(quantile).as_secs_f64()))
}
