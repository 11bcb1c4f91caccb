//! What the tests stand on: a model, a sidecar beside it, and clients.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use daemon::Clock;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use queue_proxy::{Config, QueueProxy};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type AnyBody = BoxBody<Bytes, Infallible>;

/// A body that is all there.
pub(crate) fn whole(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).boxed()
}

/// A body whose pieces the test sends.
pub(crate) fn piecewise() -> (mpsc::UnboundedSender<&'static str>, AnyBody) {
    let (pieces, sent) = mpsc::unbounded_channel();
    let frames = futures_util::stream::unfold(sent, async |mut sent: mpsc::UnboundedReceiver<&'static str>| {
        let piece = sent.recv().await?;
        Some((Ok(Frame::data(Bytes::from_static(piece.as_bytes()))), sent))
    });
    // `BoxBody` wants `Sync`, which the stream of an async block is not; a lock makes it so.
    (pieces, BoxBody::new(StreamBody::new(Box::pin(SyncStream(std::sync::Mutex::new(frames.boxed()))))))
}

type Frames = futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

struct SyncStream(std::sync::Mutex<Frames>);

impl futures_util::Stream for SyncStream {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.get_mut().unwrap().poll_next_unpin(cx)
    }
}

/// A model that answers with `handler`. Speaks HTTP/1.1 and h2c, and upgrades.
pub(crate) async fn model<F, A>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_model(listener, handler));
    address
}

pub(crate) async fn serve_model<F, A>(listener: TcpListener, handler: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<AnyBody>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

/// A model that answers everything with `hello`.
pub(crate) async fn hello_model() -> SocketAddr {
    model(async |_| Response::new(whole("hello"))).await
}

/// A sidecar that runs, and is told to leave when the test says so.
pub(crate) struct Sidecar {
    pub(crate) direct: SocketAddr,
    pub(crate) proxied: SocketAddr,
    pub(crate) admin: SocketAddr,
    leave: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
}

impl Sidecar {
    /// Beside a model, with settings of the test's own; returns when the model is ready.
    pub(crate) async fn beside(model: SocketAddr, settings: impl FnOnce(&mut Config)) -> Self {
        let mut ready = None;
        let sidecar = Self::start(model, settings, |sidecar| ready = Some(sidecar.readiness()));
        within(ready.unwrap().wait_for(|ready| *ready)).await.unwrap();
        sidecar
    }

    /// The same, without waiting for the model.
    pub(crate) fn start(model: SocketAddr, settings: impl FnOnce(&mut Config), look: impl FnOnce(&QueueProxy)) -> Self {
        let mut config = Config::local(model);
        config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        settings(&mut config);
        let sidecar = QueueProxy::bind(config, Clock::start()).unwrap();
        look(&sidecar);
        let (direct, proxied, admin) = (sidecar.direct_addr(), sidecar.proxied_addr(), sidecar.admin_addr().unwrap());
        let (leave, told) = oneshot::channel();
        let running = tokio::spawn(sidecar.run(async {
            // A test that ends without a word wants no drain.
            if told.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { direct, proxied, admin, leave: Some(leave), running }
    }

    /// Tells it to leave.
    pub(crate) fn leave(&mut self) {
        self.leave.take().unwrap().send(()).unwrap();
    }

    /// Its numbers.
    pub(crate) async fn stats(&self) -> serde_json::Value {
        let (_, text) = get(self.admin, "/stats").await;
        serde_json::from_str(&text).unwrap()
    }

    /// Returns once its numbers are as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&serde_json::Value) -> bool) {
        let mut seen = serde_json::Value::Null;
        let look = async {
            loop {
                seen = self.stats().await;
                if wanted(&seen) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            panic!("waited in vain: {seen}");
        }
    }
}

/// Returns once it is so.
pub(crate) async fn wait_for(mut is_so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(look).await;
}

/// Panics when it takes too long.
/// Another process, connected to the model at that port: this one holds the sockets of everything in the test.
pub(crate) async fn past_the_sidecar(port: u16) -> Child {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo connected; read line");
    let mut other = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(within(lines.next_line()).await.unwrap().as_deref(), Some("connected"));
    other
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

pub(crate) fn client() -> Client<HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn h2_client() -> Client<HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

pub(crate) fn request(address: SocketAddr, path: &str) -> http::request::Builder {
    Request::builder().uri(format!("http://{address}{path}"))
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let request = request(address, path).body(whole("")).unwrap();
    read(within(client().request(request)).await.unwrap()).await
}

pub(crate) async fn read(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut Incoming) -> String {
    let frame = within(body.frame()).await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}
