//! TLS between an activator and a sidecar, on loopback: who gets in, what goes through, and new certificates.

#![expect(clippy::disallowed_methods, reason = "a test's tasks belong to its runtime, which ends with it")]
#![expect(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use certs::{Authority, Leaf, Use, Valid};
use forward::tls::{ClientTls, Part, Parties, Pem, PemFiles, Refused, ServerTls};
use forward::{
    Arrival, Body, ByClass, Exchange, Failure, Form, LooseEnds, Origin, Pool, PoolOptions, Protocol, RequestBody,
    SendError, Server, ServerLimits, Service, Timeouts, Trust,
};
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, crypto, version};

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// A service made of a function.
struct Answers<F>(F);

impl<F, A> Service for Answers<F>
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    type Body = Body<()>;

    fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> impl Future<Output = Response<Body<()>>> + Send {
        (self.0)(request, arrival)
    }

    fn too_late(&self, _: Form) -> Response<Body<()>> {
        text("too late")
    }
}

fn pem(leaf: &Leaf, authority: &str) -> Pem {
    let (certificate, key) = (leaf.certificate.clone().into_bytes(), leaf.key.clone().into_bytes());
    Pem { certificate, key, authority: authority.as_bytes().to_vec() }
}

fn client_of(authority: &Authority) -> ClientTls {
    ClientTls::new(Parties::OF_ACTIVATOR, &pem(&authority.activator(), &authority.pem())).unwrap()
}

/// What has been refused, in order.
type Refusals = mpsc::UnboundedReceiver<Refused>;

fn server_tls(parties: Parties, leaf: &Leaf, authority: &str) -> (ServerTls, Refusals) {
    let (note, refusals) = mpsc::unbounded_channel();
    let tls = ServerTls::new(parties, &pem(leaf, authority), move |why| note.send(why).unwrap_or_default()).unwrap();
    (tls, refusals)
}

fn server_of(authority: &Authority) -> (ServerTls, Refusals) {
    server_tls(Parties::OF_SIDECAR, &authority.sidecar(), &authority.pem())
}

/// A server that says who connected from where, and what was sent.
async fn echo(tls: ServerTls) -> SocketAddr {
    serve(Some(tls), ServerLimits::default(), async |request, arrival: Arrival| {
        let version = request.version();
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        text(format!("{version:?} {} {}", arrival.peer.port(), String::from_utf8_lossy(&sent)))
    })
    .await
}

async fn serve<F, A>(tls: Option<ServerTls>, limits: ServerLimits, answer: F) -> SocketAddr
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

fn text(text: impl Into<Bytes>) -> Response<Body<()>> {
    Response::new(Body::whole(text, None))
}

fn pool(target: SocketAddr, protocol: Protocol, tls: &ClientTls) -> Pool {
    Pool::new(target, PoolOptions::nearby(protocol).within(tls.clone()))
}

async fn post(pool: &Pool, body: impl Into<Bytes>) -> Result<String, SendError> {
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(HOST, "model.example".parse().unwrap());
    let answer = within(Exchange::own(request).send(pool, Timeouts::default(), Trust::SIDECAR)).await?;
    let body = answer.into_response((), &LooseEnds::new()).into_body();
    Ok(String::from_utf8(within(body.collect()).await.unwrap().to_bytes().to_vec()).unwrap())
}

/// It did not come about, and is known not to have begun.
fn assert_not_begun(answer: Result<String, SendError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)) && !error.possibly_started(), "{error:?}");
    assert!(error.again.is_some());
}

#[tokio::test]
async fn both_protocols_go_through_and_connections_are_kept() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let (address, client) = (echo(tls).await, client_of(&authority));
    for (protocol, version) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::H2c, "HTTP/2.0")] {
        let pool = pool(address, protocol, &client);
        let first = post(&pool, "one").await.unwrap();
        assert!(first.starts_with(version) && first.ends_with(" one"), "{first}");
        assert_eq!(post(&pool, "one").await.unwrap(), first, "on the same connection");
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let (address, client) = (echo(tls).await, client_of(&authority));
    let sent = "0123456789abcdef".repeat(1 << 18);
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let got = post(&pool(address, protocol, &client), sent.clone()).await.unwrap();
        assert!(got.ends_with(&sent), "{} bytes", got.len());
    }
}

/// Forwards to one replica.
async fn forwarder(tls: Option<ServerTls>, origin: Origin, trust: Trust, replica: Pool) -> SocketAddr {
    serve(tls, ServerLimits::default(), move |request, arrival| {
        let replica = replica.clone();
        async move {
            let exchange = Exchange::receive(request, arrival.peer.ip(), origin).unwrap();
            match exchange.send(&replica, Timeouts::default(), trust).await {
                Ok(answer) => answer.into_response((), &LooseEnds::new()),
                Err(error) => text(error.to_string()),
            }
        }
    })
    .await
}

