//! The port to which activators and sidecars connect, and what is said on each stream.
//!
//! A peer says who it is within a few seconds, then only what its role allows; whoever does otherwise is cut off with
//! one line in the log, and nothing else happens. A sidecar's frames carry no names: it speaks for the pod of its hello,
//! which it has to prove where the streams are in TLS (`trust`).
//! What was heard is handed to the revision it is about; nothing is judged here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use daemon::{Clock, Listener};
use futures_util::StreamExt as _;
use platform::Unproven;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Decoder, FramedRead};
use tracing::{Instrument as _, debug, field, info, info_span, warn};
use units::{EndpointKey, Incarnation, RevisionKey};
use wire::{Down, FrameError, FromAutoscaler, Hello, Lead, Role, ToAutoscaler, Up};

use crate::inbox::{Heard, Inboxes};
use crate::metrics::Metrics;
use crate::peers::{Activator, Outbox, Peers, Sidecar};
use trust::{Gate, Handing};

#[cfg(test)]
mod tests;
pub(crate) mod trust;

/// What every stream needs.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) peers: Arc<Peers>,
    pub(crate) inboxes: Arc<Inboxes>,
    /// Of this autoscaler's leadership, if it leads.
    pub(crate) epoch: watch::Receiver<Option<u64>>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// Who is believed on those in TLS; `None`: there are none, and everyone is believed.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Within which a hello must come and a write must end.
    pub(crate) patience: Duration,
    /// After which a silent stream is taken for broken.
    pub(crate) silence: Duration,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it closed the stream")]
    Closed,
    #[error("it did not say who it is within {0:?}")]
    NoHello(Duration),
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("it did not read what was said to it")]
    DoesNotRead,
    #[error("it said {what}, which a peer of its role may not say")]
    NotAllowed { what: &'static str },
    #[error("it sent a hello without {what}")]
    Nameless { what: &'static str },
    #[error("no TLS: {0}")]
    NoTls(std::io::Error),
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error("it connected again, or did not keep up")]
    Replaced,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
}

impl End {
    /// Word for the metric: a closed list.
    fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NoHello(_) => "no-hello",
            Self::Silent(_) => "silent",
            Self::DoesNotRead => "does-not-read",
            Self::NotAllowed { .. } | Self::Nameless { .. } | Self::Frame(_) => "misbehaved",
            Self::NoTls(_) => "no-tls",
            Self::Unproven(Unproven::Refused(_)) => "unproven",
            Self::Unproven(Unproven::Unknown(_)) => "not-looked-at",
            Self::Replaced => "replaced",
            Self::Broken(_) => "broken",
        }
    }

    /// Does a person need to hear of it? Peers come and go; what they must not do is news.
    fn is_news(&self) -> bool {
        match self {
            Self::Closed | Self::Replaced | Self::Broken(_) => false,
            Self::NoHello(_) | Self::Silent(_) | Self::DoesNotRead => true,
            Self::NotAllowed { .. } | Self::Nameless { .. } | Self::Frame(_) => true,
            Self::NoTls(_) | Self::Unproven(_) => true,
        }
    }
}

/// Words for the ends of a stream, for the metric.
pub(crate) const ENDS: &[&str] = &[
    "closed",
    "no-hello",
    "silent",
    "does-not-read",
    "misbehaved",
    "no-tls",
    "unproven",
    "not-looked-at",
    "replaced",
    "broken",
];

