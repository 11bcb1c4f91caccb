//! What the tests stand on: servers and clients on loopback.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forward::{
    Arrival, Body, Exchange, Form, LooseEnds, Pool, PoolOptions, Protocol, Reason, Refusal, RequestBody, Server,
    ServerLimits, Service, Timeouts, Trust,
};
use http::header::HOST;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// A service made of a function.
pub(crate) struct Answers<F>(pub(crate) F);

impl<F, A> Service for Answers<F>
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    type Body = Body<()>;

    fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> impl Future<Output = Response<Body<()>>> + Send {
        (self.0)(request, arrival)
    }

    fn too_late(&self, form: Form) -> Response<Body<()>> {
        Refusal::new(Reason::Timeout, "too late").answer(form, None)
    }
}

pub(crate) fn text(text: impl Into<Bytes>) -> Response<Body<()>> {
    Response::new(Body::whole(text, None))
}

/// A server of ours that answers with `answer`.
pub(crate) async fn serve<F, A>(limits: ServerLimits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), limits, answer)
}

pub(crate) fn serve_on<F, A>(listener: TcpListener, limits: ServerLimits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    let server = Server::new(Arc::new(Answers(answer)), limits, LooseEnds::new());
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            server.serve(stream, peer);
        }
    });
    address
}

pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn pool(target: SocketAddr, protocol: Protocol) -> Pool {
    Pool::new(target, PoolOptions::nearby(protocol))
}

pub(crate) fn own(method: Method, body: &'static str) -> Box<Exchange> {
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = method;
    request.headers_mut().insert(HOST, "model.example".parse().unwrap());
    Exchange::own(request)
}

pub(crate) async fn send(exchange: Box<Exchange>, pool: &Pool, trust: Trust) -> Result<String, forward::SendError> {
    let answer = within(exchange.send(pool, Timeouts::default(), trust)).await?;
    let body = answer.into_response((), &LooseEnds::new()).into_body();
    Ok(String::from_utf8(within(body.collect()).await.unwrap().to_bytes().to_vec()).unwrap())
}

/// Reads a whole stream as text.
pub(crate) async fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    text
}

/// An answer before its request was read.
pub(crate) const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig";

/// A model that says this at once, whatever more is to be read, and closes.
pub(crate) async fn hasty_model(says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 256]).await;
                let _ = stream.write_all(says.as_bytes()).await;
            });
        }
    });
    address
}
