//! Connections to one replica, kept for a moment.
//!
//! The last one that came back goes out first, so that the others grow old and are dropped after [`KEPT_IDLE`]: model
//! servers close idle connections after five seconds and more (uvicorn), and a request that meets such a close is lost.
//!
//! HTTP/2 connections are shared; a further one is opened when the streams of the others are used up.
//!
//! Not here: what is sent on them, and whether it may be sent twice (`exchange.rs`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::RequestBody;
use crate::stream::{Observed, ReadOut};
use crate::tls::ClientTls;
use crate::transport::Transport;

/// How long an idle connection is kept.
pub const KEPT_IDLE: Duration = Duration::from_secs(4);

/// How long one may have been idle for a request that must not be begun twice.
pub const FRESH: Duration = Duration::from_secs(1);

/// Streams on one HTTP/2 connection before another is opened. What the peer allows counts too.
const STREAMS: usize = 100;

/// Bytes of an answer that wait for their client, on a shared connection.
const STREAM_WINDOW: u32 = 256 << 10;

/// A connection without a byte under way is asked for a sign of life after this long …
const QUIET: Duration = Duration::from_secs(4);
/// … and again at this pace, so often, before it ends.
const AGAIN: Duration = Duration::from_secs(2);
const QUESTIONS: u32 = 3;

/// Which HTTP a replica speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, with upgrades.
    Http1,
    /// HTTP/2 by prior knowledge: without TLS where the pool has none.
    H2c,
}

/// How a pool connects.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// What is spoken.
    pub protocol: Protocol,
    /// How long a connect may take, with the handshake.
    pub connect_timeout: Duration,
    /// The longest head of an answer, in bytes.
    pub max_head_bytes: usize,
    /// Below HTTP: with whom, and as whom. `None`: plain TCP.
    pub tls: Option<ClientTls>,
    /// Whether a shared connection in use asks its peer for signs of life, and ends without one. For sidecars: a model's own
    /// server may be too busy to answer, or take the question for an attack (gRPC's do).
    pub pings: bool,
}

impl PoolOptions {
    /// For a replica nearby: 2 s to connect, heads of 256 KiB (models put metrics into them), no TLS, no pings.
    pub fn nearby(protocol: Protocol) -> Self {
        Self { protocol, connect_timeout: Duration::from_secs(2), max_head_bytes: 256 << 10, tls: None, pings: false }
    }

    /// The same, within TLS.
    pub fn within(self, tls: ClientTls) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

/// The connections to one address. Cheap to clone; the last one dropped closes them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: SocketAddr,
    options: PoolOptions,
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Vec<Arc<Shared>>>,
    /// One opens a shared connection at a time, so that a burst does not open one each.
    opening: tokio::sync::Mutex<()>,
    sweeping: AtomicBool,
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

type Http1Sender = http1::SendRequest<RequestBody>;
type Http2Sender = http2::SendRequest<RequestBody>;

#[derive(Debug)]
struct Idle {
    connection: Exclusive,
    since: Instant,
}

/// An HTTP/1 connection: one request at a time.
#[derive(Debug)]
pub(crate) struct Exclusive {
    pub(crate) sender: Http1Sender,
    /// Set when a byte was read from it.
    pub(crate) heard: Arc<AtomicBool>,
}

/// An HTTP/2 connection: many requests at a time.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sender: Http2Sender,
    streams: AtomicUsize,
    /// How many the peer allows; follows its settings.
    allowed: Arc<AtomicUsize>,
    last_used: Mutex<Instant>,
}

/// A connection for one request.
#[derive(Debug)]
pub(crate) enum Connection {
    Exclusive { connection: Exclusive, reused: bool },
    Shared { connection: Arc<Shared>, stream: Stream, reused: bool },
}

/// One stream of a shared connection; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Shared>);