/// A model that switches to a protocol in which everything comes back.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: parrot\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    address
}

#[tokio::test]
async fn an_upgraded_connection_goes_through_until_either_end_closes() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let model = Pool::new(parrot().await, PoolOptions::nearby(Protocol::Http1));
    let sidecar = forwarder(Some(tls), Origin::Rouse, Trust::MODEL, model).await;
    let replica = pool(sidecar, Protocol::Http1, &client_of(&authority));
    let activator = forwarder(None, Origin::Stranger, Trust::SIDECAR, replica).await;

    let mut client = TcpStream::connect(activator).await.unwrap();
    let ask = format!("GET / HTTP/1.1\r\nhost: a\r\n{CONNECTION}: upgrade\r\n{UPGRADE}: parrot\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(client.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for _ in 0..3 {
        client.write_all(b"hello").await.unwrap();
        let mut said = [0; 5];
        within(client.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, b"hello");
    }
    client.shutdown().await.unwrap();
    assert_eq!(within(client.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn whose_certificate_is_of_another_authority_outdated_or_of_another_name_has_not_begun_anything() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (tls, mut refusals) = server_of(&authority);
    let address = echo(tls).await;
    let both = authority.pem() + &other.pem();
    let activator = forward::tls::ACTIVATOR;
    let cases = [
        (activator, other.activator(), Refused::OtherAuthority),
        (activator, authority.issue(activator, Use::Client, Valid::Before), Refused::Outdated),
        (activator, authority.issue(activator, Use::Client, Valid::Later), Refused::Outdated),
        ("sidecar.rouse", authority.issue("sidecar.rouse", Use::Client, Valid::Now), Refused::WrongName),
    ];
    for (own, leaf, why) in cases {
        let client = ClientTls::new(Parties { own, ..Parties::OF_ACTIVATOR }, &pem(&leaf, &both)).unwrap();
        for protocol in [Protocol::Http1, Protocol::H2c] {
            assert_not_begun(post(&pool(address, protocol, &client), "x").await);
            assert_eq!(within(refusals.recv()).await, Some(why));
        }
    }
}

#[tokio::test]
async fn a_replica_that_is_no_sidecar_of_ours_is_sent_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let both = authority.pem() + &other.pem();
    let client = client_of(&authority);
    let sidecar = forward::tls::SIDECAR;
    let cases = [
        (sidecar, other.sidecar()),
        (sidecar, authority.issue(sidecar, Use::Server, Valid::Before)),
        ("model.example", authority.issue("model.example", Use::Server, Valid::Now)),
    ];
    for (own, leaf) in cases {
        let (tls, mut refusals) = server_tls(Parties { own, ..Parties::OF_SIDECAR }, &leaf, &both);
        assert_not_begun(post(&pool(echo(tls).await, Protocol::Http1, &client), "x").await);
        assert_eq!(within(refusals.recv()).await, Some(Refused::Disbelieved));
    }
}

#[tokio::test]
async fn a_replica_that_speaks_no_tls_is_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_not_begun(post(&pool(plain, Protocol::Http1, &client_of(&Authority::new())), "x").await);
}

