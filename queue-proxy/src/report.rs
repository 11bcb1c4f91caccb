//! One stream to an autoscaler: who this is and what it counted; back come settings, and whether it is idle.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use daemon::tls::Io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, WriteHalf, split};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};
use wire::{Down, FrameError, FromAutoscaler, Hello, IdleAnswer, IdleQuestion, Role, SidecarStats, ToAutoscaler, Up};

use crate::autoscalers::Known;
use crate::config::Identity;
use crate::shared::Shared;

const TICK: Duration = Duration::from_secs(1);
/// Without traffic, to be known to be there.
const QUIET_TICKS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it closed the stream")]
    Closed,
    #[error("it does not read")]
    Stuck,
    #[error(transparent)]
    Broken(#[from] io::Error),
    #[error("it sent {0}")]
    Frame(#[from] FrameError),
}

/// Reports to one autoscaler.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
    /// Of the last frame. Goes on over reconnects.
    pub(crate) number: u64,
}

impl Reporter {
    /// Connects again whenever the stream ends, with growing pauses, for as long as the address is known.
    pub(crate) async fn run(mut self, known: Known) {
        let mut pause = FIRST_PAUSE;
        while known.borrow().contains(&self.address) {
            let began = Instant::now();
            match self.stream().await {
                Ok(never) => match never {},
                // Autoscalers come and go with their updates; only what they must not say is news, and that they are none.
                Err(error @ End::Frame(_)) => warn!(%error, autoscaler = %self.address, "stream ended"),
                Err(End::Broken(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    warn!(%error, autoscaler = %self.address, "who answers there is no autoscaler that is believed");
                }
                Err(error) => debug!(%error, autoscaler = %self.address, "stream ended"),
            }
            pause = if LONGEST_PAUSE < began.elapsed() { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn stream(&mut self) -> Result<Infallible, End> {
        let (stream, proof) = match &self.shared.proven {
            Some(proven) => proven.open(self.address, PATIENCE).await.map(|(stream, proof)| (stream, Some(proof)))?,
            None => (Box::new(daemon::connect(self.address, PATIENCE).await?) as Io, None),
        };
        let (mut reader, mut writer) = split(stream);
        say(&mut writer, Up::Hello(Hello { proof, ..self.hello() })).await?;
        info!(autoscaler = %self.address, "reporting");
        let mut ready = self.shared.readiness.follow();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = BytesMut::new();
        let (mut silent_ticks, mut reported) = (QUIET_TICKS, (0, 0, 0));
        let (ended, mut telling) = (self.shared.ended.clone(), Some(self.shared.telling.token()));
        loop {
            // Each branch may be dropped: what was read stays in `heard`.
            tokio::select! {
                read = reader.read_buf(&mut heard) => {
                    if read? == 0 {
                        return Err(End::Closed);
                    }
                    while let Some(message) = next_message(&mut heard)? {
                        if let Some(answer) = self.hear(message).await {
                            say(&mut writer, answer).await?;
                        }
                    }
                    continue;
                }
                _ = ready.changed() => {}
                () = ended.cancelled(), if telling.is_some() => {}
                _ = ticks.tick() => {
                    let (reading, _) = self.shared.gate.read();
                    silent_ticks += 1;
                    let foreign = self.shared.foreign_lately().unwrap_or(0);
                    // Also that the last one has ended is news.
                    let is_news = 0 < reading.in_flight || (reading.requests, reading.in_flight, foreign) != reported;
                    if !is_news && silent_ticks < QUIET_TICKS {
                        continue;
                    }
                }
            }
            let is_last = ended.is_cancelled();
            if self.shared.foreign_lately().is_none() {
                // Nobody has looked yet.
                self.shared.foreign().await;
            }
            let stats = self.stats();
            (silent_ticks, reported) = (0, (stats.requests, stats.in_flight, stats.foreign));
            say(&mut writer, Up::SidecarStats(stats)).await?;
            if is_last {
                telling = None;
            }
        }
    }

    fn hello(&self) -> Hello {
        let Identity { namespace, pod_name, pod_uid, revision } = self.identity.clone();
        let incarnation = self.shared.incarnation.0;
        let role = Role::Sidecar as i32;
        Hello { role, namespace, name: pod_name, uid: pod_uid, incarnation, revision, ..Hello::default() }
    }

    fn stats(&mut self) -> SidecarStats {
        let (reading, _) = self.shared.gate.read();
        let [cut_unary, cut_streaming, cut_upgraded] = self.shared.metrics.departure.cut();
        self.number += 1;
        SidecarStats {
            number: self.number,
            elapsed_us: reading.elapsed_us,
            requests: reading.requests,
            proxied_requests: reading.proxied_requests,
            concurrency_us: reading.concurrency_us(),
            proxied_concurrency_us: reading.proxied_concurrency_us(),
            in_flight: reading.in_flight,
            upgraded: reading.upgraded,
            foreign: self.shared.foreign_lately().unwrap_or(0),
            settings_generation: self.shared.generation(),
            ready: self.shared.readiness.is_ready() && !self.shared.is_leaving(),
            cut_unary,
            cut_streaming,
            cut_upgraded,
        }
    }

    async fn hear(&self, message: FromAutoscaler) -> Option<Up> {
        match message.kind {
            Some(Down::Settings(settings)) => {
                self.shared.apply(&settings);
                None
            }
            Some(Down::IdleQuestion(IdleQuestion { epoch, seq })) => {
                let is_empty = || {
                    let (reading, _) = self.shared.gate.read();
                    reading.in_flight == 0 && reading.upgraded == 0
                };
                // What comes while somebody looks counts.
                let idle = is_empty() && self.shared.foreign().await == Some(0) && is_empty();
                Some(Up::IdleAnswer(IdleAnswer { epoch, seq, idle }))
            }
            Some(Down::Trust(trust)) => {
                if let Some(proven) = &self.shared.proven {
                    proven.take(&trust);
                }
                None
            }
            // Who leads concerns activators; so does the rest. `None` is of a newer version.
            Some(
                Down::Lead(_) | Down::Seal(_) | Down::Outcome(_) | Down::Refusal(_) | Down::Weights(_) | Down::Out(_),
            )
            | None => None,
        }
    }
}

async fn say(writer: &mut WriteHalf<Io>, kind: Up) -> Result<(), End> {
    let frame = wire::encode(&ToAutoscaler { kind: Some(kind) });
    let written = async {
        writer.write_all(&frame).await?;
        writer.flush().await
    };
    timeout(PATIENCE, written).await.map_err(|_| End::Stuck)?.map_err(End::from)
}

/// The next whole frame of what was heard; `None` while it is not whole.
fn next_message(heard: &mut BytesMut) -> Result<Option<FromAutoscaler>, FrameError> {
    let Some(length) = wire::frame_length(heard)? else { return Ok(None) };
    if heard.len() < 4 + length {
        return Ok(None);
    }
    heard.advance(4);
    wire::decode(heard.split_to(length).freeze()).map(Some)
}
