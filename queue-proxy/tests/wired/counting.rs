//! What is counted, for how long, and on which port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Response;
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use units::ConcurrencyLimit;

use super::stage::{
    Sidecar, client, get, hello_model, model, past_the_sidecar, piece, piecewise, request, whole, within,
};

#[tokio::test]
async fn a_request_is_counted_to_the_last_byte_of_its_answer() {
    let (pieces, body) = piecewise();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let model = model(move |_| {
        let body = body.lock().unwrap().take().unwrap_or_else(|| whole(""));
        async move { Response::new(body) }
    })
    .await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let answer = client().request(request(sidecar.direct, "/").body(whole("")).unwrap());
    let mut answer = within(answer).await.unwrap().into_body();
    pieces.send("first").unwrap();
    assert_eq!(piece(&mut answer).await, "first");
    assert_eq!(sidecar.stats().await["inFlight"], 1);
    drop(pieces);
    assert!(within(answer.frame()).await.is_none());
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_at_once() {
    let begun = Arc::new(AtomicU32::new(0));
    let seen = begun.clone();
    // The first request never ends.
    let model = model(move |_| {
        let first = seen.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            Response::new(whole("second"))
        }
    })
    .await;
    let sidecar = Sidecar::beside(model, |config| config.container_concurrency = ConcurrencyLimit::from_field(1)).await;
    let direct = sidecar.direct;
    let first = tokio::spawn(async move { client().request(request(direct, "/").body(whole("")).unwrap()).await });
    sidecar.until(|stats| stats["inFlight"] == 1 && stats["held"] == 0).await;
    let second = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["held"] == 1).await;
    first.abort();
    assert_eq!(within(second).await.unwrap().1, "second");
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn one_that_leaves_the_line_is_not_begun() {
    let begun = Arc::new(AtomicU32::new(0));
    let seen = begun.clone();
    let (open, gate) = tokio::sync::watch::channel(false);
    let model = model(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Response::new(whole("done"))
        }
    })
    .await;
    let sidecar = Sidecar::beside(model, |config| config.container_concurrency = ConcurrencyLimit::from_field(1)).await;
    let direct = sidecar.direct;
    let first = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    let second = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["held"] == 1).await;
    second.abort();
    sidecar.until(|stats| stats["held"] == 0 && stats["inFlight"] == 1).await;
    open.send_replace(true);
    within(first).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_that_leaves_the_line_in_the_middle_of_its_upload_frees_its_place() {
    let model = model(async |_| std::future::pending().await).await;
    let sidecar = Sidecar::beside(model, |config| config.container_concurrency = ConcurrencyLimit::from_field(1)).await;
    let direct = sidecar.direct;
    let _working = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    for head in ["content-length: 1000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut stream = TcpStream::connect(direct).await.unwrap();
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}").as_bytes()).await.unwrap();
        sidecar.until(|stats| stats["held"] == 1).await;
        drop(stream);
        sidecar.until(|stats| stats["held"] == 0 && stats["inFlight"] == 1).await;
    }
}

#[tokio::test]
async fn what_comes_on_the_proxied_port_counts_as_proxied() {
    let sidecar = Sidecar::beside(hello_model().await, |_| {}).await;
    get(sidecar.direct, "/").await;
    get(sidecar.proxied, "/").await;
    get(sidecar.proxied, "/").await;
    sidecar.until(|stats| stats["inFlight"] == 0).await;
    let stats = sidecar.stats().await;
    assert_eq!((&stats["requests"], &stats["proxiedRequests"]), (&3.into(), &2.into()));
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let sidecar = Sidecar::beside(hello_model().await, |_| {}).await;
    get(sidecar.direct, "/").await;
    sidecar.until(|stats| stats["inFlight"] == 0).await;
    let (_, metrics) = get(sidecar.admin, "/metrics").await;
    for line in [
        r#"rouse_requests_total{class="2xx",outcome="answered"} 1"#,
        "rouse_in_flight_requests 0",
        "rouse_ready 1",
        "rouse_request_duration_seconds_count 1",
        r#"rouse_refusals_total{reason="queue-full"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_connection_past_the_sidecar_is_foreign() {
    let model = hello_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let mut other = past_the_sidecar(model.port()).await;
    sidecar.until(|stats| stats["foreign"] == 1).await;
    other.kill().await.unwrap();
    sidecar.until(|stats| stats["foreign"] == 0).await;
}
