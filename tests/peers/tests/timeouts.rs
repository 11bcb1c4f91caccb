//! What clients see of the three time-outs of the sidecar.

use peers::{Model, Server, Sidecar, Taken, curl, python, succeeds};

/// A model that says so much of an answer, and not a byte more.
fn stopping(request: &Taken) -> Vec<u8> {
    match request.path() {
        "/length" => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
        "/chunks" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec(),
        _ => Vec::new(),
    }
}

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_a_504() {
    let model = Model::start(stopping).await;
    for setting in ["RESPONSE_START_TIMEOUT", "REQUEST_TIMEOUT", "IDLE_TIMEOUT"] {
        let sidecar = Sidecar::beside(model.address(), &[(setting, "300ms")]).await;
        for protocol in PROTOCOLS {
            let Some(seen) = curl(&[protocol, "--data", "x", &sidecar.url("/")]).await else { return };
            assert_eq!((seen.code, seen.statuses()), (0, vec!["504"]), "{setting}, {protocol}: {seen:?}");
            assert_eq!(seen.header("rouse-reason"), ["timeout"], "{setting}, {protocol}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_and_never_taken_for_whole() {
    let model = Model::start(stopping).await;
    for setting in ["REQUEST_TIMEOUT", "IDLE_TIMEOUT"] {
        let sidecar = Sidecar::beside(model.address(), &[(setting, "1s")]).await;
        for (protocol, path) in
            PROTOCOLS.into_iter().flat_map(|protocol| [(protocol, "/length"), (protocol, "/chunks")])
        {
            let Some(seen) = curl(&[protocol, &sidecar.url(path)]).await else { return };
            // What has come is kept, and curl says that it is not all: 18, or 92 for a stream of HTTP/2.
            assert!([18, 92].contains(&seen.code), "{setting}, {protocol} {path}: {seen:?}");
            assert!(seen.out.ends_with("abc"), "{setting}, {protocol} {path}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_with_traffic_is_not_idle_and_has_begun_its_answer() {
    let Some(model) = Server::start("asgi.py", &[]).await else { return };
    let limits = [("IDLE_TIMEOUT", "3s"), ("RESPONSE_START_TIMEOUT", "3s")];
    let sidecar = Sidecar::beside(model.address(), &limits).await;
    let Some(mut client) = python("http_client.py") else { return };
    client.args(["hears_events_for_longer_than_four_seconds", &sidecar.url("")]);
    succeeds(client).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_counts_as_the_beginning_of_an_answer() {
    let Some(model) = Server::start("ws_server.py", &[]).await else { return };
    let sidecar = Sidecar::beside(model.address(), &[("RESPONSE_START_TIMEOUT", "2s")]).await;
    let Some(mut client) = python("ws_client.py") else { return };
    client.args(["says_nothing_for_three_seconds", &sidecar.url("")]);
    succeeds(client).await.unwrap();
}
