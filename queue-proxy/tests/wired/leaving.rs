//! Leaving without a loss.

use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use queue_proxy::ByClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::reporting::{Autoscaler, autoscaler, identity};
use super::stage::{
    Sidecar, client, get, h2_client, hello_model, model, piece, piecewise, read, request, wait_for, whole, within,
};

async fn slow_model() -> (watch::Sender<bool>, std::net::SocketAddr) {
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
async fn what_is_in_flight_ends_and_then_the_sidecar_does() {
    let (open, model) = slow_model().await;
    let mut sidecar = Sidecar::beside(model, |_| {}).await;
    let (direct, proxied) = (sidecar.direct, sidecar.proxied);
    let direct = tokio::spawn(async move { get(direct, "/").await });
    let proxied = tokio::spawn(async move { get(proxied, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 2).await;
    sidecar.leave();
    sidecar.until(|stats| stats["leaving"] == true).await;
    open.send_replace(true);
    assert_eq!(within(direct).await.unwrap().1, "done");
    assert_eq!(within(proxied).await.unwrap().1, "done");
    within(sidecar.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let (_open, model) = slow_model().await;
    let mut sidecar = Sidecar::beside(model, |config| config.drain.unary = Duration::from_millis(200)).await;
    let direct = sidecar.direct;
    let stuck = request(direct, "/").header("accept", "application/json").body(whole("")).unwrap();
    let stuck = tokio::spawn(async move { client().request(stuck).await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    sidecar.leave();
    within(sidecar.running).await.unwrap().unwrap();
    let told = within(stuck).await.unwrap().unwrap();
    assert_eq!((told.status().as_u16(), &told.headers()["rouse-reason"]), (504, &"timeout".parse().unwrap()));
    assert_eq!(told.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn what_was_cut_is_the_last_that_autoscalers_hear() {
    let (_open, model) = slow_model().await;
    let (listener, address) = autoscaler().await;
    let mut sidecar = Sidecar::beside(model, |config| {
        config.drain.unary = Duration::from_millis(200);
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let direct = sidecar.direct;
    let stuck = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    sidecar.leave();
    let last = autoscaler.hear_stats(|stats| 0 < stats.cut_unary).await;
    assert_eq!((last.cut_unary, last.cut_streaming, last.cut_upgraded, last.in_flight), (1, 0, 0, 0));
    assert_eq!(within(stuck).await.unwrap().0, 504);
    within(sidecar.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_still_waits_at_the_limit_is_told_that_nothing_was_begun() {
    let (_open, model) = slow_model().await;
    let mut sidecar = Sidecar::beside(model, |config| {
        config.container_concurrency = units::ConcurrencyLimit::from_field(1);
        config.drain.unary = Duration::from_millis(200);
    })
    .await;
    let direct = sidecar.direct;
    let ask = || client().request(request(direct, "/").body(whole("")).unwrap());
    let first = tokio::spawn(ask());
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    let second = tokio::spawn(ask());
    sidecar.until(|stats| stats["held"] == 1).await;
    sidecar.leave();
    let told = within(second).await.unwrap().unwrap();
    assert_eq!((told.status().as_u16(), &told.headers()["rouse-reason"]), (503, &"leaving".parse().unwrap()));
    assert!(!told.headers().contains_key("rouse-not-started") && told.headers().contains_key("retry-after"));
    assert_eq!(within(first).await.unwrap().unwrap().status(), 504);
    within(sidecar.running).await.unwrap().unwrap();
}

/// What Prometheus would read.
async fn metrics(sidecar: &Sidecar) -> String {
    get(sidecar.admin, "/metrics").await.1
}

#[tokio::test]
async fn each_class_goes_at_its_own_limit() {
    let (pieces, sent) = mpsc::unbounded_channel();
    let model = model(move |request: Request<Incoming>| {
        let (sender, body) = piecewise();
        sender.send("first ").unwrap();
        pieces.send(sender).unwrap();
        async move {
            match request.uri().path() {
                "/stuck" => std::future::pending().await,
                _ => Response::new(body),
            }
        }
    });
    let (model, mut sent) = (model.await, sent);
    let mut sidecar = Sidecar::beside(model, |config| {
        config.drain = ByClass {
            unary: Duration::from_millis(300),
            streaming: Duration::from_secs(3600),
            upgraded: Duration::from_secs(3600),
        };
    })
    .await;
    let direct = sidecar.direct;
    let stuck = tokio::spawn(async move { client().request(request(direct, "/stuck").body(whole("")).unwrap()).await });
    let _kept = within(sent.recv()).await.unwrap();
    let stream = within(client().request(request(direct, "/").body(whole("")).unwrap())).await.unwrap();
    let mut body = stream.into_body();
    assert_eq!(piece(&mut body).await, "first ");
    let pieces = within(sent.recv()).await.unwrap();
    sidecar.until(|stats| stats["inFlight"] == 2).await;
    sidecar.leave();
    assert_eq!(within(stuck).await.unwrap().unwrap().status(), 504);
    // The stream outlives the limit of the others.
    wait_for(async || metrics(&sidecar).await.contains("rouse_cut_total{class=\"unary\"} 1")).await;
    assert!(metrics(&sidecar).await.contains("rouse_phase{phase=\"draining\"} 1"));
    pieces.send("last").unwrap();
    assert_eq!(piece(&mut body).await, "last");
    drop(pieces);
    assert!(within(body.frame()).await.is_none());
    within(sidecar.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_and_an_upgraded_connection_are_cut_at_their_limits() {
    let model = model(async |mut request: Request<Incoming>| {
        let (pieces, body) = piecewise();
        pieces.send("first ").unwrap();
        let is_stream = request.uri().path() == "/stream";
        tokio::spawn(async move {
            let _tunnel = hyper::upgrade::on(&mut request).await;
            let () = std::future::pending().await;
            drop(pieces);
        });
        if is_stream {
            return Response::new(body);
        }
        let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        answer.body(whole("")).unwrap()
    })
    .await;
    let mut sidecar = Sidecar::beside(model, |config| {
        config.drain = ByClass {
            unary: Duration::from_millis(100),
            streaming: Duration::from_millis(500),
            upgraded: Duration::from_millis(300),
        };
    })
    .await;
    let direct = sidecar.direct;
    let mut socket = TcpStream::connect(direct).await.unwrap();
    socket.write_all(b"GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    let mut head = [0; 1024];
    assert!(within(socket.read(&mut head)).await.unwrap() > 12 && head.starts_with(b"HTTP/1.1 101 "));
    let stream = within(h2_client().request(request(direct, "/stream").body(whole("")).unwrap())).await.unwrap();
    let mut body = stream.into_body();
    assert_eq!(piece(&mut body).await, "first ");
    sidecar.until(|stats| stats["upgraded"] == 1 && stats["inFlight"] == 2).await;
    sidecar.leave();
    // No farewell in the tunnel's own words: they are not ours.
    assert!(matches!(within(socket.read(&mut head)).await, Ok(0) | Err(_)));
    assert!(within(body.frame()).await.unwrap().is_err());
    within(sidecar.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn while_leaving_activators_are_refused_as_not_started_and_clients_are_served_and_sent_away() {
    let mut sidecar = Sidecar::beside(hello_model().await, |config| config.quiet = Duration::from_secs(60)).await;
    sidecar.leave();
    sidecar.until(|stats| stats["leaving"] == true).await;
    let post = || request(sidecar.proxied, "/").method(Method::POST).body(whole("body")).unwrap();
    let refused = within(client().request(post())).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["rouse-not-started"]),
        (503, &"leaving".parse().unwrap())
    );
    let served = within(client().request(request(sidecar.direct, "/").body(whole("")).unwrap())).await.unwrap();
    assert_eq!(served.headers()["connection"], "close");
    assert_eq!(read(served).await.1, "hello");
    let over_http2 = within(h2_client().request(request(sidecar.direct, "/").body(whole("")).unwrap())).await.unwrap();
    assert_eq!(read(over_http2).await.1, "hello");
    assert_eq!(get(sidecar.admin, "/readyz").await.0, 503);
}

#[tokio::test]
async fn what_an_activator_has_waiting_here_is_given_back_when_the_sidecar_leaves() {
    let (open, model) = slow_model().await;
    let mut sidecar =
        Sidecar::beside(model, |config| config.container_concurrency = units::ConcurrencyLimit::from_field(1)).await;
    let proxied = sidecar.proxied;
    let first = tokio::spawn(async move { get(proxied, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    let second =
        tokio::spawn(async move { client().request(request(proxied, "/").body(whole("")).unwrap()).await.unwrap() });
    sidecar.until(|stats| stats["held"] == 1).await;
    sidecar.leave();
    assert_eq!(within(second).await.unwrap().headers()["rouse-not-started"], "leaving");
    open.send_replace(true);
    assert_eq!(within(first).await.unwrap().1, "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_nothing_that_was_sent() {
    let model = model(async |_| {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Response::new(whole("done"))
    })
    .await;
    // Long enough for each client to hear on its connection that it is to go.
    let mut sidecar = Sidecar::beside(model, |config| config.quiet = Duration::from_secs(2)).await;
    let direct = sidecar.direct;
    let leaving = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let leaving = leaving.clone();
            tokio::spawn(async move {
                let (client, mut answered) = (client(), 0);
                // A client goes elsewhere once it has been asked to.
                loop {
                    let post = request(direct, "/").method(Method::POST).body(whole("x")).unwrap();
                    let answer = within(client.request(post)).await.unwrap();
                    let sent_away = answer.headers().contains_key("connection");
                    assert_eq!(read(answer).await.1, "done");
                    answered += 1;
                    if sent_away {
                        assert!(leaving.load(std::sync::atomic::Ordering::SeqCst));
                        return answered;
                    }
                }
            })
        })
        .collect();
    sidecar.until(|stats| 300 < stats["requests"].as_u64().unwrap()).await;
    leaving.store(true, std::sync::atomic::Ordering::SeqCst);
    sidecar.leave();
    let mut answered = 0;
    for client in clients {
        answered += within(client).await.unwrap();
    }
    within(sidecar.running).await.unwrap().unwrap();
    assert!(300 < answered);
}

#[tokio::test]
async fn drained_is_answered_when_the_model_has_nothing_to_do() {
    let (open, model) = slow_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let (direct, admin) = (sidecar.direct, sidecar.admin);
    let working = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    let drained = tokio::spawn(async move { get(admin, "/drained").await });
    // What comes now is held: the model is going.
    let next = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["held"] == 1).await;
    open.send_replace(true);
    within(working).await.unwrap();
    assert_eq!(within(drained).await.unwrap().1, "drained\n");
    assert_eq!(sidecar.stats().await["held"], 1);
    // The pod leaves after all: what is there is served.
    let leave = request(admin, "/leave").method(Method::POST).body(whole("")).unwrap();
    assert_eq!(within(client().request(leave)).await.unwrap().status(), 200);
    assert_eq!(within(next).await.unwrap().1, "done");
    within(sidecar.running).await.unwrap().unwrap();
}

/// As the pod's hooks do it.
async fn leave_by_hook(sidecar: &Sidecar) {
    let leave = request(sidecar.admin, "/leave").method(Method::POST).body(whole("")).unwrap();
    assert_eq!(within(client().request(leave)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_model_of_a_pod_that_leaves_stays_while_requests_may_come() {
    let sidecar = Sidecar::beside(hello_model().await, |config| {
        config.quiet = Duration::from_secs(3600);
        config.drain.unary = Duration::from_secs(3600);
    })
    .await;
    let (direct, admin) = (sidecar.direct, sidecar.admin);
    assert_eq!(get(direct, "/").await.1, "hello");
    // The hooks come in any order.
    let mut before = tokio::spawn(async move { get(admin, "/drained").await });
    wait_for(async || get(admin, "/readyz").await.0 == 503).await;
    leave_by_hook(&sidecar).await;
    let mut after = tokio::spawn(async move { get(admin, "/drained").await });
    assert_eq!(get(direct, "/").await.1, "hello");
    let answered = async {
        tokio::select! { _ = &mut before => {} _ = &mut after => {} }
    };
    assert!(tokio::time::timeout(Duration::from_millis(1500), answered).await.is_err(), "its port is open");
}

#[tokio::test]
async fn the_model_hears_that_it_may_go_when_the_last_request_of_a_pod_that_leaves_is_answered() {
    let (open, model) = slow_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let (direct, admin) = (sidecar.direct, sidecar.admin);
    let working = tokio::spawn(async move { get(direct, "/").await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    leave_by_hook(&sidecar).await;
    let mut drained = tokio::spawn(async move { get(admin, "/drained").await });
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut drained).await.is_err(), "it has a request");
    open.send_replace(true);
    assert_eq!(within(working).await.unwrap().1, "done");
    assert_eq!(within(drained).await.unwrap().1, "drained\n");
    within(sidecar.running).await.unwrap().unwrap();
}
