//! What our proxies cost each request, beside others that forward: processor time, added latency, memory, size.
//!
//! All are measured in one run and in turns, for what is stable on a machine is the ratio of two of them, not the figure of
//! one. In reading order: `flags` (what is asked for), `scenes` (what is measured), `peers` and `others` (who, and how set
//! up), `activator` (ours, alone), `bare` (the proxy that does nothing else), `message`, `model` (what stands behind),
//! `load` and `h2load` (who asks), `memory`, `trust` (certificates), `process` (what it cost), `machine`, `figures` (medians and ratios), `budgets`, `told` (for people), `row`
//! (lines for `docs/performance.md`).

mod activator;
mod bare;
mod budgets;
mod figures;
mod flags;
mod h2load;
mod load;
mod machine;
mod memory;
mod message;
mod model;
mod others;
mod peers;
mod process;
mod row;
mod scenes;
mod told;
mod trust;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use activator::{Between, serve as serve_activator};
pub(crate) use bare::serve as serve_bare;
pub(crate) use flags::Flags;
pub(crate) use row::add_to as add_rows;

use figures::{Report, Sample, Samples};
use h2load::H2load;
use load::{ClosedLoop, at_constant_rate};
use loadtest::times::Times;
use machine::Machine;
use model::Behind;
use peers::{Kind, Peer, Setup, Wire};
use process::Running;
use scenes::{MEMORY, Part, SCENES, Scene};
use trust::Trust;

/// A round's first requests, which fill caches and pools: one in so many of those that are measured.
const WARM_UP: u64 = 5;
/// Turns that each has in a round.
const TURNS: u32 = 10;
/// Requests a second at which latency is measured.
const RATE: u32 = 1_000;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    parts: Vec<Part>,
    rounds: u32,
    /// Of each peer in each round, where 64 connections ask a sidecar; elsewhere in proportion.
    requests: u64,
    /// How long latency is measured, of each peer in each round.
    paced: Duration,
    /// Where `h2load` is.
    h2load: Option<PathBuf>,
}

/// What all of them have around them.
pub(crate) struct Stage {
    behind: Behind,
    trust: Trust,
}

/// Measures what is asked for. Whatever it started has ended when it returns, or is dropped.
///
/// # Errors
/// If one does not start, or a request is not answered as it should be.
pub(crate) async fn measure(flags: &Flags) -> anyhow::Result<Report> {
    let (plan, peers, left_out) = flags.plan()?;
    for left_out in &left_out {
        eprintln!("LEFT OUT: {left_out}");
    }
    let machine = Machine::look(&peers, plan.h2load.as_deref())?;
    let folder = TempDir::new().context("making a temporary folder")?;
    let stage = Stage { behind: Behind::start().await?, trust: Trust::new(folder.path())? };
    let (mut samples, mut memory) = (Samples::new(), memory::Samples::new());
    let begin = Instant::now();
    let scenes: Vec<&Scene> = SCENES.iter().filter(|scene| plan.parts.contains(&scene.part)).collect();
    let memory_too = plan.parts.contains(&Part::Memory);
    let in_all = scenes.len() + usize::from(memory_too);
    for round in 0..plan.rounds {
        let say = |what: &str, place: usize| {
            let done = f64::from(round) + place as f64 / in_all as f64;
            eprintln!(
                "round {} of {}: {what}{}",
                round + 1,
                plan.rounds,
                told::left(begin.elapsed(), done, plan.rounds)
            );
        };
        let place_of = |place: usize| folder.path().join(format!("{round}-{place}"));
        let taking_part =
            |kinds: &[Kind]| -> Vec<&Peer> { peers.iter().filter(|peer| kinds.contains(&peer.kind)).collect() };
        for (place, scene) in scenes.iter().enumerate() {
            say(scene.name, place);
            let here = taking_part(scene.peers);
            let measured = one_round(&plan, scene, &here, &stage, &place_of(place), round as usize).await;
            for (kind, sample) in measured.context(scene.name)? {
                samples.entry(scene.name).or_default().entry(kind).or_default().push(sample);
            }
        }
        if memory_too {
            say("memory", scenes.len());
            for (kind, sample) in memory::one_round(&taking_part(MEMORY), &stage, &place_of(scenes.len())).await? {
                memory.entry(kind).or_default().push(sample);
            }
        }
    }
    let sizes = peers.iter().filter(|peer| peer.kind.has_a_binary());
    let sizes = sizes.map(|peer| Ok((peer.kind, peer.binary_bytes()?))).collect::<anyhow::Result<_>>()?;
    Ok(Report::new(machine, &plan, begin.elapsed(), left_out, &samples, &memory, sizes))
}

