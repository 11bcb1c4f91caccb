//! A closed load: so many workers, each with one request after the other, of six kinds in turn by chance.
//!
//! Each answer must be that of its request and no other: the number that was sent comes back in what is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::verdict::{Ending, Record};

/// Longer than anything is to take, so that what hangs is found.
const PATIENCE: Duration = Duration::from_secs(90);

/// Pieces of a body that comes slowly, and the pause before each.
const PIECES: usize = 5;
const PAUSE: Duration = Duration::from_millis(25);

/// The largest body that is sent at once.
const MOST_BYTES: usize = 200 << 10;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// GET, answered with a line.
    Get,
    /// POST to a model, small.
    Post,
    /// The same with an `idempotency-key`.
    KeyedPost,
    /// POST whose body comes back.
    Echo,
    /// The same, sent in pieces.
    SlowEcho,
    /// GET, answered by a stream of events.
    Events,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Get, Self::Post, Self::KeyedPost, Self::Echo, Self::SlowEcho, Self::Events];

    /// As a person reads it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::KeyedPost => "POST with a key",
            Self::Echo => "POST of a body",
            Self::SlowEcho => "POST of a slow body",
            Self::Events => "GET of events",
        }
    }

    /// May it be begun a second time?
    pub(super) fn may_repeat(self) -> bool {
        match self {
            Self::Get | Self::KeyedPost | Self::Events => true,
            Self::Post | Self::Echo | Self::SlowEcho => false,
        }
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One request as it is sent, and as often as nothing of it was written.
struct Asked {
    kind: Kind,
    id: String,
    number: u64,
    /// Bytes of a body that comes back.
    bytes: usize,
}

impl Asked {
    fn request(&self, host: &str) -> Request<Body> {
        let (method, path) = match self.kind {
            Kind::Get => (Method::GET, "/"),
            Kind::Post | Kind::KeyedPost => (Method::POST, "/v1/models/model:predict"),
            Kind::Echo | Kind::SlowEcho => (Method::POST, "/echo"),
            Kind::Events => (Method::GET, "/events?n=5&every=20ms"),
        };
        let mut request = Request::new(self.body());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("these are paths");
        let headers = request.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).expect("names and numbers are plain text");
        headers.insert(HOST, value(host));
        headers.insert("x-request-id", value(&self.id));
        match self.kind {
            Kind::KeyedPost => drop(headers.insert("idempotency-key", value(&self.id))),
            // Comes back with the body.
            Kind::Echo | Kind::SlowEcho => drop(headers.insert(CONTENT_TYPE, value(&format!("storm/{}", self.number)))),
            Kind::Get | Kind::Post | Kind::Events => {}
        }
        request
    }

    fn body(&self) -> Body {
        match self.kind {
            Kind::Get | Kind::Events => Full::default().boxed_unsync(),
            Kind::Post | Kind::KeyedPost => Full::from(format!("{{\"instances\":[[{}]]}}", self.number)).boxed_unsync(),
            Kind::Echo => Full::from(self.sent_bytes()).boxed_unsync(),
            Kind::SlowEcho => {
                let whole = self.sent_bytes();
                let piece = whole.len().div_ceil(PIECES);
                let pieces = futures_util::stream::unfold(whole, move |mut rest| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    sleep(PAUSE).await;
                    let next = rest.split_to(piece.min(rest.len()));
                    Some((Ok(Frame::data(next)), rest))
                });
                StreamBody::new(pieces).boxed_unsync()
            }
        }
    }

    /// The number, again and again.
    fn sent_bytes(&self) -> Bytes {
        format!("{} ", self.number).into_bytes().into_iter().cycle().take(self.bytes).collect::<Vec<_>>().into()
    }

    /// Is this the answer of a replica to this very request?
    fn check(&self, headers: &HeaderMap, body: &Bytes) -> Result<(), String> {
        let is_right = match self.kind {
            Kind::Get => body.starts_with(b"Hello from rouse's stand-in model"),
            Kind::Post | Kind::KeyedPost => {
                let expected = serde_json::json!({ "predictions": [self.number as f64] });
                serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|answer| answer == expected)
            }
            Kind::Echo | Kind::SlowEcho => {
                let mark = format!("storm/{}", self.number);
                *body == self.sent_bytes() && headers.get(CONTENT_TYPE).is_some_and(|mime| mime == mark.as_str())
            }
            Kind::Events => {
                let expected: String = (1..=5).map(|number| format!("id: {number}\ndata: {number}\n\n")).collect();
                *body == expected.as_bytes()
            }
        };
        is_right.then_some(()).ok_or_else(|| {
            let begin = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
            format!("not its answer: {} bytes, {begin:?}", body.len())
        })
    }
}