/// A client that is none of ours.
fn foreign(authority: &Authority, leaf: Option<&Leaf>) -> TlsConnector {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.pem())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match leaf {
        None => config.with_no_client_auth(),
        Some(leaf) => {
            let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(&leaf.certificate)], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_nothing() {
    let authority = Authority::new();
    let (tls, mut refusals) = server_of(&authority);
    let stream = TcpStream::connect(echo(tls).await).await.unwrap();
    // It believes to be connected: the server has not spoken yet.
    let connected = foreign(&authority, None).connect("sidecar.rouse".try_into().unwrap(), stream);
    let mut stream = within(connected).await.unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let error = within(stream.read(&mut [0; 64])).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert_eq!(within(refusals.recv()).await, Some(Refused::NoCertificate));
}

#[tokio::test]
async fn what_a_sidecar_has_makes_no_activator() {
    let authority = Authority::new();
    let (tls, mut refusals) = server_of(&authority);
    let stream = TcpStream::connect(echo(tls).await).await.unwrap();
    let connector = foreign(&authority, Some(&authority.sidecar()));
    let mut stream = within(connector.connect("sidecar.rouse".try_into().unwrap(), stream)).await.unwrap();
    assert!(within(stream.read(&mut [0; 64])).await.is_err());
    assert_eq!(within(refusals.recv()).await, Some(Refused::WrongUse));
}

#[tokio::test]
async fn each_connection_is_authenticated_in_full_though_its_client_would_resume() {
    let authority = Authority::new();
    let (tls, _refusals) = server_of(&authority);
    let address = echo(tls).await;
    let connector = foreign(&authority, Some(&authority.activator()));
    for _ in 0..3 {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = within(connector.connect("sidecar.rouse".try_into().unwrap(), stream)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

/// What is there to read until the server hangs up.
async fn all(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    said
}

#[tokio::test]
async fn plain_http_is_hung_up_on_and_the_port_goes_on() {
    let authority = Authority::new();
    let (tls, mut refusals) = server_of(&authority);
    let address = echo(tls).await;
    for bytes in
        [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16; 64], &[0; 8192]]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let said = all(stream).await;
        assert!(said.len() <= 7, "more than an alert: {said:?}");
        assert_eq!(within(refusals.recv()).await, Some(Refused::NotTls));
    }
    assert!(post(&pool(address, Protocol::Http1, &client_of(&authority)), "x").await.is_ok());
}

/// The first words of a client of TLS 1.2: one cipher, one curve, one signature, and no word of a later version.
fn hello_of_1_2() -> Vec<u8> {
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8]);
    body.extend(extensions);
    let mut hello = vec![0x16, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    hello
}

#[tokio::test]
async fn an_older_tls_is_told_so() {
    let (tls, mut refusals) = server_of(&Authority::new());
    let mut stream = TcpStream::connect(echo(tls).await).await.unwrap();
    stream.write_all(&hello_of_1_2()).await.unwrap();
    const FATAL_PROTOCOL_VERSION: [u8; 2] = [2, 70];
    assert_eq!(all(stream).await[5..], FATAL_PROTOCOL_VERSION);
    assert_eq!(within(refusals.recv()).await, Some(Refused::OldTls));
}

#[tokio::test]
async fn who_does_not_get_on_with_the_handshake_is_let_go() {
    let limits = ServerLimits { handshake: Duration::from_millis(100), ..ServerLimits::default() };
    let (tls, mut refusals) = server_of(&Authority::new());
    let address = serve(Some(tls), limits, async |_, _| text("")).await;
    for first_words in [&b""[..], &hello_of_1_2()[..20]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first_words).await.unwrap();
        assert_eq!(all(stream).await, b"");
        assert_eq!(within(refusals.recv()).await, Some(Refused::TooSlow));
    }
    drop(TcpStream::connect(address).await.unwrap());
    assert_eq!(within(refusals.recv()).await, Some(Refused::Left));
}

#[tokio::test]
async fn a_server_that_does_not_get_on_with_it_is_given_up_within_the_time_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PoolOptions { connect_timeout: Duration::from_millis(100), ..PoolOptions::nearby(Protocol::Http1) };
    let silent = Pool::new(listener.local_addr().unwrap(), options.within(client_of(&Authority::new())));
    assert_not_begun(post(&silent, "x").await);
}

#[tokio::test]
async fn who_is_in_the_middle_of_the_handshake_when_the_server_drains_is_still_served() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), Protocol::Http1, &client_of(&authority));
    let answer = Answers(async |_, _| text("served"));
    let ends = LooseEnds::new();
    let server = Server::new(Arc::new(answer), ServerLimits::default(), ends.clone()).within(tls);
    let request = tokio::spawn(async move { post(&pool, "x").await });
    let (stream, peer) = listener.accept().await.unwrap();
    server.serve(stream, peer);
    assert_eq!(within(ends.drain(ByClass::all(PATIENCE), |_, _| {})).await.sum(), 0);
    assert_eq!(within(request).await.unwrap().unwrap(), "served");
}

