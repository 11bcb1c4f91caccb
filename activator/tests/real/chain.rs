//! Client, activator, sidecar, model: everything real but the model's answers. Between activator and sidecar there is TLS,
//! as in a cluster; without, this is how `rouse up` runs, and is tested so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use certs::Authority;
use daemon::Clock;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use platform::Endpoint;
use queue_proxy::{Config, QueueProxy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::trust::{activator_of, sidecar_of};
use crate::world::{World, endpoint, revision_at, revision_key, until, within};

pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type AnyBody = BoxBody<Bytes, Fault>;

pub(crate) fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn nothing() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body whose pieces are sent by hand. Dropping the sender without a word ends it.
pub(crate) fn by_hand() -> (http_body_util::channel::Sender<Bytes, Fault>, AnyBody) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed())
}

pub(crate) fn passed_on(body: Incoming) -> AnyBody {
    body.map_err(Fault::from).boxed()
}

/// What a model saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().iter().filter(|noted| *noted == what).count()
    }

    /// Notes it when it is dropped.
    pub(crate) fn at_the_end_of(&self, what: &str) -> impl Send + Sync + 'static {
        struct End(Notes, String);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.note(std::mem::take(&mut self.1));
            }
        }
        End(self.clone(), format!("end of {what}"))
    }

    pub(crate) async fn has(&self, what: &str) {
        until(&format!("the model noted {what:?}"), || (0 < self.count(what)).then_some(())).await;
    }
}

/// A model behind a sidecar behind an activator that both have certificates.
pub(crate) struct Chain {
    pub(crate) world: World,
    admin: SocketAddr,
    _running: JoinSet<()>,
}

impl Chain {
    pub(crate) async fn to<F, A>(model: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::with(model, |_| {}, |_| {}).await
    }

    /// The same, with changes to the sidecar's settings and to the endpoint.
    pub(crate) async fn with<F, A>(
        model: F,
        sidecar: impl FnOnce(&mut Config),
        change: impl FnOnce(&mut Endpoint),
    ) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::before(address, serve(listener, model), sidecar, change).await
    }

    /// Before a model of the caller's own, at `model`.
    pub(crate) async fn before(
        model: SocketAddr,
        serving: impl Future<Output = ()> + Send + 'static,
        sidecar: impl FnOnce(&mut Config),
        change: impl FnOnce(&mut Endpoint),
    ) -> Self {
        let mut running = JoinSet::new();
        running.spawn(serving);
        let mut config = Config::local(model);
        config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let authority = Authority::new();
        config.proxied_tls = Some(sidecar_of(&authority));
        sidecar(&mut config);
        let sidecar = QueueProxy::bind(config, Clock::start()).unwrap();
        let (proxied, admin) = (sidecar.proxied_addr(), sidecar.admin_addr().unwrap());
        running.spawn(async move { sidecar.run(std::future::pending()).await.unwrap() });

        let world = World::trusting(activator_of(&authority)).await;
        let mut endpoint = endpoint("model", &[("v1", 100)]);
        change(&mut endpoint);
        world.put_endpoint(endpoint);
        world.boards.revisions.put(revision_key("v1"), revision_at("v1", &[("a", proxied)]));
        world.autoscaler.acknowledged("model", 1).await;
        Self { world, admin, _running: running }
    }

    pub(crate) async fn http1(&self) -> Client {
        Client::http1(self.world.address).await
    }

    pub(crate) async fn http2(&self) -> Client {
        Client::http2(self.world.address).await
    }

    /// What the sidecar counts.
    pub(crate) async fn stats(&self) -> serde_json::Value {
        let mut asking = Client::http1(self.admin).await;
        let request = Request::get("/stats").header("host", "sidecar").body(nothing()).unwrap();
        serde_json::from_slice(&asking.send(request).await.body).unwrap()
    }

    /// Nothing is counted any more, neither here nor there.
    pub(crate) async fn until_quiet(&self) {
        self.world.until_in_flight(0).await;
        self.until_at_sidecar(0).await;
        let stats = self.stats().await;
        assert_eq!((&stats["upgraded"], &stats["held"]), (&0.into(), &0.into()), "{stats}");
    }

    pub(crate) async fn until_at_sidecar(&self, count: u64) {
        let looking = async { while self.stats().await["inFlight"] != count {} };
        within(&format!("{count} in flight at the sidecar"), looking).await;
    }
}

/// Serves HTTP/1.1 and h2c, and upgrades.
async fn serve<F, A>(listener: TcpListener, model: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let model = model.clone();
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let service = service_fn(|request| {
                let answer = model(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            let http = auto::Builder::new(TokioExecutor::new());
            let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

/// A request to the endpoint.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "model.default")
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Read {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One connection of a client. Dropping it closes it.
pub(crate) struct Client {
    sender: Sender,
    _driver: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<AnyBody>),
    Http2(http2::SendRequest<AnyBody>),
}

impl Client {
    pub(crate) async fn http1(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Self { sender: Sender::Http1(sender), _driver: driver }
    }

    /// By prior knowledge.
    pub(crate) async fn http2(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Self { sender: Sender::Http2(sender), _driver: driver }
    }

    /// Reads the head only.
    pub(crate) async fn begin(&mut self, mut request: Request<AnyBody>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let host = request.headers_mut().remove("host").unwrap();
                let path = request.uri().clone();
                *request.uri_mut() = format!("http://{}{path}", host.to_str().unwrap()).parse().unwrap();
                *request.version_mut() = http::Version::HTTP_2;
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    pub(crate) async fn try_send(&mut self, request: Request<AnyBody>) -> hyper::Result<Read> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Read { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
    }

    pub(crate) async fn send(&mut self, request: Request<AnyBody>) -> Read {
        within("an answer", self.try_send(request)).await.unwrap()
    }
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut Incoming) -> Bytes {
    within("a piece", body.frame()).await.unwrap().unwrap().into_data().unwrap()
}

/// How a body ends: whether as it should.
pub(crate) async fn ends_well(body: Incoming) -> bool {
    within("the end of the body", body.collect()).await.is_ok()
}