/// All of them at once, each at work only in its turns. The turns are short, for the machine may be slow for a while: so
/// it is for all alike. Who begins changes from round to round.
async fn one_round(
    plan: &Plan,
    scene: &Scene,
    peers: &[&Peer],
    stage: &Stage,
    place: &Path,
    round: usize,
) -> anyhow::Result<Vec<(Kind, Sample)>> {
    if peers.is_empty() {
        return Ok(Vec::new());
    }
    let first = round % peers.len();
    let mut measured = Vec::with_capacity(peers.len());
    for peer in peers[first..].iter().chain(&peers[..first]) {
        let place = place.join(format!("{:?}", peer.kind));
        std::fs::create_dir_all(&place)?;
        measured.push(Measured::start(plan, peer, scene, stage, &place).await?);
    }
    let requests = scene.requests(plan.requests);
    for one in &mut measured {
        one.ask((requests / WARM_UP).max(1)).await?;
    }
    for turn in 0..TURNS {
        for one in &mut measured {
            one.turn(scene.connections as u64, share(requests, turn)).await?;
        }
    }
    for one in &mut measured {
        let Measured { sample, running, took, .. } = one;
        sample.cpu /= requests as f64;
        sample.requests_per_second = requests as f64 / took.as_secs_f64();
        sample.loaded_bytes = running.own_memory()?;
        one.clients = None;
    }
    if scene.paced {
        add_latency(plan.paced, &stage.behind, &mut measured).await?;
    }
    Ok(measured.into_iter().map(|one| (one.kind, one.sample)).collect())
}

/// What each adds to what the model takes by itself.
async fn add_latency(lasts: Duration, behind: &Behind, measured: &mut [Measured]) -> anyhow::Result<()> {
    let mut direct = Times::new();
    let mut through: Vec<Times> = measured.iter().map(|_| Times::new()).collect();
    for _ in 0..TURNS {
        let turn = lasts / TURNS;
        direct.add(&paced(behind.model, turn).await.context("the model itself")?);
        for (one, times) in measured.iter().zip(&mut through) {
            times.add(&paced(one.running.address, turn).await.with_context(|| one.kind.name())?);
        }
    }
    for (one, times) in measured.iter_mut().zip(&through) {
        let added = |quantile| times.quantile(quantile).as_secs_f64() - direct.quantile(quantile).as_secs_f64();
        one.sample.added = Some((added(0.5), added(0.99)));
    }
    Ok(())
}

/// One peer in one round, while it is measured.
#[derive(Debug)]
struct Measured {
    kind: Kind,
    running: Running,
    /// `None` once they have hung up.
    clients: Option<Clients>,
    took: Duration,
    sample: Sample,
}

impl Measured {
    async fn start(plan: &Plan, peer: &Peer, scene: &Scene, stage: &Stage, place: &Path) -> anyhow::Result<Self> {
        let running = peer.start(Setup::unhindered(scene.wire), stage, place).await?;
        let sample = Sample { idle_bytes: running.own_memory()?, ..Sample::default() };
        let clients = Clients::of(plan, scene, stage, &running, place).await?;
        Ok(Self { kind: peer.kind, running, clients: Some(clients), took: Duration::ZERO, sample })
    }

    async fn ask(&mut self, requests: u64) -> anyhow::Result<Duration> {
        let clients = self.clients.as_mut().context("its clients have hung up")?;
        clients.ask(requests).await.with_context(|| self.kind.name())
    }

    /// While the others had their turns, connections to the model were idle: for so long that ours sends no POST on them
    /// any more, as a model may be closing them. `first` requests bring them back, and are not measured.
    async fn turn(&mut self, first: u64, requests: u64) -> anyhow::Result<()> {
        self.ask(first).await?;
        let before = self.running.processor_time()?;
        let took = self.ask(requests).await?;
        self.took += took;
        self.sample.cpu += (self.running.processor_time()? - before).as_secs_f64();
        Ok(())
    }
}

#[derive(Debug)]
enum Clients {
    Http1(ClosedLoop),
    Http2(H2load),
}

impl Clients {
    async fn of(plan: &Plan, scene: &Scene, stage: &Stage, running: &Running, place: &Path) -> anyhow::Result<Self> {
        let to = running.address;
        Ok(match scene.wire {
            Wire::Http1 | Wire::Tls => {
                let tls = (scene.wire == Wire::Tls).then_some(&stage.trust);
                Self::Http1(ClosedLoop::connect(to, tls, scene.connections, scene.asked).await?)
            }
            Wire::Http2 => {
                let program = plan.h2load.as_ref().context("without h2load nobody speaks HTTP/2")?;
                Self::Http2(H2load::new(program, to, scene.connections, place)?)
            }
        })
    }

    async fn ask(&mut self, requests: u64) -> anyhow::Result<Duration> {
        match self {
            Self::Http1(clients) => clients.ask(requests).await,
            Self::Http2(clients) => clients.ask(requests).await,
        }
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
