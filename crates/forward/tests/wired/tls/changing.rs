//! New certificates and authorities while the old ones are used, and sets that cannot be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use certs::{Authority, Leaf, Use, Valid};
use forward::tls::{ClientTls, OwnKey, Part, Parties, Pem, PemFiles, ServerTls};
use forward::{Pool, PoolOptions, Protocol};
use tokio::sync::mpsc;

use super::stage::{assert_not_begun, client_of, echo, pem, pool, post, server_of};
use crate::stage::within;

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

#[tokio::test]
async fn who_has_no_certificate_yet_lets_wait_and_does_not_connect() {
    let authority = Authority::new();
    let server = ServerTls::waiting(Parties::OF_SIDECAR, drop);
    let address = echo(server.clone()).await;
    let client = ClientTls::waiting(Parties::OF_ACTIVATOR);
    assert_not_begun(post(&pool(address, Protocol::Http1, &client), "x").await);
    client.replace(&pem(&authority.activator(), &authority.pem())).unwrap();
    let pool = pool(address, Protocol::Http1, &client);
    let waiting = post(&pool, "x");
    let come = async { server.replace(&pem(&authority.sidecar(), &authority.pem())).unwrap() };
    // In this order: it is connected to before it has any.
    let (answer, ()) = tokio::join!(biased; waiting, come);
    answer.unwrap();
}

#[tokio::test]
async fn a_key_that_never_left_its_program_is_used_with_the_certificate_that_was_made_for_it() {
    let authority = Authority::new();
    let own = OwnKey::generate().unwrap();
    let certificate = authority.certify("sidecar.rouse", own.public());
    let server = ServerTls::new(Parties::OF_SIDECAR, &own.certified(&certificate, &authority.pem()), drop).unwrap();
    let address = echo(server).await;
    post(&pool(address, Protocol::Http1, &client_of(&authority)), "x").await.unwrap();
    let other = OwnKey::generate().unwrap().certified(&certificate, &authority.pem());
    let faults = ServerTls::new(Parties::OF_SIDECAR, &other, drop).unwrap_err();
    assert_eq!(faults.0[0].part, Part::Key, "{faults}");
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
async fn files_are_read_again_when_they_change_and_a_refused_set_is_tried_until_it_is_taken() {
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
    let (note, mut tried) = mpsc::unbounded_channel();
    let known = files.read().unwrap();
    // Taken only at the fifth try, as one that was not valid yet.
    let mut tries = 0;
    tokio::spawn(files.clone().follow(known, Duration::from_millis(1), move |pem| {
        tries += 1;
        let taken = 5 <= tries;
        note.send((pem.certificate.clone(), taken)).unwrap();
        if taken { Ok(()) } else { Err(forward::tls::TlsFaults(Vec::new())) }
    }));
    std::fs::write(&files.certificate, "two").unwrap();
    for taken in [false, false, false, false, true] {
        // Read while it is written it may be empty.
        let (certificate, was_taken) = within(tried.recv()).await.unwrap();
        assert!([&b"two"[..], b""].contains(&&*certificate));
        assert_eq!(was_taken, taken);
    }
    std::fs::remove_file(&files.key).unwrap();
    write("three");
    let mut last = within(tried.recv()).await.unwrap();
    while last.0 != b"three" {
        last = within(tried.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_was_written_too_early_by_this_clock_is_taken_once_it_is_valid() {
    let authority = Authority::new();
    let (server, _refusals) = server_of(&authority);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = PemFiles { certificate: at("tls.crt"), key: at("tls.key"), authority: at("ca.crt") };
    let early = authority.issue("sidecar.rouse", Use::Server, Valid::In(Duration::from_secs(2)));
    let written =
        [(&files.certificate, &early.certificate), (&files.key, &early.key), (&files.authority, &authority.pem())];
    written.into_iter().for_each(|(path, text)| std::fs::write(path, text).unwrap());
    let (note, mut taken) = mpsc::unbounded_channel();
    let known = pem(&authority.sidecar(), &authority.pem());
    tokio::spawn(
        files.follow(known, Duration::from_millis(20), move |pem| {
            server.replace(pem).inspect(|()| note.send(()).unwrap())
        }),
    );
    within(taken.recv()).await.unwrap();
}
