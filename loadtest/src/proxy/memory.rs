//! Memory of each: idle, with 64 and with 512 connections, while 1,000 requests with bodies are held, and some seconds after.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::proxy::Stage;
use crate::proxy::figures::Spread;
use crate::proxy::load::ClosedLoop;
use crate::proxy::message::{Asked, Size};
use crate::proxy::peers::{Kind, Peer, Setup, Wire};
use crate::proxy::process::Running;

/// Requests of a burst, each on a connection of its own.
const BURST: usize = 1_000;
/// Of each request's body: as much as is read of one that is held.
const BODY: usize = 64 << 10;
/// How many of them the model takes at once, and for how long; so they are held for more than a second.
const AT_ONCE: u32 = 8;
const TAKES: Duration = Duration::from_millis(10);
/// Knative's sidecar lets ten times its limit wait, and no more.
const AT_ONCE_KNATIVE: u32 = 100;
/// After the burst.
const LATER: Duration = Duration::from_secs(3);
/// Between looks while they are held.
const LOOK: Duration = Duration::from_millis(25);
/// Requests on each connection before its proxy's memory is looked at.
const REQUESTS_EACH: usize = 50;

/// `RssAnon` of one peer in one round, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    idle: u64,
    with_64: u64,
    with_512: u64,
    /// The most.
    holding: u64,
    later: u64,
}

/// By peer, in the order of the rounds.
pub(crate) type Samples = BTreeMap<Kind, Vec<Sample>>;

/// Medians of the rounds, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    pub(crate) name: &'static str,
    pub(crate) idle_bytes: f64,
    pub(crate) with_64_bytes: f64,
    pub(crate) with_512_bytes: f64,
    /// The most that was seen while the requests of the burst were there.
    pub(crate) holding_bytes: f64,
    pub(crate) later_bytes: f64,
    /// Whether it lets requests wait; else it passes all on at once.
    pub(crate) has_a_line: bool,
}

impl Memory {
    /// `None` of no rounds.
    pub(crate) fn of(kind: Kind, rounds: &[Sample]) -> Option<Self> {
        let median = |what: fn(&Sample) -> u64| Some(Spread::of(rounds.iter().map(|one| what(one) as f64))?.median);
        Some(Self {
            name: kind.name(),
            idle_bytes: median(|one| one.idle)?,
            with_64_bytes: median(|one| one.with_64)?,
            with_512_bytes: median(|one| one.with_512)?,
            holding_bytes: median(|one| one.holding)?,
            later_bytes: median(|one| one.later)?,
            has_a_line: !matches!(kind, Kind::Bare | Kind::Nginx),
        })
    }
}

/// One after the other, but for the seconds after the burst, in which nobody does anything.
pub(crate) async fn one_round(peers: &[&Peer], stage: &Stage, place: &Path) -> anyhow::Result<BTreeMap<Kind, Sample>> {
    let turn = &Semaphore::new(1);
    let all = peers.iter().map(|peer| async move {
        let place = place.join(format!("{:?}", peer.kind));
        std::fs::create_dir_all(&place)?;
        let sample = of(peer, stage, &place, turn).await.with_context(|| format!("memory of {}", peer.kind.name()))?;
        anyhow::Ok((peer.kind, sample))
    });
    Ok(try_join_all(all).await?.into_iter().collect())
}

async fn of(peer: &Peer, stage: &Stage, place: &Path, turn: &Semaphore) -> anyhow::Result<Sample> {
    let its_turn = turn.acquire().await?;
    let at_once = if peer.kind == Kind::Knative { AT_ONCE_KNATIVE } else { AT_ONCE };
    let running = peer.start(Setup { wire: Wire::Http1, at_once }, stage, place).await?;
    let mut sample = Sample { idle: running.own_memory()?, ..Sample::default() };
    sample.with_64 = with(64, &running).await?;
    sample.with_512 = with(512, &running).await?;
    sample.holding = holding(&running).await?;
    drop(its_turn);
    tokio::time::sleep(LATER).await;
    sample.later = running.own_memory()?;
    Ok(sample)
}

/// With so many connections, all of which were in use.
async fn with(connections: usize, running: &Running) -> anyhow::Result<u64> {
    let mut clients = ClosedLoop::connect(running.address, None, connections, Asked::SMALL).await?;
    clients.ask((connections * REQUESTS_EACH) as u64).await?;
    running.own_memory()
}

async fn holding(running: &Running) -> anyhow::Result<u64> {
    let asked = Asked { request: Size::Bytes(BODY), answer: Size::Small, takes: TAKES };
    let mut clients = ClosedLoop::connect(running.address, None, BURST, asked).await?;
    let mut most = running.own_memory()?;
    let burst = clients.ask(BURST as u64);
    tokio::pin!(burst);
    loop {
        tokio::select! {
            answered = &mut burst => {
                answered?;
                return Ok(most);
            }
            () = tokio::time::sleep(LOOK) => most = most.max(running.own_memory()?),
        }
    }
}