impl Streams {
    /// Takes connections for as long as the program runs.
    pub(crate) async fn serve(self, listener: Listener) -> anyhow::Result<Infallible> {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                // Dropping `accept` loses nothing: a connection stays in the backlog.
                (io, from) = listener.accept() => {
                    let span = info_span!("stream", %from, role = field::Empty, peer = field::Empty);
                    open.spawn(self.clone().connected(io).instrument(span));
                }
                Some(ended) = open.join_next() => {
                    if let Err(panic) = ended {
                        warn!(error = %panic, "a stream ended badly");
                    }
                }
            }
        }
    }

    /// One connection, from its first byte.
    async fn connected(self, io: TcpStream) {
        let Some(gate) = self.gate.clone() else { return self.stream(io, None).await };
        match timeout(self.patience, gate.guards(&io)).await {
            Ok(true) => self.guarded(io, &gate).await,
            Ok(false) => self.stream(io, None).await,
            Err(_) => self.ended(&End::NoHello(self.patience)),
        }
    }

    /// One in TLS, on which everyone proves who it is.
    pub(crate) async fn guarded(self, io: impl AsyncRead + AsyncWrite + Unpin, gate: &Gate) {
        let end = match timeout(self.patience, gate.tls().accept(io)).await {
            Ok(Ok(io)) => return self.stream(io, Some(gate)).await,
            Ok(Err(error)) => End::NoTls(error),
            Err(_) => End::NoHello(self.patience),
        };
        self.ended(&end);
    }

    /// One stream, from its hello to its end.
    pub(crate) async fn stream(self, io: impl AsyncRead + AsyncWrite, gate: Option<&Gate>) {
        let (reader, writer) = tokio::io::split(io);
        // Thousands of sidecars that say 60 bytes a second: small buffers, which grow where needed.
        let mut frames = FramedRead::with_capacity(reader, FrameDecoder, 512);
        let hello = match timeout(self.patience, frames.next()).await {
            Err(_) => Err(End::NoHello(self.patience)),
            Ok(None) => Err(End::Closed),
            Ok(Some(Err(end))) => Err(end),
            Ok(Some(Ok(ToAutoscaler { kind: Some(Up::Hello(hello)) }))) => Ok(hello),
            Ok(Some(Ok(_))) => Err(End::NotAllowed { what: "something before its hello" }),
        };
        // An activator always proves itself: a sidecar that is believed in plain TCP lies about its own model only.
        let is_plain = self.gate.is_some() && gate.is_none();
        let hello = hello.and_then(|hello| match hello.role() {
            Role::Activator if is_plain => {
                Err(End::Unproven(Unproven::Refused("an activator proves itself in TLS, and this is none".to_owned())))
            }
            _ => Ok(hello),
        });
        let end = match known(hello, gate).await {
            Ok((peer, handing)) => self.talk(peer, handing, frames, writer).await,
            Err(end) => end,
        };
        self.ended(&end);
    }

    fn ended(&self, end: &End) {
        self.metrics.stream_ended(end.word());
        if end.is_news() {
            warn!(error = %end, "a stream was cut off");
        } else {
            debug!(reason = %end, "a stream ended");
        }
    }

    /// Everything after the hello. Returns why it ended.
    async fn talk<R: AsyncRead, W: AsyncWrite>(
        &self,
        peer: Peer,
        mut handing: Option<Handing>,
        frames: FramedRead<R, FrameDecoder>,
        writer: W,
    ) -> End {
        let mut frames = std::pin::pin!(frames);
        let mut writer = std::pin::pin!(writer);
        let mut epoch = self.epoch.clone();
        // Said first, before anything that the outbox may hold as soon as the peer is known to others.
        epoch.mark_changed();
        let (outbox, mut waiting, cut) = Outbox::new();
        let _there = self.came(&peer, &outbox);
        let mut silent = std::pin::pin!(sleep(self.silence));
        loop {
            // Biased: who leads is said before what the leader says.
            let frame = tokio::select! {
                biased;
                () = cut.cancelled() => return End::Replaced,
                changed = epoch.changed() => {
                    if changed.is_err() {
                        return End::Replaced;
                    }
                    let epoch = *epoch.borrow_and_update();
                    let lead = Lead { leading: epoch.is_some(), epoch: epoch.unwrap_or(0) };
                    wire::encode(&FromAutoscaler { kind: Some(Down::Lead(lead)) })
                }
                frame = given(&mut handing) => frame,
                Some(frame) = waiting.recv() => frame,
                heard = frames.next() => {
                    let heard = match heard {
                        None => return End::Closed,
                        Some(Err(end)) => return end,
                        Some(Ok(heard)) => heard,
                    };
                    if let Err(end) = self.hear(&peer, heard) {
                        return end;
                    }
                    silent.as_mut().reset(Instant::now() + self.silence);
                    continue;
                }
                () = &mut silent => return End::Silent(self.silence),
            };
            // Nothing is read while this is written; a peer that lets it take long is cut anyway.
            let written = async {
                writer.write_all(&frame).await?;
                // TLS keeps what it could not hand on.
                writer.flush().await
            };
            match timeout(self.patience, written).await {
                Err(_) => return End::DoesNotRead,
                Ok(Err(error)) => return End::Broken(error),
                Ok(Ok(())) => {}
            }
        }
    }

    /// Makes a peer known for as long as what is returned lives.
    fn came(&self, peer: &Peer, outbox: &Outbox) -> There {
        let span = tracing::Span::current();
        match peer {
            Peer::Activator { uid, name, incarnation, highest_epoch } => {
                span.record("role", "activator").record("peer", field::display(name));
                info!(?incarnation, "an activator connected");
                self.peers.activator_came(Activator {
                    uid: Arc::clone(uid),
                    name: Arc::clone(name),
                    incarnation: *incarnation,
                    highest_epoch: *highest_epoch,
                    leaving: false,
                    outbox: outbox.clone(),
                });
            }
            Peer::Sidecar { revision, replica, incarnation } => {
                span.record("role", "sidecar").record("peer", field::display(replica));
                debug!(?incarnation, "a sidecar connected");
                let sidecar = Sidecar { incarnation: *incarnation, outbox: outbox.clone() };
                self.peers.sidecar_came(revision, Arc::clone(replica), sidecar);
                self.tell(revision, Heard::SidecarCame);
            }
        }
        self.metrics.stream_opened(peer.role());
        There { streams: self.clone(), peer: peer.clone(), outbox: outbox.clone() }
    }

    /// Hands on what a peer said.
    fn hear(&self, peer: &Peer, said: ToAutoscaler) -> Result<(), End> {
        // Of a newer version: passed over.
        let Some(said) = said.kind else { return Ok(()) };
        match peer {
            Peer::Activator { uid, incarnation, .. } => self.hear_activator(uid, *incarnation, said),
            Peer::Sidecar { revision, replica, incarnation } => {
                self.hear_sidecar(revision, replica, *incarnation, said)
            }
        }
    }

    fn hear_activator(&self, uid: &Arc<str>, incarnation: Incarnation, said: Up) -> Result<(), End> {
        let at = self.clock.now();
        let activator = Arc::clone(uid);
        match said {
            Up::Frame(frame) => {
                // The counts are cumulative: a number that is missing is made up for by the next.
                let wire::Frame { number: _, elapsed_us, demands } = frame;
                for demand in demands {
                    let revision = RevisionKey::new(&*demand.namespace, &*demand.revision);
                    let (activator, demand) = (Arc::clone(uid), Box::new(demand));
                    self.tell(&revision, Heard::Demand { activator, incarnation, at, elapsed_us, demand });
                }
                // After what it brought, so that nobody takes the second for silent who has not seen it.
                self.peers.activator_heard(activator, at);
            }
            Up::Wake(wake) => {
                let revision = RevisionKey::new(&*wake.namespace, &*wake.revision);
                self.tell(&revision, Heard::Wake { activator, at, wake });
            }
            Up::SealAnswer(answer) => {
                let revision = RevisionKey::new(&*answer.namespace, &*answer.revision);
                self.tell(&revision, Heard::SealAnswer { activator, incarnation, answer });
            }
            Up::RouteAck(ack) => {
                let endpoint = EndpointKey::new(ack.namespace, ack.endpoint);
                self.peers.acknowledged(uid, endpoint, ack.generation);
            }
            Up::Leaving(wire::Empty {}) => {
                info!("the activator is leaving");
                self.peers.leaving(uid);
            }
            Up::Hello(_) => return Err(End::NotAllowed { what: "a second hello" }),
            Up::SidecarStats(_) => return Err(End::NotAllowed { what: "a sidecar's counts" }),
            Up::IdleAnswer(_) => return Err(End::NotAllowed { what: "a sidecar's answer" }),
        }
        Ok(())
    }

    fn hear_sidecar(
        &self,
        revision: &RevisionKey,
        replica: &Arc<str>,
        incarnation: Incarnation,
        said: Up,
    ) -> Result<(), End> {
        let replica = Arc::clone(replica);
        match said {
            Up::SidecarStats(stats) => {
                let at = self.clock.now();
                self.tell(revision, Heard::Sidecar { replica, incarnation, at, stats });
            }
            Up::IdleAnswer(answer) => self.tell(revision, Heard::IdleAnswer { replica, incarnation, answer }),
            Up::Hello(_) => return Err(End::NotAllowed { what: "a second hello" }),
            Up::Frame(_) => return Err(End::NotAllowed { what: "an activator's frame" }),
            Up::Wake(_) => return Err(End::NotAllowed { what: "a wake" }),
            Up::SealAnswer(_) => return Err(End::NotAllowed { what: "an activator's answer to a seal" }),
            Up::RouteAck(_) => return Err(End::NotAllowed { what: "an acknowledgement of a route" }),
            Up::Leaving(_) => return Err(End::NotAllowed { what: "that it leaves the paths" }),
        }
        Ok(())
    }

    fn tell(&self, revision: &RevisionKey, heard: Heard) {
        if !self.inboxes.tell(revision, heard) {
            self.metrics.message_dropped();
        }
    }
}

