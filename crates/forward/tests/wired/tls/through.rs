//! What goes through: both protocols, bodies, upgrades, early answers, leaving.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::Authority;
use forward::tls::ServerTls;
use forward::{
    ByClass, Exchange, LooseEnds, Origin, Pool, PoolOptions, Protocol, Server, ServerLimits, Timeouts, Trust,
};
use http::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::stage::{client_of, echo, pool, post, serve, server_of};
use crate::stage::{Answers, PATIENCE, TOO_LARGE, hasty_model, text, within};

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
async fn an_answer_that_comes_before_the_body_was_sent_is_not_lost() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let model = Pool::new(hasty_model(TOO_LARGE).await, PoolOptions::nearby(Protocol::Http1));
    let sidecar = forwarder(Some(tls), Origin::Rouse, Trust::MODEL, model).await;
    let client = client_of(&authority);
    for round in 0..10 {
        let said = post(&pool(sidecar, Protocol::Http1, &client), vec![b'x'; 8 << 20]).await;
        assert_eq!(said.unwrap(), "big", "round {round}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let authority = Authority::new();
    let (tls, _) = server_of(&authority);
    let (note, mut noted) = mpsc::unbounded_channel();
    let address = serve(Some(tls), ServerLimits::default(), move |_, _| {
        struct AtTheEnd(mpsc::UnboundedSender<&'static str>);
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                let _ = self.0.send("let go");
            }
        }
        let end = AtTheEnd(note.clone());
        async move {
            let _ = end.0.send("begun");
            std::future::pending().await
        }
    })
    .await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let pool = pool(address, protocol, &client_of(&authority));
        let request = tokio::spawn(async move { post(&pool, "x").await });
        assert_eq!(within(noted.recv()).await, Some("begun"));
        request.abort();
        assert_eq!(within(noted.recv()).await, Some("let go"));
    }
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