/// Where a worker's requests go.
#[derive(Clone, Debug)]
pub(super) struct To {
    pub(super) address: SocketAddr,
    pub(super) host: String,
}

/// A load under way.
#[derive(Debug)]
pub(super) struct Load {
    workers: JoinSet<Vec<Record>>,
    enough: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
}

impl Load {
    /// Starts `workers`, who take `to` in turn. The nth request's id is `n`, from 0.
    pub(super) fn start(to: &[To], workers: usize, seed: u64, begin: Instant) -> Self {
        let (enough, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut running = JoinSet::new();
        for to in to.iter().cycle().take(workers).cloned() {
            let worker =
                Worker { to, rng: rng.fork(), connection: None, drivers: TaskTracker::new(), begin, records: vec![] };
            running.spawn(worker.work(Arc::clone(&enough), Arc::clone(&begun)));
        }
        Self { workers: running, enough, begun }
    }

    /// How many were begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Begins no more, and waits for the answers.
    pub(super) async fn end(mut self) -> anyhow::Result<Vec<Record>> {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(records) = self.workers.join_next().await {
            all.extend(records?);
        }
        all.sort_by_key(|record| record.number);
        Ok(all)
    }
}

struct Worker {
    to: To,
    rng: fastrand::Rng,
    connection: Option<SendRequest<Body>>,
    drivers: TaskTracker,
    begin: Instant,
    records: Vec<Record>,
}

impl Worker {
    async fn work(mut self, enough: Arc<AtomicBool>, begun: Arc<AtomicU64>) -> Vec<Record> {
        while !enough.load(Ordering::Relaxed) {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            let kind = Kind::ALL[self.rng.usize(..Kind::ALL.len())];
            // Most are small, as most are.
            let most = if self.rng.u8(..) < 64 { MOST_BYTES } else { 2 << 10 };
            let asked = Asked { kind, id: number.to_string(), number, bytes: self.rng.usize(1..=most) };
            let started = self.begin.elapsed();
            let ending = match timeout(PATIENCE, self.ask(&asked)).await {
                Ok(ending) => ending,
                Err(_) => {
                    self.connection = None;
                    Ending::Nothing { why: format!("no answer within {PATIENCE:?}") }
                }
            };
            self.records.push(Record { number, kind, started, ended: self.begin.elapsed(), ending });
        }
        drop(self.connection);
        self.drivers.close();
        self.drivers.wait().await;
        self.records
    }

    async fn ask(&mut self, asked: &Asked) -> Ending {
        loop {
            let mut connection = match self.connection.take().filter(|kept| kept.is_ready()) {
                Some(kept) => kept,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(error) => return Ending::Nothing { why: format!("no connection: {error}") },
                },
            };
            let answer = match connection.try_send_request(asked.request(&self.to.host)).await {
                Ok(answer) => answer,
                // It ended while it idled, and nothing was sent: nobody can have begun the request.
                Err(mut failed) => match failed.take_message() {
                    Some(_) => continue,
                    None => return Ending::Nothing { why: chain(failed.error()) },
                },
            };
            let (head, body) = answer.into_parts();
            let text =
                |name| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let by = text("predictor-pid").and_then(|pid| pid.parse().ok());
            let (status, reason) = (head.status.as_u16(), text("rouse-reason"));
            return match body.collect().await {
                Err(error) => Ending::Cut { status, by, why: chain(&error) },
                Ok(whole) => {
                    // It may be ready only once the connection has seen that the body ended.
                    if connection.ready().await.is_ok() {
                        self.connection = Some(connection);
                    }
                    let body = whole.to_bytes();
                    match reason {
                        Some(reason) => {
                            Ending::Refused { status, reason, says: String::from_utf8_lossy(&body).into_owned() }
                        }
                        None => Ending::Answered { status, by, right: asked.check(&head.headers, &body) },
                    }
                }
            };
        }
    }

    async fn connect(&self) -> std::io::Result<SendRequest<Body>> {
        let stream = TcpStream::connect(self.to.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // How it ends, the exchange on it says.
        self.drivers.spawn(async move { drop(driver.await) });
        Ok(sender)
    }
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
