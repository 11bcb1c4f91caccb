//! The stream to one autoscaler: what is in flight, what is held, what was promised.
//!
//! Each autoscaler has a stream of its own, so that the standby stays warm. Nothing here is lost for good: counters are
//! cumulative, wakes are repeated while something is held, and a new stream begins by telling everything. And nothing
//! that an autoscaler said outlives it: with its stream end the refusals that came on it, so that what is at zero is held
//! while nobody is there who could wake it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use breaker::seal::{Ending, SealId, Verdict};
use daemon::tls::{self, Io};
use futures_util::StreamExt as _;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tracing::{info, warn};
use units::{EndpointKey, RevisionKey};
use wire::{Demand, Down, Frame, FromAutoscaler, Hello, Outcome, RouteAck, SealAnswer, ToAutoscaler, Up, Wake};

use crate::directory::Directory;
use crate::hold::Hold;

/// Knative's period of activator reports.
const FRAME_EVERY: Duration = Duration::from_secs(1);
/// A wake is a level: repeated so often while something is held.
const WAKE_EVERY: Duration = Duration::from_millis(250);
/// Before a stream that broke is opened again: from here, doubling …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … to here, so that everything heals within 5 s of an autoscaler's return.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// An autoscaler that takes no bytes for so long is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps a stream open to each autoscaler that there is, for as long as the program runs.
///
/// One that is gone is spoken to no more: its stream would only be opened in vain, and another pod may have its address
/// one day.
pub(crate) async fn keep_all(directory: Arc<Directory>) -> anyhow::Result<Infallible> {
    let mut autoscalers = directory.config.autoscalers.clone();
    let mut streams: JoinSet<anyhow::Result<Infallible>> = JoinSet::new();
    let mut open: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    // Where nobody says any more who there is, it stays as it is.
    let mut told = true;
    loop {
        let known = autoscalers.borrow_and_update().clone();
        // Not known is not gone.
        if let Some(known) = known {
            open.retain(|address, stream| {
                let stays = known.contains(address);
                if !stays {
                    info!(autoscaler = %address, "the autoscaler is gone");
                    stream.abort();
                }
                stays
            });
            for address in known.iter() {
                open.entry(*address).or_insert_with(|| streams.spawn(keep(Arc::clone(&directory), *address)));
            }
        }
        loop {
            tokio::select! {
                changed = autoscalers.changed(), if told => match changed {
                    Ok(()) => break,
                    Err(_) => told = false,
                },
                Some(ended) = streams.join_next() => match ended {
                    Ok(Err(error)) => return Err(error),
                    Err(error) if error.is_cancelled() => {}
                    Err(panic) => return Err(panic).context("a stream to an autoscaler panicked"),
                },
                else => std::future::pending().await,
            }
        }
    }
}

/// Keeps a stream to `autoscaler` open, for as long as it is polled.
async fn keep(directory: Arc<Directory>, autoscaler: SocketAddr) -> anyhow::Result<Infallible> {
    let mut pause = FIRST_PAUSE;
    let mut frames = 0;
    loop {
        let opened = directory.clock.now();
        let error = match Stream::open(&directory, autoscaler, &mut frames).await {
            Ok(stream) => stream.run().await.err(),
            Err(error) => Some(error),
        };
        if pause < directory.clock.now().since(opened) {
            pause = FIRST_PAUSE;
        }
        let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
        warn!(%autoscaler, error, "the stream to the autoscaler broke, opening it again");
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Stream<'a> {
    directory: Arc<Directory>,
    reader: FramedRead<ReadHalf<Io>, LengthDelimitedCodec>,
    writer: WriteHalf<Io>,
    /// Frames sent to this autoscaler, on this stream and those before.
    frames: &'a mut u64,
    /// What was last said of each revision; what has not changed since is left out.
    said: HashMap<RevisionKey, Demand>,
    /// Revisions that something was held for without a replica when last looked at.
    wanting: HashSet<RevisionKey>,
    /// Revisions of which it said that they cannot be woken.
    refused: HashSet<RevisionKey>,
    pokes: broadcast::Receiver<RevisionKey>,
    routes: watch::Receiver<Vec<(EndpointKey, u64)>>,
    acknowledged: HashMap<EndpointKey, u64>,
    /// Whether it says that it leads.
    leads: bool,
    /// That this activator leaves was said on this stream.
    told_leaving: bool,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.set_leads(false);
        self.forget_refusals();
    }
}