impl Drop for Stream {
    fn drop(&mut self) {
        *self.0.last_used.lock() = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What an answer holds of its connection. Dropped before its end, an exclusive connection is closed.
#[derive(Debug)]
pub(crate) enum Lease {
    Exclusive { connection: Exclusive, pool: Pool },
    Shared { _stream: Stream },
}

impl Lease {
    /// The answer is complete: the connection may serve another request.
    pub(crate) fn give_back(self) {
        match self {
            Self::Exclusive { connection, pool } => pool.put(connection),
            Self::Shared { .. } => {}
        }
    }
}

impl Pool {
    /// No connection yet.
    pub fn new(target: SocketAddr, options: PoolOptions) -> Self {
        Self(Arc::new(Inner {
            target,
            options,
            idle: Mutex::new(Vec::new()),
            shared: Mutex::new(Vec::new()),
            opening: tokio::sync::Mutex::new(()),
            sweeping: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        }))
    }

    /// Where its connections go.
    pub fn target(&self) -> SocketAddr {
        self.0.target
    }

    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.0.options.protocol
    }

    /// Connections that are kept for reuse now.
    pub fn idle(&self) -> usize {
        self.0.idle.lock().len() + self.0.shared.lock().len()
    }

    /// Drops what is kept idle: the replica is gone, or must be seen without connections.
    pub fn forget_idle(&self) {
        self.0.idle.lock().clear();
        self.0.shared.lock().retain(|shared| 0 < shared.streams.load(Ordering::Acquire));
    }

    /// A connection that is there, and was idle for at most `at_most`.
    pub(crate) fn kept(&self, at_most: Option<Duration>) -> Option<Connection> {
        let at_most = at_most?;
        match self.0.options.protocol {
            Protocol::Http1 => {
                self.take_idle(at_most).map(|connection| Connection::Exclusive { connection, reused: true })
            }
            Protocol::H2c => self.shared_with_room(at_most),
        }
    }

    /// A new connection or, where others open one just now, a place on theirs if it was idle for at most `at_most`. To be
    /// asked when none is [`Self::kept`].
    pub(crate) async fn connection(&self, at_most: Option<Duration>) -> io::Result<Connection> {
        match self.0.options.protocol {
            Protocol::Http1 => Ok(Connection::Exclusive { connection: self.open_http1().await?, reused: false }),
            Protocol::H2c => self.shared(at_most).await,
        }
    }

    fn take_idle(&self, at_most: Duration) -> Option<Exclusive> {
        let mut idle = self.0.idle.lock();
        let now = Instant::now();
        let mut place = idle.len();
        while 0 < place {
            place -= 1;
            let candidate = &idle[place];
            // The deeper, the older: nothing below is younger.
            if at_most.min(KEPT_IDLE) < now.saturating_duration_since(candidate.since) {
                return None;
            }
            if candidate.connection.sender.is_closed() {
                idle.remove(place);
            } else if candidate.connection.sender.is_ready() {
                return Some(idle.remove(place).connection);
            }
            // Neither: its request's body is still being sent, though the answer has ended. It comes round, or grows old.
        }
        None
    }

    fn put(&self, connection: Exclusive) {
        if connection.sender.is_closed() {
            return;
        }
        self.0.idle.lock().push(Idle { connection, since: Instant::now() });
        self.sweep();
    }

    async fn shared(&self, at_most: Option<Duration>) -> io::Result<Connection> {
        let Some(at_most) = at_most else { return self.open_shared().await };
        let _one_at_a_time = self.0.opening.lock().await;
        match self.shared_with_room(at_most) {
            Some(connection) => Ok(connection),
            None => self.open_shared().await,
        }
    }

    fn shared_with_room(&self, at_most: Duration) -> Option<Connection> {
        let mut all = self.0.shared.lock();
        all.retain(|shared| !shared.sender.is_closed());
        let now = Instant::now();
        let has_room = |shared: &&Arc<Shared>| {
            let streams = shared.streams.load(Ordering::Acquire);
            let idle_for = now.saturating_duration_since(*shared.last_used.lock());
            streams < STREAMS.min(shared.allowed.load(Ordering::Relaxed))
                && (0 < streams || idle_for <= at_most.min(KEPT_IDLE))
        };
        let connection = all.iter().find(has_room)?.clone();
        connection.streams.fetch_add(1, Ordering::AcqRel);
        let stream = Stream(connection.clone());
        Some(Connection::Shared { connection, stream, reused: true })
    }

    async fn open_shared(&self) -> io::Result<Connection> {
        let stream = self.dial().await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_header_list_size(self.max_head_u32());
        // Room for all streams at once: a client that does not read its answer must not stop the answers of others.
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * STREAMS as u32);
        if self.0.options.pings {
            builder.keep_alive_interval(QUIET).keep_alive_timeout(AGAIN * QUESTIONS);
        }
        let (sender, mut connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let allowed = Arc::new(AtomicUsize::new(STREAMS));
        let settings = allowed.clone();
        self.drive(std::future::poll_fn(move |cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            settings.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        }));
        let (streams, last_used) = (AtomicUsize::new(1), Mutex::new(Instant::now()));
        let shared = Arc::new(Shared { sender, streams, allowed, last_used });
        self.0.shared.lock().push(shared.clone());
        self.sweep();
        let stream = Stream(shared.clone());
        Ok(Connection::Shared { connection: shared, stream, reused: false })
    }