#[tokio::test]
async fn certificates_and_authorities_change_under_load_and_nothing_is_lost() {
    let (old, new) = (Authority::new(), Authority::new());
    let both = old.pem() + &new.pem();
    let ((server, mut refusals), client) = (server_of(&old), client_of(&old));
    let address = echo(server.clone()).await;

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let load: Vec<_> = [Protocol::Http1, Protocol::H2c]
        .into_iter()
        .flat_map(|protocol| [(protocol, true), (protocol, false)])
        .map(|(protocol, kept)| {
            let (over, answered, client) = (over.clone(), answered.clone(), client.clone());
            tokio::spawn(async move {
                let mut pool = pool(address, protocol, &client);
                while !over.load(Ordering::Relaxed) {
                    post(&pool, "x").await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                    if !kept {
                        // Each request on a connection of its own, so that every step meets new ones.
                        pool = Pool::new(address, PoolOptions::nearby(protocol).within(client.clone()));
                    }
                }
            })
        })
        .collect();
    let some_more = async || {
        let enough = answered.load(Ordering::Relaxed) + 40;
        within(async {
            while answered.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };

    some_more().await;
    // Everyone believes both, then has a certificate of the new one, then the old one is forgotten.
    server.replace(&pem(&old.sidecar(), &both)).unwrap();
    some_more().await;
    client.replace(&pem(&old.activator(), &both)).unwrap();
    some_more().await;
    server.replace(&pem(&new.sidecar(), &both)).unwrap();
    some_more().await;
    client.replace(&pem(&new.activator(), &both)).unwrap();
    some_more().await;
    server.replace(&pem(&new.sidecar(), &new.pem())).unwrap();
    client.replace(&pem(&new.activator(), &new.pem())).unwrap();
    some_more().await;
    over.store(true, Ordering::Relaxed);
    for task in load {
        within(task).await.unwrap();
    }
    // Who was between two steps is counted, and nobody else.
    assert!(refusals.try_recv().is_err());
    assert_not_begun(post(&pool(address, Protocol::Http1, &client_of(&old)), "x").await);
}

#[tokio::test]
async fn connections_outlive_the_certificates_they_began_with() {
    let (old, new) = (Authority::new(), Authority::new());
    let ((server, _refusals), client) = (server_of(&old), client_of(&old));
    let address = echo(server.clone()).await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        server.replace(&pem(&old.sidecar(), &old.pem())).unwrap();
        let pool = pool(address, protocol, &client);
        let before = post(&pool, "x").await.unwrap();
        server.replace(&pem(&new.sidecar(), &new.pem())).unwrap();
        assert_eq!(post(&pool, "x").await.unwrap(), before, "on the same connection");
        pool.forget_idle();
        assert_not_begun(post(&pool, "x").await);
    }
}

#[test]
fn every_fault_of_a_set_is_told_at_once_and_where() {
    let empty =
        Pem { certificate: b"hello".to_vec(), key: Vec::new(), authority: b"-----BEGIN CERTIFICATE-----".to_vec() };
    let faults = ServerTls::new(Parties::OF_SIDECAR, &empty, drop).unwrap_err();
    let parts: Vec<Part> = faults.0.iter().map(|fault| fault.part).collect();
    assert_eq!(parts, [Part::Certificate, Part::Key, Part::Authority], "{faults}");
}

#[test]
fn a_set_that_nobody_would_believe_is_refused_and_says_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sidecar = authority.sidecar();
    let mixed = Leaf { key: authority.sidecar().key, ..sidecar.clone() };
    let cases = [
        (mixed, authority.pem(), Part::Key, "belongs to another certificate"),
        (sidecar.clone(), other.pem(), Part::Certificate, "is not of the authority that is given beside it"),
        (
            authority.issue("activator.rouse", Use::Server, Valid::Now),
            authority.pem(),
            Part::Certificate,
            "does not name \"sidecar.rouse\"",
        ),
        (
            authority.issue("sidecar.rouse", Use::Client, Valid::Now),
            authority.pem(),
            Part::Certificate,
            "would not be believed",
        ),
    ];
    for (leaf, authority, part, says) in cases {
        let faults = ServerTls::new(Parties::OF_SIDECAR, &pem(&leaf, &authority), drop).unwrap_err();
        assert_eq!(faults.0[0].part, part, "{faults}");
        assert!(faults.to_string().contains(says), "{faults}");
    }
}

#[tokio::test]
async fn an_outdated_certificate_is_refused_in_the_place_of_one_that_is_valid() {
    let authority = Authority::new();
    let (server, _refusals) = server_of(&authority);
    let address = echo(server.clone()).await;
    let outdated = authority.issue("sidecar.rouse", Use::Server, Valid::Before);
    let faults = server.replace(&pem(&outdated, &authority.pem())).unwrap_err();
    assert!(faults.to_string().contains("is not valid now"), "{faults}");
    assert!(post(&pool(address, Protocol::Http1, &client_of(&authority)), "x").await.is_ok());
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_a_bad_set_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = PemFiles { certificate: at("tls.crt"), key: at("tls.key"), authority: at("ca.crt") };
    let faults = files.read().unwrap_err();
    assert_eq!(faults.0.len(), 3, "{faults}");
    let write = |text: &str| {
        for path in [&files.certificate, &files.key, &files.authority] {
            std::fs::write(path, text).unwrap();
        }
    };
    write("one");
    let (note, mut told) = mpsc::unbounded_channel();
    let known = files.read().unwrap();
    tokio::spawn(files.clone().follow(known, Duration::from_millis(1), move |pem| {
        note.send(pem.certificate.clone()).unwrap();
        Err(forward::tls::TlsFaults(Vec::new()))
    }));
    std::fs::write(&files.certificate, "two").unwrap();
    // A set that was torn, or refused, is told once, and the next one too.
    assert_eq!(within(told.recv()).await.unwrap(), b"two");
    std::fs::remove_file(&files.key).unwrap();
    write("three");
    let mut last = within(told.recv()).await.unwrap();
    while last != b"three" {
        last = within(told.recv()).await.unwrap();
    }
    assert!(told.try_recv().is_err());
}
