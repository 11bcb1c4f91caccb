//! Certificates, a server that wants them, and pools that have them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use certs::{Authority, Leaf};
use forward::tls::{ClientTls, Parties, Pem, Refused, ServerTls};
use forward::{
    Arrival, Body, Exchange, Failure, LooseEnds, Pool, PoolOptions, Protocol, RequestBody, SendError, Server,
    ServerLimits, Timeouts, Trust,
};
use http::header::HOST;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::stage::{Answers, text, within};

pub(crate) fn pem(leaf: &Leaf, authority: &str) -> Pem {
    let (certificate, key) = (leaf.certificate.clone().into_bytes(), leaf.key.clone().into_bytes());
    Pem { certificate, key, authority: authority.as_bytes().to_vec() }
}

pub(crate) fn client_of(authority: &Authority) -> ClientTls {
    ClientTls::new(Parties::OF_ACTIVATOR, &pem(&authority.activator(), &authority.pem())).unwrap()
}

/// What has been refused, in order.
pub(crate) type Refusals = mpsc::UnboundedReceiver<Refused>;

pub(crate) fn server_tls(parties: Parties, leaf: &Leaf, authority: &str) -> (ServerTls, Refusals) {
    let (note, refusals) = mpsc::unbounded_channel();
    let tls = ServerTls::new(parties, &pem(leaf, authority), move |why| note.send(why).unwrap_or_default()).unwrap();
    (tls, refusals)
}

pub(crate) fn server_of(authority: &Authority) -> (ServerTls, Refusals) {
    server_tls(Parties::OF_SIDECAR, &authority.sidecar(), &authority.pem())
}

/// A server that says who connected from where, and what was sent.
pub(crate) async fn echo(tls: ServerTls) -> SocketAddr {
    serve(Some(tls), ServerLimits::default(), async |request, arrival: Arrival| {
        let version = request.version();
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        text(format!("{version:?} {} {}", arrival.peer.port(), String::from_utf8_lossy(&sent)))
    })
    .await
}

pub(crate) async fn serve<F, A>(tls: Option<ServerTls>, limits: ServerLimits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(Arc::new(Answers(answer)), limits, LooseEnds::new());
    let server = match tls {
        Some(tls) => server.within(tls),
        None => server,
    };
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            server.serve(stream, peer);
        }
    });
    address
}

pub(crate) fn pool(target: SocketAddr, protocol: Protocol, tls: &ClientTls) -> Pool {
    Pool::new(target, PoolOptions::nearby(protocol).within(tls.clone()))
}

pub(crate) async fn post(pool: &Pool, body: impl Into<Bytes>) -> Result<String, SendError> {
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(HOST, "model.example".parse().unwrap());
    let answer = within(Exchange::own(request).send(pool, Timeouts::default(), Trust::SIDECAR)).await?;
    let body = answer.into_response((), &LooseEnds::new()).into_body();
    Ok(String::from_utf8(within(body.collect()).await.unwrap().to_bytes().to_vec()).unwrap())
}

/// It did not come about, and is known not to have begun.
pub(crate) fn assert_not_begun(answer: Result<String, SendError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)) && !error.possibly_started(), "{error:?}");
    assert!(error.again.is_some());
}
