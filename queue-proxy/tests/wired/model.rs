//! A model that starts, goes, comes back, and closes its connections as it likes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, Response};
use queue_proxy::Probe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stage::{Sidecar, client, get, hello_model, model, read, request, serve_model, whole, within};

#[tokio::test]
async fn what_comes_before_the_model_is_ready_waits_for_it() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let sidecar = Sidecar::start(address, |_| {}, |_| {});
    let direct = sidecar.direct;
    let early = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["held"] == 1 && stats["ready"] == false).await;
    assert_eq!(get(sidecar.admin, "/readyz").await.0, 503);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(serve_model(listener, async |_| Response::new(whole("at last"))));
    assert_eq!(within(early).await.unwrap().1, "at last");
    assert_eq!(get(sidecar.admin, "/readyz").await.0, 200);
}

#[tokio::test]
async fn an_activator_is_told_the_moment_the_model_is_ready() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let address = model(move |_| {
        let status = if *gate.borrow() { 200 } else { 503 };
        async move { Response::builder().status(status).body(whole("")).unwrap() }
    })
    .await;
    let probe = Probe::parse(r#"{"httpGet":{"path":"/ready"}}"#, address).unwrap();
    let sidecar = Sidecar::start(address, |config| config.probe = probe, |_| {});
    let proxied = sidecar.proxied;
    let ask = move |how: &'static str| async move {
        let asked = request(proxied, "/").header("rouse-probe", how).body(whole("")).unwrap();
        within(client().request(asked)).await.unwrap().status()
    };
    assert_eq!(ask("now").await, 503);
    let waiting = tokio::spawn(ask("wait"));
    // It is being held: nothing else answers a `now` meanwhile.
    assert_eq!(ask("now").await, 503);
    open.send_replace(true);
    assert_eq!(within(waiting).await.unwrap(), 200);
    assert_eq!(ask("now").await, 200);
    assert_eq!(sidecar.stats().await["requests"], 0);
}

#[tokio::test]
async fn a_probe_that_fails_begins_the_count_of_good_ones_anew() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    // The second and the fifth answer are bad, so three good ones in a row end with the eighth.
    let address = model(move |_| {
        let bad = [2, 5].contains(&(count.fetch_add(1, Ordering::SeqCst) + 1));
        async move { Response::builder().status(if bad { 503 } else { 200 }).body(whole("")).unwrap() }
    })
    .await;
    let probe = Probe::parse(r#"{"httpGet":{"path":"/ready"},"successThreshold":3}"#, address).unwrap();
    let mut ready = None;
    let seen = asked.clone();
    let _sidecar = Sidecar::start(address, |config| config.probe = probe, |it| ready = Some(it.readiness()));
    within(ready.unwrap().wait_for(|ready| *ready)).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_grpc_probe_asks_the_health_service() {
    let serving = Arc::new(AtomicU32::new(2));
    let said = serving.clone();
    let address = model(move |request| {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let status = said.load(Ordering::SeqCst) as u8;
        async move {
            let message = bytes::Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]);
            Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0")
                .body(whole(message))
                .unwrap()
        }
    })
    .await;
    let probe = Probe::parse(r#"{"grpc":{"service":"model"}}"#, address).unwrap();
    let mut ready = None;
    let sidecar = Sidecar::start(address, |config| config.probe = probe, |it| ready = Some(it.readiness()));
    assert!(!sidecar.stats().await["ready"].as_bool().unwrap());
    serving.store(1, Ordering::SeqCst);
    within(ready.unwrap().wait_for(|ready| *ready)).await.unwrap();
}

/// Answers each request and then closes without a word, as servers do whose idle time is over.
async fn rude_model(answers_a_connection: u32) -> (Arc<AtomicU32>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_rudely(stream, answers_a_connection, count.clone()));
        }
    });
    (begun, address)
}

async fn answer_rudely(mut stream: TcpStream, answers: u32, begun: Arc<AtomicU32>) {
    for _ in 0..answers {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        begun.fetch_add(1, Ordering::SeqCst);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_closes_connections_silently_loses_no_idempotent_request() {
    let (_, address) = rude_model(3).await;
    let sidecar = Sidecar::beside(address, |_| {}).await;
    let direct = sidecar.direct;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let client = client();
                for _ in 0..150 {
                    let answer = client.request(request(direct, "/").body(whole("")).unwrap()).await.unwrap();
                    assert_eq!(read(answer).await, (200.try_into().unwrap(), "ok".to_owned()));
                }
            })
        })
        .collect();
    for client in clients {
        within(client).await.unwrap();
    }
}

/// Reads one request, then closes the connection, each time but for the first request on the first connection.
async fn forgetful_model() -> (Arc<AtomicU32>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    // A probe, or the end.
                    if read == 0 || 0 < count.fetch_add(1, Ordering::SeqCst) {
                        return;
                    }
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    (begun, address)
}

#[tokio::test]
async fn a_post_that_may_have_begun_is_not_begun_again() {
    let (begun, address) = forgetful_model().await;
    let sidecar = Sidecar::beside(address, |_| {}).await;
    let client = client();
    let post = || request(sidecar.direct, "/").method(Method::POST).body(whole("order")).unwrap();
    assert_eq!(within(client.request(post())).await.unwrap().status(), 200);
    let second = within(client.request(post())).await.unwrap();
    assert_eq!(second.headers()["rouse-reason"], "replica-broke");
    assert_eq!(second.status(), 502);
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_put_with_a_body_is_begun_once_more_on_a_new_connection() {
    let (begun, address) = forgetful_model().await;
    let sidecar = Sidecar::beside(address, |_| {}).await;
    let client = client();
    let put = || request(sidecar.direct, "/").method(Method::PUT).body(whole("value")).unwrap();
    assert_eq!(within(client.request(put())).await.unwrap().status(), 200);
    // Lost on the kept connection, and lost on the new one; not a third time.
    assert_eq!(within(client.request(put())).await.unwrap().status(), 502);
    assert_eq!(begun.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_model_that_went_is_waited_for_and_nothing_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let first = tokio::spawn(serve_model(listener, async |_| Response::new(whole("first"))));
    // A long period: only the request finds out.
    let mut probe = Probe::tcp(address);
    probe.period = Duration::from_secs(600);
    let sidecar = Sidecar::beside(address, |config| config.probe = probe).await;
    first.abort();
    let _ = first.await;
    let direct = sidecar.direct;
    let meanwhile = tokio::spawn(async move {
        let post = request(direct, "/").method(Method::POST).body(whole("x")).unwrap();
        read(within(client().request(post)).await.unwrap()).await
    });
    sidecar.until(|stats| stats["held"] == 1 && stats["ready"] == false).await;
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(serve_model(listener, async |_| Response::new(whole("second"))));
    assert_eq!(within(meanwhile).await.unwrap().1, "second");
}

#[tokio::test]
async fn a_model_that_passes_its_probe_and_takes_no_connection_has_begun_nothing() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = reserved.local_addr().unwrap();
    drop(reserved);
    let probed = hello_model().await;
    let sidecar = Sidecar::beside(nobody, |config| config.probe = Probe::tcp(probed)).await;
    for (port, not_started) in [(sidecar.direct, None), (sidecar.proxied, Some("no-connection"))] {
        let post = request(port, "/").method(Method::POST).body(whole("order")).unwrap();
        let refused = within(client().request(post)).await.unwrap();
        let header = |name| refused.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((refused.status().as_u16(), header("rouse-reason")), (503, Some("no-connection")));
        assert_eq!((header("rouse-not-started"), header("retry-after").is_some()), (not_started, true));
    }
}
