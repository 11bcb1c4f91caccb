//! Models that close the connections they were kept on, through both hops: 10,000 requests each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::chain::{Chain, Client, nothing, request, whole};

const CLIENTS: u32 = 20;
const REQUESTS_EACH: u32 = 500;
const ANSWERS_A_CONNECTION: u32 = 7;

/// Does it say with its last answer that it is the last?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Good,
    Bad,
}

/// A small request ends with its head, or with a body that says so.
fn is_whole(request: &[u8]) -> bool {
    (request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n")) || request.ends_with(b"the end")
}

/// A model that closes each connection after a few answers.
async fn tired_model(listener: TcpListener, manners: Manners, begun: Arc<AtomicU32>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let begun = Arc::clone(&begun);
        connections.spawn(async move {
            let mut bytes = Vec::with_capacity(4096);
            for answers_left in (0..ANSWERS_A_CONNECTION).rev() {
                bytes.clear();
                while !is_whole(&bytes) {
                    match stream.read_buf(&mut bytes).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                }
                begun.fetch_add(1, Ordering::Relaxed);
                let last = if answers_left == 0 && manners == Manners::Good { "connection: close\r\n" } else { "" };
                let answer = format!("HTTP/1.1 200 OK\r\n{last}content-length: 2\r\n\r\nok");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    }
}

/// Half of the requests are `other`, which has a body; the rest are GETs. Answers what was not a 200, and how many
/// requests the model has begun.
async fn ask_ten_thousand(manners: Manners, other: http::request::Builder) -> (Vec<(Method, u16, String)>, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let model = tired_model(listener, manners, Arc::clone(&begun));
    let chain = Chain::before(address, model, |_| {}, |_| {}).await;
    let other = other.body(()).unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, other) = (chain.world.address, other.clone());
        clients.spawn(async move {
            let mut failed = Vec::new();
            let mut client = Client::http1(address).await;
            for round in 0..REQUESTS_EACH {
                let asked = match round % 2 {
                    0 => request("GET", "/").body(nothing()).unwrap(),
                    _ => other.clone().map(|()| whole("the end")),
                };
                let method = asked.method().clone();
                let answer = client.send(asked).await;
                // Who is refused with a body may be told that nothing more is read there. Without such a word the
                // connection must go on: a request that gets no answer is lost, and fails this.
                if answer.header("connection") == "close" {
                    client = Client::http1(address).await;
                }
                if (answer.status, &*answer.body) != (200, b"ok") {
                    failed.push((method, answer.status, answer.header("rouse-reason").to_owned()));
                }
            }
            failed
        });
    }
    let failed = clients.join_all().await.concat();
    chain.until_quiet().await;
    (failed, begun.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_says_which_answer_is_its_last_costs_no_request() {
    let (failed, begun) = ask_ten_thousand(Manners::Good, request("POST", "/")).await;
    assert_eq!((failed, begun), (Vec::new(), CLIENTS * REQUESTS_EACH));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_closes_without_a_word_costs_none_that_may_be_begun_twice() {
    let other = request("POST", "/").header("idempotency-key", "the same");
    let (failed, begun) = ask_ten_thousand(Manners::Bad, other).await;
    assert_eq!((failed, begun), (Vec::new(), CLIENTS * REQUESTS_EACH));
}

/// Whether the model had begun it when it closed cannot be known, so such a request is refused and not repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_closes_without_a_word_is_never_asked_twice_what_must_not_be() {
    let (failed, begun) = ask_ten_thousand(Manners::Bad, request("POST", "/")).await;
    println!("{} of {} POSTs met a close", failed.len(), CLIENTS * REQUESTS_EACH / 2);
    let refused = (Method::POST, 502, "replica-broke".to_owned());
    assert!(failed.iter().all(|failed| *failed == refused), "{failed:?}");
    assert_eq!(begun + failed.len() as u32, CLIENTS * REQUESTS_EACH);
    // Only where a close and a request cross.
    assert!(failed.len() < 100, "{} met a close", failed.len());
}
