//! Sidecars behind TLS: an activator reaches its own, and sends nothing to others.

use std::net::SocketAddr;

use certs::Authority;
use daemon::Clock;
use forward::tls::{ClientTls, Parties, Pem, PemFiles};
use queue_proxy::{Config, ProxiedTls, QueueProxy};
use tokio::task::JoinSet;

use crate::client::Request;
use crate::replica::Replica;
use crate::world::{World, endpoint, revision_at, revision_key};

pub(crate) fn activator_of(authority: &Authority) -> ClientTls {
    let leaf = authority.activator();
    let (certificate, key) = (leaf.certificate.into_bytes(), leaf.key.into_bytes());
    ClientTls::new(Parties::OF_ACTIVATOR, &Pem { certificate, key, authority: authority.pem().into_bytes() }).unwrap()
}

pub(crate) fn sidecar_of(authority: &Authority) -> ProxiedTls {
    let folder = tempfile::tempdir().unwrap();
    let certs::Files { certificate, key, authority } = authority.sidecar().write(&authority.pem(), folder.path());
    ProxiedTls::read(PemFiles { certificate, key, authority }).unwrap()
}

/// A sidecar of an authority, beside a model; where it takes activators.
fn sidecar(authority: &Authority, model: &Replica, running: &mut JoinSet<()>) -> SocketAddr {
    let mut config = Config::local(model.address);
    config.proxied_tls = Some(sidecar_of(authority));
    let sidecar = QueueProxy::bind(config, Clock::start()).unwrap();
    let address = sidecar.proxied_addr();
    running.spawn(async move { sidecar.run(std::future::pending()).await.unwrap() });
    address
}

async fn world(authority: &Authority, replicas: &[(&str, SocketAddr)]) -> World {
    let world = World::trusting(activator_of(authority)).await;
    world.put_endpoint(endpoint("model", &[("v1", 100)]));
    world.boards.revisions.put(revision_key("v1"), revision_at("v1", replicas));
    world.autoscaler.acknowledged("model", 1).await;
    world
}

#[tokio::test]
async fn what_is_held_goes_through_tls_once_the_sidecar_says_that_its_model_is_ready() {
    let authority = Authority::new();
    let mut running = JoinSet::new();
    let model = Replica::ready("model").await;
    let proxied = sidecar(&authority, &model, &mut running);
    let world = world(&authority, &[("a", proxied)]).await;
    for _ in 0..3 {
        let answer = world.send(Request::new("POST", "/predict").body("x")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "model x"));
    }
}

#[tokio::test]
async fn a_replica_of_another_authority_is_never_sent_anything() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut running = JoinSet::new();
    let (own, foreign) = (Replica::ready("own").await, Replica::ready("foreign").await);
    let reached = sidecar(&authority, &own, &mut running);
    let never = sidecar(&other, &foreign, &mut running);
    let world = world(&authority, &[("a", never), ("b", reached)]).await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.body, "own");
    }
    assert_eq!(foreign.begun(), Vec::<String>::new());
}

#[tokio::test]
async fn a_replica_that_speaks_no_tls_is_never_sent_anything() {
    let authority = Authority::new();
    let mut running = JoinSet::new();
    let (own, plain) = (Replica::ready("own").await, Replica::ready("plain").await);
    let reached = sidecar(&authority, &own, &mut running);
    let world = world(&authority, &[("a", plain.address), ("b", reached)]).await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.body, "own");
    }
    assert_eq!(plain.begun(), Vec::<String>::new());
}

#[tokio::test]
async fn where_plain_tcp_is_spoken_too_each_replica_is_spoken_to_as_it_says() {
    let authority = Authority::new();
    let mut running = JoinSet::new();
    let (guarded, plain) = (Replica::ready("guarded").await, Replica::ready("plain").await);
    let guarded_at = sidecar(&authority, &guarded, &mut running);
    for (encrypted, address, says) in [(true, guarded_at, "guarded"), (false, plain.address, "plain")] {
        let world = World::trusting_or_plain(activator_of(&authority)).await;
        world.put_endpoint(endpoint("model", &[("v1", 100)]));
        let mut revision = revision_at("v1", &[("a", address)]);
        revision.replicas[0].encrypted = encrypted;
        world.boards.revisions.put(revision_key("v1"), revision);
        world.autoscaler.acknowledged("model", 1).await;
        assert_eq!(world.get("/").await.body, says);
    }
}
