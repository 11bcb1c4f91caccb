//! A server that stalls: what an open loop sees of it, and what a closed loop does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use loadtest::scenario::{Phase, Request as Asked};
use loadtest::shape::{Piece, Shape};
use loadtest::times::Times;
use loadtest::{Live, Options, Scenario, Target};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long the server answers nobody.
const STALL: Duration = Duration::from_secs(5);
/// When that begins.
const AFTER: Duration = Duration::from_secs(2);
/// Requests a second, and how long.
const RATE: f64 = 100.0;
const LASTS: Duration = Duration::from_secs(10);

/// A server that takes five milliseconds, but answers nobody between two and seven seconds from now.
async fn server(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begin = Instant::now();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |_: Request<_>| async move {
                sleep(Duration::from_millis(5)).await;
                if (begin + AFTER..begin + AFTER + STALL).contains(&Instant::now()) {
                    sleep_until(begin + AFTER + STALL).await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            connections.spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Ten clients, each of which asks again as soon as it is answered, as `hey -c 10` does.
async fn closed_loop(address: SocketAddr) -> Times {
    let end = Instant::now() + LASTS;
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut sender, driver) = client::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
            let mut times = Vec::new();
            let asking = async {
                while Instant::now() < end {
                    let sent = Instant::now();
                    let request = Request::get("/").header("host", "a").body(Empty::new()).unwrap();
                    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
                    times.push(sent.elapsed());
                }
            };
            tokio::select! { () = asking => {}, _ = driver => {} }
            times
        });
    }
    let mut all = Times::new();
    clients.join_all().await.into_iter().flatten().for_each(|time| all.record(time));
    all
}

#[tokio::test]
async fn an_open_loop_sees_a_stall_that_a_closed_loop_does_not() {
    let mut servers = JoinSet::new();
    let (open_to, closed_to) = (server(&mut servers).await, server(&mut servers).await);
    let scenario = Scenario {
        name: "stall".to_owned(),
        about: String::new(),
        arrivals: loadtest::arrivals::Arrivals::Uniform,
        seed: 1,
        request: Asked { method: "GET".to_owned(), path: "/".to_owned(), bodies: Vec::new() },
        phases: vec![Phase { name: "load".to_owned(), shape: Shape(vec![Piece::hold(RATE, LASTS)]) }],
    };
    let target = Target { address: open_to, host: open_to.to_string(), prefix: String::new() };
    let (options, live) = (Options::usual("stall"), Live::default());
    let (open, closed) = tokio::join!(loadtest::run(&scenario, &target, &options, &live), closed_loop(closed_to));
    let open = open.unwrap();
    assert!(open.all_went_well(), "{open}");
    let open = open.latency.unwrap();
    let closed = closed.quantiles().unwrap();
    println!("stall of 5 s, p99: open loop {:.3} s, closed loop {:.3} s", open.p99_seconds, closed.p99_seconds);
    // Half of what was due was due within the stall, and one in a hundred of it all in its first tenth of a second.
    assert!((4.5..8.0).contains(&open.p99_seconds), "{open:?}");
    assert!(2.0 < open.p90_seconds, "{open:?}");
    // Ten of the closed loop's met it: one for each client. On a slow machine there may be less than a thousand in all.
    assert!(closed.p90_seconds < 1.0 && 4.5 < closed.max_seconds, "{closed:?}");
}
