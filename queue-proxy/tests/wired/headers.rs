//! What reaches the model, and what reaches the client.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{Sidecar, client, model, request, whole, within};

/// A model that notes the headers it gets, and answers with headers of its own.
async fn noting_model() -> (Arc<Mutex<HeaderMap>>, std::net::SocketAddr) {
    let noted = Arc::new(Mutex::new(HeaderMap::new()));
    let notes = noted.clone();
    let address = model(move |request| {
        *notes.lock().unwrap() = request.headers().clone();
        async {
            Response::builder()
                .header("keep-alive", "timeout=5")
                .header("rouse-not-started", "a lie")
                .header("rouse-reason", "queue-full")
                .header("rouse-outcome", "0.93")
                .header("x-model", "yes")
                .body(whole("answer"))
                .unwrap()
        }
    });
    (noted, address.await)
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_in_both_directions() {
    let (noted, model) = noting_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let raw = "POST /p HTTP/1.1\r\nhost: model.example\r\nconnection: keep-alive, x-private\r\nx-private: 1\r\n\
        keep-alive: 3\r\nproxy-authorization: Basic x\r\nte: gzip\r\nupgrade: h2c\r\nexpect: 100-continue\r\n\
        transfer-encoding: chunked\r\nx-public: 2\r\n\r\n";
    let mut stream = TcpStream::connect(sidecar.direct).await.unwrap();
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = within(stream.read(&mut buffer)).await.unwrap();
    assert!(buffer[..length].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&buffer[..length]));
    stream.write_all(b"2\r\nhi\r\n0\r\n\r\n").await.unwrap();
    let length = within(stream.read(&mut buffer)).await.unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-model: yes"), "{answer}");
    for gone in ["keep-alive", "rouse-not-started", "rouse-reason", "rouse-outcome"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
    let noted = noted.lock().unwrap();
    let names: Vec<&str> = noted.keys().map(|name| name.as_str()).collect();
    for gone in ["connection", "x-private", "keep-alive", "proxy-authorization", "te", "upgrade", "expect"] {
        assert!(!names.contains(&gone), "{gone} in {names:?}");
    }
    assert_eq!((&noted["host"], &noted["x-public"]), (&"model.example".parse().unwrap(), &"2".parse().unwrap()));
}

#[tokio::test]
async fn where_a_request_came_from_is_noted() {
    let (noted, model) = noting_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let asked = request(sidecar.direct, "/").header("x-forwarded-for", "10.1.2.3").header("x-request-id", "mine");
    within(client().request(asked.body(whole("")).unwrap())).await.unwrap();
    let noted = noted.lock().unwrap();
    let value = |name: &str| noted[name].to_str().unwrap().to_owned();
    assert_eq!(value("x-forwarded-for"), "10.1.2.3, 127.0.0.1");
    assert_eq!(value("x-forwarded-proto"), "http");
    assert_eq!(value("forwarded"), "for=10.1.2.3");
    assert_eq!(value("x-request-id"), "mine");
}

#[tokio::test]
async fn a_request_without_an_id_gets_one() {
    let (noted, model) = noting_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    within(client().request(request(sidecar.direct, "/").body(whole("")).unwrap())).await.unwrap();
    assert_eq!(noted.lock().unwrap()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn nobody_steers_from_outside() {
    let (noted, model) = noting_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let steering = ["rouse-probe", "rouse-shadow", "rouse-anything", "k-proxy-request", "knative-serving-revision"];
    let mut asked = request(sidecar.direct, "/");
    for name in steering {
        asked = asked.header(name, "now");
    }
    // On the direct port a probe is a request like any other.
    let answer = within(client().request(asked.body(whole("")).unwrap())).await.unwrap();
    assert_eq!(answer.headers()["x-model"], "yes");
    let noted = noted.lock().unwrap();
    assert!(steering.iter().all(|name| !noted.contains_key(*name)), "{noted:?}");
}

#[tokio::test]
async fn a_copy_for_a_shadow_is_marked_for_the_model_when_an_activator_says_so() {
    let (noted, model) = noting_model().await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let asked = request(sidecar.proxied, "/").header("rouse-shadow", "true").header("rouse-tag", "x");
    within(client().request(asked.body(whole("")).unwrap())).await.unwrap();
    let noted = noted.lock().unwrap();
    assert_eq!(noted.get("rouse-shadow"), Some(&HeaderValue::from_static("true")));
    assert_eq!(noted.get("rouse-tag"), None);
}
