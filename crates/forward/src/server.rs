//! Connections of clients: HTTP/1.1 and HTTP/2 on one port, plain or within TLS, upgrades, limits, and leaving without a loss.
//!
//! The owner accepts, and hands each connection to [`Server::serve`]. What a connection may not do: say nothing after it
//! was opened, dawdle over a head (408), send a huge one (431), or stay idle for ever. Hyper's own timer for heads is not
//! used: it also runs while a connection is idle, and costs a timer with every request; here one slow tick per connection
//! sees to all three.
//!
//! Leaving has two steps. [`LooseEnds::leave`]: what is asked is still answered, but each answer says `connection: close`,
//! and HTTP/2 connections get a GOAWAY. [`LooseEnds::drain`]: idle connections are closed, the others end with their
//! answer, and what does not end is cut at the limit of its class (`leaving.rs`).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::aside::Aside;
use crate::body::BodyError;
use crate::leaving::{Class, Leaving, Load, Phase, Stage};
use crate::lookout::Lookout;
use crate::refusal::{Form, REASON};
use crate::stream::{Observed, Spoken, detect};
use crate::tls::ServerTls;
use crate::transport::Transport;
use crate::upgrade::LooseEnds;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// The body of its answers.
    type Body: HttpBody<Data = Bytes, Error = BodyError> + Unpin + Send + 'static;

    /// One request. Dropped in the middle when the client goes, so what must come back does so by `Drop`.
    fn answer(&self, request: Request<Incoming>, arrival: Arrival)
    -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to one whose time is up, because this program leaves. What was done for it is dropped.
    fn too_late(&self, form: Form) -> Response<Self::Body>;
}

/// By which connection a request came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Where it was received.
    pub local: SocketAddr,
    /// For [`crate::Exchange::client_breaks`].
    pub lookout: Lookout,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// For the handshake, where there is TLS.
    pub handshake: Duration,
    /// From the connection, or the handshake, to its first bytes.
    pub first_byte: Duration,
    /// From the first byte of a head to its last. At most half as much again.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// The longest head, in bytes.
    pub max_head_bytes: usize,
}

impl Default for ServerLimits {
    /// Idle for longer than any usual client or load balancer keeps a connection (620 s is what Google's asks for), so
    /// that it is the client that closes, and no request meets a close of ours.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(620),
            max_head_bytes: 64 << 10,
        }
    }
}

/// Requests at once on one HTTP/2 connection, and bytes of each body that may wait to be read.
const STREAMS: u32 = 250;
const STREAM_WINDOW: u32 = 64 << 10;

/// How long a client is listened to that still sends a body after its connection was closed.
pub(crate) const HEARD_OUT: Duration = Duration::from_secs(1);

/// The connections of one or more ports, all answered by one service.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    limits: ServerLimits,
    tls: Option<ServerTls>,
    ends: LooseEnds,
    connections: TaskTracker,
    cut: CancellationToken,
}

impl<S: Service> Server<S> {
    /// No connections yet. They leave together with whatever else `ends` has.
    pub fn new(service: Arc<S>, limits: ServerLimits, ends: LooseEnds) -> Self {
        let cut = ends.last_call().child_token();
        Self { service, limits, tls: None, ends, connections: TaskTracker::new(), cut }
    }