    fn max_head_u32(&self) -> u32 {
        u32::try_from(self.0.options.max_head_bytes).unwrap_or(u32::MAX)
    }

    async fn open_http1(&self) -> io::Result<Exclusive> {
        let stream = Observed::new(ReadOut::new(self.dial().await?));
        let heard = stream.heard();
        let mut builder = http1::Builder::new();
        builder.max_header_size(self.0.options.max_head_bytes);
        builder.max_buf_size(self.0.options.max_head_bytes.max(512 << 10));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        self.drive(connection.with_upgrades());
        Ok(Exclusive { sender, heard })
    }

    async fn dial(&self) -> io::Result<Transport> {
        let PoolOptions { protocol, connect_timeout, tls, .. } = &self.0.options;
        let connect = async {
            let stream = TcpStream::connect(self.0.target).await?;
            stream.set_nodelay(true)?;
            notice_silence(&stream)?;
            match tls {
                None => Ok(stream.into()),
                // In a box: a handshake is large, and each request that waits for a connection has the room for one.
                Some(tls) => Box::pin(tls.connect(stream, *protocol)).await,
            }
        };
        timeout(*connect_timeout, connect).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        // A connection lives until its senders are dropped, which the pool's end does.
        self.0.tasks.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to a replica broke");
            }
        });
    }

    /// Drops what has been idle for too long, while there is anything idle; then ends.
    fn sweep(&self) {
        if self.0.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, closed) = (Arc::downgrade(&self.0), self.0.closed.clone());
        self.0.tasks.spawn(async move {
            loop {
                let next = {
                    let Some(pool) = pool.upgrade() else { return };
                    match pool.drop_old() {
                        Some(next) => next,
                        None => {
                            pool.sweeping.store(false, Ordering::Release);
                            // One may have come back in between, and found the sweeper still there.
                            if pool.drop_old().is_none() || pool.sweeping.swap(true, Ordering::AcqRel) {
                                return;
                            }
                            continue;
                        }
                    }
                };
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = closed.cancelled() => return,
                }
            }
        });
    }
}

impl Inner {
    /// Answers when to look again; `None` if nothing is left.
    fn drop_old(&self) -> Option<Instant> {
        let now = Instant::now();
        let is_young = |since: Instant| now.saturating_duration_since(since) < KEPT_IDLE;
        let oldest_idle = {
            let mut idle = self.idle.lock();
            idle.retain(|idle| is_young(idle.since) && !idle.connection.sender.is_closed());
            idle.first().map(|idle| idle.since)
        };
        let oldest_shared = {
            let mut shared = self.shared.lock();
            shared.retain(|shared| {
                let busy = 0 < shared.streams.load(Ordering::Acquire);
                (busy || is_young(*shared.last_used.lock())) && !shared.sender.is_closed()
            });
            let since = |shared: &Arc<Shared>| match shared.streams.load(Ordering::Acquire) {
                0 => *shared.last_used.lock(),
                _ => now,
            };
            shared.iter().map(since).min()
        };
        [oldest_idle, oldest_shared].into_iter().flatten().min().map(|since| since + KEPT_IDLE)
    }
}

/// A machine that vanishes says nothing, and an answer from it would be waited for until the time-out, if there is one. The
/// kernels ask each other, so a model that computes is not disturbed. No limit on unacknowledged bytes (`TCP_USER_TIMEOUT`):
/// it would also end a connection whose peer, a sidecar with a line, does not read for a while.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, QUIET)?;
    sockopt::set_tcp_keepintvl(stream, AGAIN)?;
    sockopt::set_tcp_keepcnt(stream, QUESTIONS)?;
    Ok(sockopt::set_socket_keepalive(stream, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_asked_for_signs_of_life_and_given_up_within_ten_seconds() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        notice_silence(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        let questions = sockopt::tcp_keepcnt(&stream).unwrap();
        let asked = sockopt::tcp_keepidle(&stream).unwrap() + sockopt::tcp_keepintvl(&stream).unwrap() * questions;
        assert!(asked <= Duration::from_secs(10), "{asked:?}");
    }
}
