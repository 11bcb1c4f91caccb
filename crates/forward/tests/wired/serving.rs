//! The server's side: what a peer may take its time for, and what is read of a body that waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forward::{Exchange, KEPT_BYTES, Origin, ServerLimits};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{all, client, serve, serve_on, text, within};

fn hasty() -> ServerLimits {
    ServerLimits {
        first_byte: Duration::from_millis(100),
        head: Duration::from_millis(100),
        idle: Duration::from_millis(100),
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_let_go() {
    let address = serve(hasty(), async |_, _| text("")).await;
    assert_eq!(all(TcpStream::connect(address).await.unwrap()).await, "");
}

#[tokio::test]
async fn half_a_preface_is_nothing_too() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    assert_eq!(all(stream).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_a_408() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert!(all(stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_connection_is_closed_silently_when_it_is_idle_for_too_long_also_after_a_body() {
    let limits = ServerLimits { head: Duration::from_secs(60), ..hasty() };
    let address = serve(limits, async |request, _| {
        request.into_body().collect().await.unwrap();
        text("read")
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await.unwrap();
    stream.write_all(b"body").await.unwrap();
    let answer = all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nread"), "{answer}");
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_connection_may_idle_is_left_alone() {
    let address = serve(hasty(), async |_, _| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        text("done")
    })
    .await;
    let request = Request::get(format!("http://{address}/")).body(Full::default()).unwrap();
    assert_eq!(within(client().request(request)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_http2_peer_that_answers_no_farewell_is_let_go_all_the_same() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (preface, no_settings) = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    stream.write_all(preface).await.unwrap();
    stream.write_all(&no_settings).await.unwrap();
    // It reads, and says nothing more. What it gets ends.
    within(stream.read_to_end(&mut Vec::new())).await.unwrap();
}

#[tokio::test]
async fn pings_between_two_requests_are_no_head_that_dawdles() {
    let limits = ServerLimits { idle: Duration::from_secs(60), ..hasty() };
    let address = serve(limits, async |_, _| text("ok")).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut pinging = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    pinging.timer(hyper_util::rt::TokioTimer::new());
    pinging.keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let handshake = pinging.handshake(hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = within(handshake).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("http://model.example/").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(within(sender.send_request(request)).await.unwrap().status(), 200);
        // Longer than a head may take: there is nothing to wait on but time.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!sender.is_closed());
}

/// Holds each request for ever, as one that waits for a replica, and counts those that are dropped. Its sockets take
/// little themselves, and always as much.
async fn holding(may_read: bool, gone: Arc<AtomicU32>) -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    serve_on(socket.listen(64).unwrap(), ServerLimits::default(), move |request, arrival| {
        let gone = Gone(gone.clone());
        async move {
            let mut exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger).unwrap();
            let _ = exchange.client_breaks(may_read, &arrival.lookout).await;
            drop(gone);
            text("")
        }
    })
}

struct Gone(Arc<AtomicU32>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// How much a client with little room of its own gets rid of, of a body that is longer than anyone keeps.
async fn taken_from(address: SocketAddr) -> usize {
    const OFFERED: usize = 16 << 20;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {OFFERED}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (piece, mut taken) = (vec![b'x'; 4 << 10], 0);
    // A slow machine makes it less, never more.
    while let Ok(Ok(written)) = tokio::time::timeout(Duration::from_secs(1), stream.write(&piece)).await {
        taken += written;
    }
    taken
}

#[tokio::test]
async fn of_a_body_that_waits_no_more_is_read_than_is_kept() {
    let socket = |may_read| holding(may_read, Arc::default());
    let (reading, not_reading) = (taken_from(socket(true).await).await, taken_from(socket(false).await).await);
    // The same is in the sockets of both; one read of a connection may go beyond what is kept.
    let read = reading.saturating_sub(not_reading);
    assert!((KEPT_BYTES / 2..KEPT_BYTES + (512 << 10)).contains(&read), "{reading} of which {not_reading} in sockets");
}

#[tokio::test]
async fn who_sends_its_body_only_when_it_is_asked_is_not_asked_while_it_waits() {
    let address = holding(true, Arc::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(asked.is_err(), "{asked:?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_body_is_not_read_ends_its_request() {
    for (name, more) in [
        ("not read at all", "content-length: 5\r\n"),
        ("not asked for", "content-length: 5\r\nexpect: 100-continue\r\n"),
    ] {
        let gone = Arc::new(AtomicU32::new(0));
        let address = holding(false, gone.clone()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{more}\r\nbody").as_bytes()).await.unwrap();
        let there = tokio::time::timeout(Duration::from_millis(1_500), stream.read_u8()).await;
        assert!(there.is_err() && gone.load(Ordering::SeqCst) == 0, "{name}: {there:?}");
        drop(stream);
        let noticed = async {
            while gone.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(noticed).await;
    }
}