impl<'a> Stream<'a> {
    async fn open(directory: &Arc<Directory>, autoscaler: SocketAddr, frames: &'a mut u64) -> anyhow::Result<Self> {
        let proving = directory.config.autoscaler_trust.as_ref();
        let (stream, token) = tls::open(autoscaler, WRITE_TIMEOUT, proving).await.context("connecting")?;
        // The certificate that activators show to sidecars comes from elsewhere.
        let proof = token.map(|token| wire::Proof { token, public_key: Vec::new() });
        let (reader, writer) = split(stream);
        let codec = LengthDelimitedCodec::builder().max_frame_length(wire::MAX_FRAME_BYTES).new_codec();
        let mut stream = Self {
            directory: Arc::clone(directory),
            reader: FramedRead::new(reader, codec),
            writer,
            frames,
            said: HashMap::new(),
            wanting: HashSet::new(),
            refused: HashSet::new(),
            // From before the greeting, so that what happens while it is written is told after it.
            pokes: directory.wakes.listen(),
            routes: directory.routes_changed(),
            acknowledged: HashMap::new(),
            leads: false,
            told_leaving: false,
        };
        stream.greet(proof).await?;
        info!(%autoscaler, "connected to the autoscaler");
        Ok(stream)
    }

    /// Everything that a newcomer must know.
    async fn greet(&mut self, proof: Option<wire::Proof>) -> anyhow::Result<()> {
        let config = &self.directory.config;
        let hello = Hello {
            role: wire::Role::Activator as i32,
            namespace: config.namespace.to_string(),
            name: config.name.to_string(),
            uid: config.uid.to_string(),
            incarnation: self.directory.incarnation.0,
            highest_epoch: self.directory.highest_epoch(),
            revision: String::new(),
            proof,
        };
        self.say(Up::Hello(hello)).await?;
        if self.directory.is_leaving() {
            self.say_leaving().await?;
        }
        self.acknowledge_routes().await?;
        self.send_frame().await?;
        self.repeat_wakes().await
    }

    /// Until the stream ends. A level: an autoscaler that comes to lead while this goes on hears it with the greeting.
    async fn say_leaving(&mut self) -> anyhow::Result<()> {
        self.told_leaving = true;
        self.say(Up::Leaving(wire::Empty {})).await
    }