    /// With TLS below each connection, and nothing for who does not pass it.
    pub fn within(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves one connection in the background, until it ends or is drained.
    pub fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let leaving = Arc::clone(self.ends.leaving());
        let (load, counted) = leaving.enter();
        let line = Line {
            service: self.service.clone(),
            arrival: Arrival { peer, local, lookout: Lookout::default() },
            limits: self.limits,
            load,
            bell: Notify::new(),
            served: AtomicU32::new(0),
            heard: Arc::default(),
            had_body: AtomicBool::new(false),
            leaving,
        };
        let (stage, cut, tls) = (line.leaving.follow(), self.cut.clone(), self.tls.clone());
        self.connections.spawn(async move {
            let _counted = counted;
            tokio::select! {
                biased;
                () = line.serve(stream, tls, stage) => {}
                () = Aside::new(cut.cancelled()) => {}
            }
        });
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Returns once its connections have ended, and what outlives them. Nothing more may be served.
    pub async fn ended(&self) {
        self.connections.close();
        self.connections.wait().await;
        self.ends.ended().await;
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

/// One connection: who answers on it, and what it is doing.
#[derive(Debug)]
struct Line<S> {
    service: Arc<S>,
    arrival: Arrival,
    limits: ServerLimits,
    leaving: Arc<Leaving>,
    /// Requests whose answer has not ended.
    load: Arc<Load>,
    /// Rung when the limit of a class comes, for requests that are no part of their connection's task.
    bell: Notify,
    /// Requests in all; only changes matter.
    served: AtomicU32,
    /// Bytes came that belong to no request yet: a head has begun.
    heard: Arc<AtomicBool>,
    /// The last request had a body, of which something may still be on its way.
    had_body: AtomicBool,
}

impl<S: Service> Line<S> {
    async fn serve(self, stream: TcpStream, tls: Option<ServerTls>, mut stage: watch::Receiver<Stage>) {
        let within_tls = tls.is_some();
        let detected = tokio::select! {
            // What was sent before we leave is read.
            biased;
            detected = self.detect(stream, tls) => detected,
            // It has said nothing: nobody loses by a close. In the middle of a handshake it has, and what it wants may be
            // right behind.
            () = async {
                reached(&mut stage, Phase::Draining).await;
                if within_tls {
                    sleep(HEARD_OUT).await;
                }
            } => return,
        };
        let Some((spoken, stream)) = detected else { return };
        let line = Arc::new(Self { heard: stream.heard(), ..self });
        match spoken {
            Spoken::Http1 => serve_http1(line, stream, stage).await,
            // Apart, so that a connection of HTTP/1 does not carry its room.
            Spoken::Http2 => Box::pin(serve_http2(line, stream, stage)).await,
        }
    }

    /// Which HTTP it speaks. `None` if there is nobody to speak with.
    async fn detect(&self, stream: TcpStream, tls: Option<ServerTls>) -> Option<(Spoken, Observed<Transport>)> {
        let mut stream: Transport = match tls {
            None => stream.into(),
            // In a box: a handshake is large, and every plain connection would have the room for one.
            Some(tls) => Box::pin(tls.accept(stream, self.arrival.peer, self.limits.handshake)).await?,
        };
        stream.look_when_asked(self.arrival.lookout.clone());
        timeout(self.limits.first_byte, detect(stream)).await.ok()?.ok()?
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Watched<S>>, Infallible> {
        let http1 = request.version() < Version::HTTP_2;
        // Only who is too late needs it, and whether that will be so nobody knows yet.
        let form = Form::for_request(request.headers());
        // Whatever comes after this head belongs to another.
        self.heard.store(false, Ordering::Relaxed);
        self.had_body.store(!request.body().is_end_stream(), Ordering::Relaxed);
        let mut busy = Busy::start(self);
        let line = &busy.line;
        let answered = {
            let mut answer = pin!(line.service.answer(request, line.arrival.clone()));
            // A request on HTTP/1 is polled with its connection, which is woken by itself.
            let mut bell = pin!((!http1).then(|| line.bell.notified()));
            poll_fn(|cx| {
                if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(response));
                }
                if let Some(bell) = bell.as_mut().as_pin_mut() {
                    // Heard or not: the limit is looked at.
                    let _ = bell.poll(cx);
                }
                if line.leaving.is_over(Class::Unary) { Poll::Ready(None) } else { Poll::Pending }
            })
            .await
        };
        let mut response = answered.unwrap_or_else(|| {
            line.leaving.count_cut(Class::Unary, 1);
            line.service.too_late(form)
        });
        let is_last = line.leaving.has_begun() || line.breaks_off(&response);
        if http1 && is_last && !response.headers().contains_key(CONNECTION) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = response.body();
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            busy.streams();
        }
        Ok(response.map(|body| Watched { body, _busy: busy }))
    }

    /// Is this a refusal that may have come in the middle of the request's body? Nobody reads the rest of it then, so that
    /// the connection ends with the answer; a client that has sent the rest meanwhile would use it once more. Who is
    /// refused before anything was begun (503, 429) is heard out.
    fn breaks_off<B>(&self, response: &Response<B>) -> bool {
        let heard_out = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        400 <= response.status().as_u16()
            && !heard_out.contains(&response.status())
            && self.had_body.load(Ordering::Relaxed)
            && response.headers().contains_key(REASON)
    }
}

async fn serve_http1<S: Service>(line: Arc<Line<S>>, stream: Observed<Transport>, mut stage: watch::Receiver<Stage>) {
    let answer = service_fn(|request| line.clone().answer(request));
    let mut http = http1::Builder::new();
    // The number of headers stays hyper's own limit (100): another one costs an allocation with every head.
    http.header_read_timeout(None).max_header_size(line.limits.max_head_bytes);
    http.max_buf_size(line.limits.max_head_bytes.max(256 << 10));
    let mut connection = http.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    let mut tick = Tick::new(line.limits);
    let overstayed = Aside::new(async {
        tokio::select! {
            biased;
            // Idle is all that it may then not be.
            () = reached(&mut stage, Phase::Draining) => Due::Idle,
            due = tick.next(&line) => due,
        }
    });
    // Nothing is lost with a branch that is dropped: the connection is only borrowed.
    tokio::select! {
        biased;
        ended = &mut connection => {
            note(ended, &line.arrival);
            return hear_out(&line, connection.into_parts().map(|parts| parts.io)).await;
        }
        due = overstayed => match due {
            Due::Idle => {}
            Due::Head => return head_timed_out(connection.into_parts().map(|parts| parts.io)).await,
        },
    }
    // A head that has begun is read to its end and answered; the answer says that it is the last.
    if !line.heard.load(Ordering::Relaxed) {
        Pin::new(&mut connection).graceful_shutdown();
    }
    tokio::select! {
        biased;
        ended = &mut connection => note(ended, &line.arrival),
        () = line.leaving.overdue(&mut stage, &line.load, || {}) => return,
    }
    hear_out(&line, connection.into_parts().map(|parts| parts.io)).await;
}

/// Reads what a client still sends after its answer, for a moment. Closed with bytes unread, a connection is reset, and
/// then the client may never see the answer that came before.
async fn hear_out<S>(line: &Line<S>, io: Option<TokioIo<Observed<Transport>>>) {
    let Some(io) = io.filter(|_| line.had_body.load(Ordering::Relaxed)) else { return };
    let mut stream = io.into_inner();
    let mut unwanted = vec![0; 16 << 10];
    let rest = async {
        // Most often hyper has said already that nothing follows.
        let _ = stream.shutdown().await;
        while let Ok(1..) = stream.read(&mut unwanted).await {}
    };
    let _ = timeout(HEARD_OUT, rest).await;
}

async fn serve_http2<S: Service>(line: Arc<Line<S>>, stream: Observed<Transport>, mut stage: watch::Receiver<Stage>) {
    let answer = service_fn(|request| line.clone().answer(request));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
    // Room for all streams at once: the bodies of requests that wait must not stop those of requests that go.
    http.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(STREAM_WINDOW * STREAMS);
    http.max_header_list_size(u32::try_from(line.limits.max_head_bytes).unwrap_or(u32::MAX));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    // Between requests pings and acknowledgements come too: what was heard need not be a head.
    let mut tick = Tick::until(ServerLimits { head: line.limits.idle, ..line.limits }, line.limits.head / 2);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return note(ended, &line.arrival),
        // Streams that were opened before the client knows are still answered: the first GOAWAY names no last one.
        () = reached(&mut stage, Phase::Leaving) => {}
        _ = tick.next(&line) => {}
    }
    connection.as_mut().graceful_shutdown();
    let mut tick = Tick::new(ServerLimits { idle: line.limits.head, ..line.limits });
    tokio::select! {
        ended = connection => note(ended, &line.arrival),
        // It does not take leave, because it has vanished or does not want to, and asks for nothing either.
        _ = tick.next(&line) => {}
        () = line.leaving.overdue(&mut stage, &line.load, || line.bell.notify_waiters()) => {}
    }
}

