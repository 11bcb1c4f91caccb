//! Who does not get in, on either side, and what is known of the request then.

use std::sync::Arc;
use std::time::Duration;

use certs::{Authority, Leaf, Use, Valid};
use forward::tls::{ClientTls, Parties, Refused};
use forward::{Pool, PoolOptions, Protocol, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, crypto, version};

use super::stage::{assert_not_begun, client_of, echo, pem, pool, post, serve, server_of, server_tls};
use crate::stage::{text, within};

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

#[tokio::test]
async fn whatever_is_said_to_it_the_port_goes_on() {
    let authority = Authority::new();
    let limits = ServerLimits { handshake: Duration::from_millis(50), ..ServerLimits::default() };
    let (tls, mut refusals) = server_of(&authority);
    let address = serve(Some(tls), limits, async |_, _| text("in")).await;
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; random.usize(1..600)];
        random.fill(&mut bytes);
        if seed % 2 == 0 {
            // As good as the beginning of a handshake.
            let hello = hello_of_1_2();
            let kept = random.usize(1..hello.len());
            bytes.splice(0..0, hello[..kept].iter().copied());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let said = all(stream).await;
        assert!(said.len() <= 7, "seed {seed}: more than an alert: {said:?}");
        assert!(within(refusals.recv()).await.is_some(), "seed {seed}");
    }
    let pool = pool(address, Protocol::Http1, &client_of(&authority));
    // As often as it takes: the server has little patience, and the machine may be busy.
    within(async { while post(&pool, "x").await.is_err() {} }).await;
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