    async fn run(mut self) -> anyhow::Result<Infallible> {
        let leaving = self.directory.leaving.clone();
        let mut frames = interval(FRAME_EVERY);
        let mut repeats = interval(WAKE_EVERY);
        loop {
            // Every branch waits without anything half done: a frame is read whole or stays in the reader's buffer.
            tokio::select! {
                poked = self.pokes.recv() => match poked {
                    Ok(revision) => {
                        if self.wanting.is_empty() {
                            repeats.reset();
                        }
                        if self.say_wake(&revision).await? {
                            self.wanting.insert(revision);
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        self.wanting = self.directory.holds().into_iter().map(|hold| hold.key.clone()).collect();
                        self.repeat_wakes().await?;
                    }
                    Err(RecvError::Closed) => anyhow::bail!("the activator is ending"),
                },
                frame = self.reader.next() => {
                    let frame = frame.context("the autoscaler hung up")?.context("reading")?;
                    self.heard(wire::decode(frame.freeze())?).await?;
                }
                _ = frames.tick() => self.send_frame().await?,
                _ = repeats.tick(), if !self.wanting.is_empty() => self.repeat_wakes().await?,
                () = leaving.cancelled(), if !self.told_leaving => self.say_leaving().await?,
                changed = self.routes.changed() => {
                    changed.context("the activator is ending")?;
                    self.acknowledge_routes().await?;
                }
            }
        }
    }

    async fn heard(&mut self, message: FromAutoscaler) -> anyhow::Result<()> {
        match message.kind {
            Some(Down::Lead(lead)) => {
                self.directory.saw_epoch(lead.epoch);
                self.set_leads(lead.leading);
                if !lead.leading {
                    self.forget_refusals();
                }
            }
            Some(Down::Seal(seal)) => {
                self.directory.saw_epoch(seal.epoch);
                let id = SealId { epoch: seal.epoch, seq: seal.seq };
                let verdict = match self.hold(&seal.namespace, &seal.revision) {
                    Some(hold) => {
                        hold.seal_asked(id, Duration::from_millis(seal.ttl_ms), self.directory.highest_epoch())
                    }
                    // It may learn of the revision in the next moment, and would know of no promise then.
                    None => Verdict::Veto,
                };
                let answer = SealAnswer {
                    namespace: seal.namespace,
                    revision: seal.revision,
                    epoch: seal.epoch,
                    seq: seal.seq,
                    verdict: said(verdict) as i32,
                };
                self.say(Up::SealAnswer(answer)).await?;
            }
            Some(Down::Outcome(outcome)) => {
                let id = SealId { epoch: outcome.epoch, seq: outcome.seq };
                let ending = match outcome.outcome() {
                    Outcome::Committed => Some(Ending::Committed),
                    Outcome::Released => Some(Ending::Released),
                    Outcome::Unknown => None,
                };
                if let (Some(ending), Some(hold)) = (ending, self.hold(&outcome.namespace, &outcome.revision)) {
                    hold.seal_ended(id, ending);
                }
            }
            Some(Down::Refusal(refusal)) => {
                let Some(hold) = self.hold(&refusal.namespace, &refusal.revision) else { return Ok(()) };
                if refusal.reason.is_empty() {
                    self.refused.remove(&hold.key);
                    hold.clear_refusal();
                } else {
                    self.refused.insert(hold.key.clone());
                    let retry_after = Duration::from_millis(refusal.retry_after_ms);
                    hold.refuse(refusal.reason == "start-failed", refusal.detail.into(), retry_after);
                }
            }
            Some(Down::Weights(weights)) => self.directory.set_weights(&weights),
            // It answers a `Leaving`, and means nothing without one.
            Some(Down::Out(_)) if self.told_leaving => {
                info!("out of every path");
                self.directory.is_out();
            }
            // The other two are a sidecar's.
            Some(Down::Out(_) | Down::Settings(_) | Down::IdleQuestion(_) | Down::Trust(_)) | None => {}
        }
        Ok(())
    }

    async fn send_frame(&mut self) -> anyhow::Result<()> {
        let mut demands = Vec::new();
        let holds = self.directory.holds();
        for hold in &holds {
            let (reading, held) = hold.reading();
            if held != 0 {
                // It was said when it came to be so. Should that have been missed, it is not missed for long.
                self.wanting.insert(hold.key.clone());
            }
            let demand = Demand {
                namespace: hold.key.namespace.to_string(),
                revision: hold.key.name.to_string(),
                requests: reading.requests,
                concurrency_us: reading.concurrency_us(),
                in_flight: reading.in_flight,
                held,
                outcomes: Some(hold.metrics.ends()),
                tally: hold.tally.load().as_deref().map(|tally| tally.said(self.directory.elapsed_us_at(tally.began))),
            };
            if self.said.get(&hold.key) != Some(&demand) {
                self.said.insert(hold.key.clone(), demand.clone());
                demands.push(demand);
            }
        }
        if self.said.len() != holds.len() {
            self.said.retain(|key, _| self.directory.hold(key).is_some());
        }
        *self.frames += 1;
        let frame = Frame { number: *self.frames, elapsed_us: self.directory.elapsed_us(), demands };
        self.say(Up::Frame(frame)).await
    }

    async fn repeat_wakes(&mut self) -> anyhow::Result<()> {
        for revision in std::mem::take(&mut self.wanting) {
            if self.say_wake(&revision).await? {
                self.wanting.insert(revision);
            }
        }
        Ok(())
    }

    /// Says that something is held for a revision, if it still is. Returns whether it is.
    async fn say_wake(&mut self, revision: &RevisionKey) -> anyhow::Result<bool> {
        let Some(want) = self.directory.hold(revision).and_then(|hold| hold.want()) else { return Ok(false) };
        let wake = Wake {
            namespace: revision.namespace.to_string(),
            revision: revision.name.to_string(),
            held: want.held,
            oldest_wait_ms: u64::try_from(want.oldest_wait.as_millis()).unwrap_or(u64::MAX),
            request_id: String::from_utf8_lossy(want.request_id.as_bytes()).chars().take(200).collect(),
        };
        self.say(Up::Wake(wake)).await.map(|()| true)
    }

    async fn acknowledge_routes(&mut self) -> anyhow::Result<()> {
        let in_force = self.directory.generations();
        self.acknowledged.retain(|key, _| in_force.iter().any(|(endpoint, _)| endpoint == key));
        for (endpoint, generation) in in_force {
            if self.acknowledged.get(&endpoint) == Some(&generation) {
                continue;
            }
            let ack =
                RouteAck { namespace: endpoint.namespace.to_string(), endpoint: endpoint.name.to_string(), generation };
            self.say(Up::RouteAck(ack)).await?;
            self.acknowledged.insert(endpoint, generation);
        }
        Ok(())
    }

    fn set_leads(&mut self, leads: bool) {
        if std::mem::replace(&mut self.leads, leads) != leads {
            self.directory.leads(leads);
        }
    }

    fn forget_refusals(&mut self) {
        for revision in self.refused.drain() {
            if let Some(hold) = self.directory.hold(&revision) {
                hold.clear_refusal();
            }
        }
    }

    fn hold(&self, namespace: &str, revision: &str) -> Option<Arc<Hold>> {
        self.directory.hold(&RevisionKey::new(namespace, revision))
    }

    async fn say(&mut self, kind: Up) -> anyhow::Result<()> {
        let frame = wire::encode(&ToAutoscaler { kind: Some(kind) });
        let written = async {
            self.writer.write_all(&frame).await?;
            // TLS keeps what it could not hand on.
            self.writer.flush().await
        };
        let written = tokio::time::timeout(WRITE_TIMEOUT, written).await;
        written.context("the autoscaler takes no bytes")?.context("writing")
    }
}

/// The first tick comes after one period.
fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.reset();
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn said(verdict: Verdict) -> wire::Verdict {
    match verdict {
        Verdict::Sealed => wire::Verdict::Sealed,
        Verdict::Veto => wire::Verdict::Veto,
        Verdict::Outdated => wire::Verdict::Outdated,
    }
}