async fn reached(stage: &mut watch::Receiver<Stage>, at_least: Phase) {
    if stage.wait_for(|stage| at_least <= stage.phase).await.is_err() {
        // The server is gone, and cuts its connections itself.
        std::future::pending::<()>().await;
    }
}

fn note(ended: hyper::Result<()>, arrival: &Arrival) {
    if let Err(error) = ended {
        debug!(%error, peer = %arrival.peer, "a client's connection broke");
    }
}

/// Hyper would close without a word.
async fn head_timed_out(io: Option<TokioIo<Observed<Transport>>>) {
    const ANSWER: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let Some(io) = io else { return };
    let mut stream = io.into_inner();
    let say = async { (stream.write_all(ANSWER).await, stream.shutdown().await) };
    // A peer that does not read either learns nothing.
    let _ = timeout(Duration::from_secs(1), say).await;
}

/// Counts a request in its connection.
#[derive(Debug)]
struct Busy<S> {
    line: Arc<Line<S>>,
    streams: bool,
}

impl<S> Busy<S> {
    fn start(line: Arc<Line<S>>) -> Self {
        line.served.fetch_add(1, Ordering::Relaxed);
        line.load.begin();
        Self { line, streams: false }
    }

    /// Its answer has begun, and nobody knows how long it is.
    fn streams(&mut self) {
        self.streams = true;
        self.line.load.streams();
    }
}

