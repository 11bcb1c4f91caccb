//! How many at once, how many wait, for how long, and what is too much.

use std::time::Duration;

use http::{Method, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use units::ConcurrencyLimit;

use super::stage::{Sidecar, client, get, hello_model, model, piece, piecewise, read, request, whole, within};

/// Answers when the gate is open.
async fn gated_model() -> (watch::Sender<bool>, std::net::SocketAddr) {
    let (open, gate) = watch::channel(false);
    let address = model(move |_| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            Response::new(whole("done"))
        }
    });
    (open, address.await)
}

#[tokio::test]
async fn the_line_is_exactly_as_long_as_configured() {
    let (open, model) = gated_model().await;
    let sidecar = Sidecar::beside(model, |config| {
        config.container_concurrency = ConcurrencyLimit::from_field(2);
        config.queue_depth = Some(3);
    })
    .await;
    let direct = sidecar.direct;
    let accepted: Vec<_> = (0..5).map(|_| tokio::spawn(async move { get(direct, "/").await })).collect();
    sidecar.until(|stats| stats["inFlight"] == 5 && stats["held"] == 3).await;
    let sixth = within(client().request(request(direct, "/").body(whole("")).unwrap())).await.unwrap();
    assert_eq!(sixth.headers()["rouse-reason"], "queue-full");
    assert!(sixth.headers().contains_key("retry-after"));
    assert_eq!(
        read(sixth).await,
        (503.try_into().unwrap(), "queue-full: 3 requests wait for this replica already\n".into())
    );
    open.send_replace(true);
    for accepted in accepted {
        assert_eq!(within(accepted).await.unwrap().1, "done");
    }
}

#[tokio::test]
async fn a_refused_upload_is_answered_and_not_reset() {
    let (_open, model) = gated_model().await;
    let sidecar = Sidecar::beside(model, |config| {
        config.container_concurrency = ConcurrencyLimit::from_field(1);
        config.queue_depth = Some(0);
    })
    .await;
    let direct = sidecar.direct;
    tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    // All of the body first, then the answer, as simple clients do; it was refused long before.
    let mut stream = TcpStream::connect(direct).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n").await.unwrap();
    sidecar.until(|stats| stats["requests"] == 2 && stats["inFlight"] == 1).await;
    for _ in 0..20 {
        within(stream.write_all(&[b'x'; 10_000])).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 12];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[tokio::test]
async fn who_waits_too_long_is_told_so() {
    let (_open, model) = gated_model().await;
    let sidecar = Sidecar::beside(model, |config| {
        config.container_concurrency = ConcurrencyLimit::from_field(1);
        config.timeouts.request = Some(Duration::from_millis(300));
        config.timeouts.response_start = None;
    })
    .await;
    let direct = sidecar.direct;
    // Two at once: one times out at the model, the other in the line, or gets its turn in between and times out there.
    let both = [0, 1].map(|_| tokio::spawn(async move { get(direct, "/").await }));
    let mut statuses = Vec::new();
    for one in both {
        statuses.push(within(one).await.unwrap());
    }
    assert!(statuses.iter().any(|(status, text)| *status == 504 && text.starts_with("timeout")), "{statuses:?}");
    assert!(statuses.iter().all(|(status, _)| [503, 504].contains(&status.as_u16())), "{statuses:?}");
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn no_head_in_time_is_a_504() {
    let (_open, model) = gated_model().await;
    let start = Some(Duration::from_millis(100));
    let sidecar = Sidecar::beside(model, |config| config.timeouts.response_start = start).await;
    let (status, text) = get(sidecar.direct, "/").await;
    assert_eq!((status.as_u16(), text.as_str()), (504, "timeout: no answer within the response start time-out\n"));
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_cut_and_never_completed() {
    let (pieces, body) = piecewise();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let model = model(move |_| {
        let body = body.lock().unwrap().take().unwrap_or_else(|| whole(""));
        async move { Response::new(body) }
    })
    .await;
    // Long enough for what comes before.
    let idle = Some(Duration::from_secs(1));
    let sidecar = Sidecar::beside(model, |config| config.timeouts.idle = idle).await;
    pieces.send("half").unwrap();
    let answer = client().request(request(sidecar.direct, "/").body(whole("")).unwrap());
    let mut answer = within(answer).await.unwrap().into_body();
    assert_eq!(piece(&mut answer).await, "half");
    let end = within(http_body_util::BodyExt::frame(&mut answer)).await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let sidecar = Sidecar::beside(hello_model().await, |_| {}).await;
    let huge = request(sidecar.direct, "/").header("x-huge", "x".repeat(100_000)).body(whole("")).unwrap();
    assert_eq!(within(client().request(huge)).await.unwrap().status(), 431);
}

#[tokio::test]
async fn what_is_not_http_is_a_400() {
    let sidecar = Sidecar::beside(hello_model().await, |_| {}).await;
    for nonsense in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "what\r\n\r\n"] {
        let mut stream = TcpStream::connect(sidecar.direct).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 400", "{nonsense:?}");
    }
    assert_eq!(sidecar.stats().await["requests"], 0, "nobody is woken for what no replica understands");
}

#[tokio::test]
async fn a_body_of_http2_that_has_no_room_is_refused_for_it_comes_unasked() {
    let (open, model) = gated_model().await;
    let sidecar = Sidecar::beside(model, |config| {
        config.container_concurrency = ConcurrencyLimit::from_field(1);
        config.budget = queue_proxy::Budget::new(100_000);
    })
    .await;
    let direct = sidecar.direct;
    let client = super::stage::h2_client();
    let ask = |bytes: usize| {
        let post = request(direct, "/").method(Method::POST).body(whole(vec![b'x'; bytes])).unwrap();
        tokio::spawn(client.request(post))
    };
    let mut accepted = vec![ask(0)];
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    accepted.push(ask(65_536));
    sidecar.until(|stats| stats["held"] == 1).await;
    let refused = within(ask(65_536)).await.unwrap().unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["rouse-reason"]), (503, &"queue-full".parse().unwrap()));
    // What has no body, and what HTTP/1.1 leaves with its client, may wait.
    accepted.push(ask(0));
    let post = request(direct, "/").method(Method::POST).body(whole(vec![b'x'; 65_536])).unwrap();
    accepted.push(tokio::spawn(super::stage::client().request(post)));
    sidecar.until(|stats| stats["held"] == 3).await;
    open.send_replace(true);
    for accepted in accepted {
        assert_eq!(within(accepted).await.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_refusal_of_a_grpc_call_is_a_grpc_status() {
    let (_open, model) = gated_model().await;
    let sidecar = Sidecar::beside(model, |config| config.timeouts.request = Some(Duration::from_millis(50))).await;
    let call = request(sidecar.direct, "/s/M")
        .method(Method::POST)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(whole(""))
        .unwrap();
    let answer = within(super::stage::h2_client().request(call)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        (&answer.headers()["grpc-status"], &answer.headers()["rouse-reason"]),
        (&"4".parse().unwrap(), &"timeout".parse().unwrap())
    );
}
