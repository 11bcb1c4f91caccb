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
use loadtest::times::Times;
use model::Behind;
use process::Running;

/// Connections of the client, and those that proxies keep.
const CONNECTIONS: usize = 64;
/// A round's first requests, which fill caches and pools: one in so many of those that are measured.
const WARM_UP: u64 = 5;
/// Turns that each has in a round.
const TURNS: u32 = 10;
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
        let place = folder.path().join(round.to_string());
        for (kind, sample) in one_round(plan, peers, &behind, &place, round as usize).await? {
            samples.entry(kind).or_default().push(sample);
        }
    }
    let sizes = peers.iter().map(|peer| Ok((peer.kind, peer.binary_bytes()?))).collect::<anyhow::Result<_>>()?;
    Ok(Report::new(machine, plan, left_out, &samples, &sizes))
}

/// All of them at once, each at work only in its turns. The turns are short, for the machine may be slow for a while: so
/// it is for all alike. Who begins changes from round to round.
async fn one_round(
    plan: Plan,
    peers: &[Peer],
    behind: &Behind,
    place: &Path,
    round: usize,
) -> anyhow::Result<Vec<(Kind, Sample)>> {
    let first = round % peers.len();
    let mut measured = Vec::with_capacity(peers.len());
    for peer in peers[first..].iter().chain(&peers[..first]) {
        let place = place.join(format!("{:?}", peer.kind));
        std::fs::create_dir_all(&place)?;
        measured.push(Measured::start(peer, behind, &place).await?);
    }
    for one in &mut measured {
        one.ask((plan.requests / WARM_UP).max(1)).await?;
        one.sample.cpu = -one.running.processor_time()?.as_secs_f64();
        one.took = Duration::ZERO;
    }
    for turn in 0..TURNS {
        for one in &mut measured {
            one.ask(share(plan.requests, turn)).await?;
        }
    }
    for one in &mut measured {
        let Measured { sample, running, took, .. } = one;
        sample.cpu = (sample.cpu + running.processor_time()?.as_secs_f64()) / plan.requests as f64;
        sample.requests_per_second = plan.requests as f64 / took.as_secs_f64();
        sample.loaded_bytes = running.own_memory()?;
        one.clients = None;
    }

    let mut direct = Times::new();
    for _ in 0..TURNS {
        let turn = plan.paced / TURNS;
        direct.add(&paced(behind.model, turn).await.context("the model itself")?);
        for one in &mut measured {
            one.times.add(&paced(one.running.address, turn).await.with_context(|| one.kind.name())?);
        }
    }
    let finish = |one: Measured| {
        let added = |quantile| one.times.quantile(quantile).as_secs_f64() - direct.quantile(quantile).as_secs_f64();
        (one.kind, Sample { added_p50: added(0.5), added_p99: added(0.99), ..one.sample })
    };
    Ok(measured.into_iter().map(finish).collect())
}

/// One peer in one round, while it is measured.
#[derive(Debug)]
struct Measured {
    kind: Kind,
    running: Running,
    /// `None` once they have hung up.
    clients: Option<ClosedLoop>,
    took: Duration,
    /// At the constant rate.
    times: Times,
    sample: Sample,
}

impl Measured {
    async fn start(peer: &Peer, behind: &Behind, place: &Path) -> anyhow::Result<Self> {
        let running = peer.start(behind, place).await?;
        let sample = Sample { idle_bytes: running.own_memory()?, ..Sample::default() };
        let clients = Some(ClosedLoop::connect(running.address, CONNECTIONS).await?);
        Ok(Self { kind: peer.kind, running, clients, took: Duration::ZERO, times: Times::new(), sample })
    }

    async fn ask(&mut self, requests: u64) -> anyhow::Result<()> {
        let clients = self.clients.as_mut().context("its clients have hung up")?;
        self.took += clients.ask(requests).await.with_context(|| self.kind.name())?;
        Ok(())
    }
}

/// So many of all requests are this turn's.
fn share(requests: u64, turn: u32) -> u64 {
    let until = |turn: u32| requests * u64::from(turn) / u64::from(TURNS);
    until(turn + 1) - until(turn)
}

/// Blocks on a thread of its own: the model answers on this one.
async fn paced(to: std::net::SocketAddr, lasts: Duration) -> anyhow::Result<Times> {
    tokio::task::spawn_blocking(move || at_constant_rate(to, RATE, lasts)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turns_of_a_round_ask_for_all_requests_together() {
        for requests in [1, 9, 10, 99_999] {
            assert_eq!((0..TURNS).map(|turn| share(requests, turn)).sum::<u64>(), requests);
        }
    }
}
