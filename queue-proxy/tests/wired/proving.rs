//! A sidecar proves to an autoscaler which pod it is, and is given for that what it shows to activators.

use std::path::Path;
use std::time::Duration;

use certs::{Authority, Use, Valid};
use daemon::tls::{AUTOSCALER, Server};
use forward::Protocol;
use http::StatusCode;
use queue_proxy::AutoscalerTrust;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use wire::{Down, Hello, Trust, Up};

use super::reporting::{Autoscaler, autoscaler, identity};
use super::stage::{Sidecar, get, hello_model, within};
use super::trust::{activator_of, ask, pool};

fn server_of(authority: &Authority) -> Server {
    let (leaf, server) = (authority.issue(AUTOSCALER, Use::Server, Valid::Now), Server::default());
    server.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
    server
}

async fn sidecar(address: String, believed: &str, token: &Path) -> Sidecar {
    let trust = AutoscalerTrust { authorities: believed.to_owned(), token: token.to_owned() };
    Sidecar::beside(hello_model().await, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
        config.autoscaler_trust = Some(trust);
    })
    .await
}

/// The next stream that gets as far as a hello.
async fn greeted(listener: &TcpListener, server: &Server) -> (Autoscaler<TlsStream<TcpStream>>, Hello) {
    let (stream, _) = within(listener.accept()).await.unwrap();
    let mut autoscaler = Autoscaler(within(server.accept(stream)).await.unwrap());
    let Up::Hello(hello) = autoscaler.hear().await else { panic!("no hello") };
    (autoscaler, hello)
}

fn trust(generation: u64, signs: &Authority, believed: &str, hello: &Hello) -> Down {
    let certificate = signs.certify("sidecar.rouse", &hello.proof.as_ref().unwrap().public_key);
    Down::Trust(Trust { generation, certificate, authorities: believed.to_owned() })
}

/// Until the sidecar takes this activator for one.
async fn answered(sidecar: &Sidecar, authority: &Authority, believed: &str) {
    let activator = activator_of(authority, believed);
    within(async {
        while ask(&pool(sidecar.proxied, Protocol::Http1, &activator), &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_proves_itself_with_its_token_and_is_reached_by_activators_with_what_it_is_given() {
    let (authority, (listener, address)) = (Authority::new(), autoscaler().await);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "the-first\n").unwrap();
    let sidecar = sidecar(address, &authority.pem(), &token).await;
    let server = server_of(&authority);
    let (mut stream, hello) = greeted(&listener, &server).await;
    let proof = hello.proof.clone().unwrap();
    assert_eq!((proof.token.as_str(), hello.uid.as_str(), proof.public_key.len()), ("the-first", "uid-1", 65));
    // Not reached before it has anything to show, and its own clients notice nothing.
    assert_eq!(get(sidecar.direct, "/").await.0, StatusCode::OK);
    let mut plain = TcpStream::connect(sidecar.proxied).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream.say(trust(1, &authority, &authority.pem(), &hello)).await;
    answered(&sidecar, &authority, &authority.pem()).await;
    let mut said = Vec::new();
    within(plain.read_to_end(&mut said)).await.unwrap();
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");

    // The token of the day, on the next stream; the key is the same.
    std::fs::write(&token, "the-second").unwrap();
    drop(stream);
    let (_stream, again) = greeted(&listener, &server).await;
    assert_eq!(again.proof.unwrap(), wire::Proof { token: "the-second".to_owned(), public_key: proof.public_key });
}

#[tokio::test]
async fn it_follows_a_change_of_authorities_and_is_not_led_back() {
    let (old, new, (listener, address)) = (Authority::new(), Authority::new(), autoscaler().await);
    let both = old.pem() + &new.pem();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let sidecar = sidecar(address, &old.pem(), &token).await;
    let (mut stream, hello) = greeted(&listener, &server_of(&old)).await;
    stream.say(trust(1, &old, &old.pem(), &hello)).await;
    answered(&sidecar, &old, &old.pem()).await;
    stream.say(trust(2, &old, &both, &hello)).await;
    answered(&sidecar, &new, &both).await;
    stream.say(trust(3, &new, &both, &hello)).await;
    answered(&sidecar, &new, &new.pem()).await;
    stream.say(trust(4, &new, &new.pem(), &hello)).await;
    // From an autoscaler that has not heard of it yet, and then nothing of use.
    stream.say(trust(1, &old, &old.pem(), &hello)).await;
    let nonsense = Trust { generation: 5, certificate: "none".to_owned(), authorities: "none".to_owned() };
    stream.say(Down::Trust(nonsense)).await;
    stream.say(Down::IdleQuestion(wire::IdleQuestion { epoch: 1, seq: 1 })).await;
    while !matches!(stream.hear().await, Up::IdleAnswer(_)) {}
    let outdated = activator_of(&old, &both);
    ask(&pool(sidecar.proxied, Protocol::Http1, &outdated), &[]).await.unwrap_err();
    answered(&sidecar, &new, &new.pem()).await;
    // Also the next autoscaler is believed by what was said last.
    drop(stream);
    greeted(&listener, &server_of(&new)).await;
}

#[tokio::test]
async fn it_says_nothing_to_who_is_no_autoscaler() {
    let (authority, other, (listener, address)) = (Authority::new(), Authority::new(), autoscaler().await);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let _sidecar = sidecar(address, &authority.pem(), &token).await;
    let false_one = Server::default();
    let leaf = authority.issue("sidecar.rouse", Use::Server, Valid::Now);
    false_one.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
    for server in [server_of(&other), false_one] {
        let (stream, _) = within(listener.accept()).await.unwrap();
        assert!(within(server.accept(stream)).await.is_err());
    }
    greeted(&listener, &server_of(&authority)).await;
}