/// Who that is, and what it is to be given.
async fn known(hello: Result<Hello, End>, gate: Option<&Gate>) -> Result<(Peer, Option<Handing>), End> {
    let hello = hello?;
    let Some(gate) = gate else { return Ok((Peer::of(hello)?, None)) };
    gate.admit(&hello).await?;
    let handing = gate.handing(&hello);
    Ok((Peer::of(hello)?, handing))
}

/// What is next to be given to a peer that is given anything.
async fn given(handing: &mut Option<Handing>) -> Bytes {
    match handing {
        Some(handing) => handing.next().await,
        None => std::future::pending().await,
    }
}

/// Who is at the other end.
#[derive(Clone, Debug)]
enum Peer {
    Activator { uid: Arc<str>, name: Arc<str>, incarnation: Incarnation, highest_epoch: u64 },
    Sidecar { revision: RevisionKey, replica: Arc<str>, incarnation: Incarnation },
}

impl Peer {
    fn of(hello: Hello) -> Result<Self, End> {
        let role = hello.role();
        let incarnation = Incarnation(hello.incarnation);
        let named = |name: String, what| if name.is_empty() { Err(End::Nameless { what }) } else { Ok(name) };
        let name: Arc<str> = named(hello.name, "a name")?.into();
        match role {
            Role::Activator => {
                let (uid, highest_epoch) = (named(hello.uid, "a uid")?.into(), hello.highest_epoch);
                Ok(Self::Activator { uid, name, incarnation, highest_epoch })
            }
            Role::Sidecar => {
                let namespace = named(hello.namespace, "a namespace")?;
                let revision = RevisionKey::new(namespace, named(hello.revision, "a revision")?);
                Ok(Self::Sidecar { revision, replica: name, incarnation })
            }
            Role::Unknown => Err(End::Nameless { what: "a role" }),
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Self::Activator { .. } => "activator",
            Self::Sidecar { .. } => "sidecar",
        }
    }
}

/// Dropping it is the only way to be forgotten.
struct There {
    streams: Streams,
    peer: Peer,
    outbox: Outbox,
}

impl Drop for There {
    fn drop(&mut self) {
        match &self.peer {
            Peer::Activator { uid, .. } => self.streams.peers.activator_went(uid, &self.outbox),
            Peer::Sidecar { revision, replica, .. } => {
                self.streams.peers.sidecar_went(revision, replica, &self.outbox);
            }
        }
        self.streams.metrics.stream_closed(self.peer.role());
    }
}

/// Cuts bytes into frames and reads them.
struct FrameDecoder;

impl Decoder for FrameDecoder {
    type Item = ToAutoscaler;
    type Error = End;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<ToAutoscaler>, End> {
        let Some(length) = wire::frame_length(bytes)? else { return Ok(None) };
        let whole = 4 + length;
        if bytes.len() < whole {
            // Room is made as bytes come and not as announced: an announcement costs the peer nothing.
            return Ok(None);
        }
        let frame: Bytes = bytes.split_to(whole).freeze().slice(4..);
        Ok(Some(wire::decode(frame)?))
    }
}