impl<S> Drop for Busy<S> {
    fn drop(&mut self) {
        // What was read since the head was the request's body.
        self.line.heard.store(false, Ordering::Relaxed);
        self.line.load.end(self.streams);
    }
}

/// A body that keeps its connection busy.
struct Watched<S: Service> {
    body: S::Body,
    _busy: Busy<S>,
}

impl<S: Service> HttpBody for Watched<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection has overstayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Idle,
    Head,
}

/// Looks at a connection from time to time. Exact to half the time-out for heads, which spares a timer per request.
#[derive(Debug)]
struct Tick {
    limits: ServerLimits,
    step: Duration,
    interval: tokio::time::Interval,
    served: u32,
    idle: Duration,
    head: Duration,
}

impl Tick {
    fn new(limits: ServerLimits) -> Self {
        Self::until(limits, limits.head.min(limits.idle) / 2)
    }

    fn until(limits: ServerLimits, step: Duration) -> Self {
        let step = step.max(Duration::from_millis(1));
        let mut interval = interval_at(Instant::now() + step, step);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { limits, step, interval, served: 0, idle: Duration::ZERO, head: Duration::ZERO }
    }

    /// Returns once the connection has overstayed.
    async fn next<S>(&mut self, line: &Line<S>) -> Due {
        loop {
            self.interval.tick().await;
            let served = line.served.load(Ordering::Relaxed);
            let moved = std::mem::replace(&mut self.served, served) != served;
            if moved || line.load.is_busy() {
                (self.idle, self.head) = (Duration::ZERO, Duration::ZERO);
            } else if line.heard.load(Ordering::Relaxed) {
                self.head += self.step;
            } else {
                self.idle += self.step;
            }
            // The head may have begun anywhere within the first step.
            let due = match (self.limits.head < self.head, self.limits.idle < self.idle) {
                (true, _) => Due::Head,
                (false, true) => Due::Idle,
                (false, false) => continue,
            };
            (self.idle, self.head) = (Duration::ZERO, Duration::ZERO);
            return due;
        }
    }
}
