//! A small server in the place of a sidecar and its model.
//!
//! It answers by path: `/wait` when it is let go, `/break` never (it closes), `/stale` once per connection (then it
//! closes), `/shadow-…` wrongly if it is a copy, `/events` as a stream, `/upgrade` with an echo. Everything else at once, with its
//! name; at `/unknown-length` without saying how long that is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    serving: JoinSet<()>,
    /// Keeps its port, so that nobody else listens there when it has stopped.
    _port: TcpSocket,
}

struct State {
    name: String,
    ready: watch::Sender<bool>,
    not_started: AtomicBool,
    let_go: Semaphore,
    /// Method and path of each request that came, in order; probes left out.
    begun: Mutex<Vec<String>>,
}

impl Replica {
    /// Ready at once.
    pub(crate) async fn ready(name: &str) -> Self {
        let replica = Self::starting(name).await;
        replica.become_ready();
        replica
    }

    /// Listens, and is not ready.
    pub(crate) async fn starting(name: &str) -> Self {
        let (port, address) = reserve();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(64).unwrap();
        let state = Arc::new(State {
            name: name.to_owned(),
            ready: watch::Sender::new(false),
            not_started: AtomicBool::new(false),
            let_go: Semaphore::new(0),
            begun: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&state)));
        Self { name: name.to_owned(), address, state, serving, _port: port }
    }

    pub(crate) fn become_ready(&self) {
        self.state.ready.send_replace(true);
    }

    /// From now on probes wait.
    pub(crate) fn become_unready(&self) {
        self.state.ready.send_replace(false);
    }

    /// From now on it refuses connections, and the ones there are, are closed.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// From now on it says of each request that it was not started.
    pub(crate) fn start_nothing(&self) {
        self.state.not_started.store(true, Ordering::Release);
    }

    /// Lets so many of those that wait be answered.
    pub(crate) fn let_go(&self, count: usize) {
        self.state.let_go.add_permits(count);
    }

    pub(crate) fn begun(&self) -> Vec<String> {
        self.state.begun.lock().clone()
    }
}

/// A port that nobody else is given while the socket lives, and that one may listen on all the same.
pub(crate) fn reserve() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let served = Arc::new(AtomicU32::new(0));
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), Arc::clone(&served), request));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

type Answered = Response<BoxBody<Bytes, Infallible>>;

/// Why it closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("broken on purpose")]
struct Broken;

fn whole(status: u16, text: impl Into<Bytes>) -> Answered {
    Response::builder().status(status).body(Full::new(text.into()).boxed()).unwrap()
}

async fn answer(state: Arc<State>, served: Arc<AtomicU32>, mut request: Request<Incoming>) -> Result<Answered, Broken> {
    if request.headers().contains_key("rouse-probe") {
        state.ready.subscribe().wait_for(|ready| *ready).await.map_err(|_| Broken)?;
        return Ok(whole(200, ""));
    }
    let is_copy = request.headers().contains_key("rouse-shadow");
    let mark = if is_copy { "copy of " } else { "" };
    state.begun.lock().push(format!("{mark}{} {}", request.method(), request.uri().path()));
    if state.not_started.load(Ordering::Acquire) {
        let mut refusal = whole(503, "");
        refusal.headers_mut().insert("rouse-not-started", "draining".parse().unwrap());
        return Ok(refusal);
    }
    let served_before = served.fetch_add(1, Ordering::AcqRel);
    match request.uri().path() {
        "/wait" => state.let_go.acquire().await.map_err(|_| Broken)?.forget(),
        "/break" => return Err(Broken),
        "/shadow-breaks" if is_copy => return Err(Broken),
        "/shadow-fails" if is_copy => return Ok(whole(500, "")),
        "/shadow-floods" if is_copy => return Ok(whole(200, vec![b'x'; 64 << 20])),
        "/stale" if served_before != 0 => return Err(Broken),
        "/events" => {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            let mut streaming = JoinSet::new();
            streaming.spawn(async move {
                let _ = sender.send_data(Bytes::from_static(b"data: first\n\n")).await;
                if let Ok(permit) = state.let_go.acquire().await {
                    permit.forget();
                }
                let _ = sender.send_data(Bytes::from_static(b"data: last\n\n")).await;
            });
            streaming.detach_all();
            return Ok(Response::builder().header("content-type", "text/event-stream").body(body.boxed()).unwrap());
        }
        "/upgrade" => {
            let upgraded = hyper::upgrade::on(&mut request);
            let mut tunnel = JoinSet::new();
            tunnel.spawn(async move {
                let mut stream = TokioIo::new(upgraded.await.unwrap());
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..read]).await.unwrap();
                }
            });
            tunnel.detach_all();
            let head = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
            return Ok(head.body(Full::new(Bytes::new()).boxed()).unwrap());
        }
        _ => {}
    }
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map_err(|_| Broken)?.to_bytes();
    let mut text = state.name.clone().into_bytes();
    if !body.is_empty() {
        text.push(b' ');
        text.extend_from_slice(&body);
    }
    if path == "/unknown-length" {
        let pieces = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(text)))]);
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(pieces))));
    }
    Ok(whole(200, text))
}
