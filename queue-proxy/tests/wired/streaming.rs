//! Bytes go both ways as they come.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio_tungstenite::tungstenite::Message;

use super::stage::{
    AnyBody, Sidecar, client, get, h2_client, hello_model, model, piece, piecewise, read, request, whole, within,
};

#[tokio::test]
async fn a_body_streams_both_ways_at_the_same_time() {
    // Echoes each piece as it comes.
    let echo = model(async |request| {
        let (pieces, body) = piecewise();
        let mut incoming = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = incoming.frame().await {
                let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
                let _ = pieces.send(text.leak());
            }
        });
        Response::new(body)
    })
    .await;
    let sidecar = Sidecar::beside(echo, |_| {}).await;
    let (pieces, body) = piecewise();
    let request = request(sidecar.direct, "/").method(Method::POST).body(body).unwrap();
    pieces.send("one").unwrap();
    let mut answer = within(client().request(request)).await.unwrap().into_body();
    assert_eq!(piece(&mut answer).await, "one");
    pieces.send("two").unwrap();
    assert_eq!(piece(&mut answer).await, "two");
    drop(pieces);
    assert!(within(answer.frame()).await.is_none());
}

#[tokio::test]
async fn an_event_is_passed_on_at_once() {
    let (events, body) = piecewise();
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let model = model(move |_| {
        let body = body.clone();
        async move {
            let body = body.lock().unwrap().take().unwrap_or_else(|| whole(""));
            Response::builder().header(CONTENT_TYPE, "text/event-stream").body(body).unwrap()
        }
    })
    .await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let answer = within(client().request(request(sidecar.direct, "/").body(whole("")).unwrap()));
    let mut answer = answer.await.unwrap().into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        events.send(event).unwrap();
        assert_eq!(piece(&mut answer).await, event);
    }
}

#[tokio::test]
async fn a_known_length_stays_a_length() {
    let sidecar = Sidecar::beside(hello_model().await, |_| {}).await;
    let request = request(sidecar.direct, "/").body(whole("")).unwrap();
    let answer = within(client().request(request)).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "5");
}

/// A WebSocket server that echoes.
async fn websocket_model() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_websocket_is_tunnelled_and_counted_until_it_is_closed() {
    let sidecar = Sidecar::beside(websocket_model().await, |_| {}).await;
    let connect = tokio_tungstenite::connect_async(format!("ws://{}/chat", sidecar.direct));
    let (mut socket, _) = within(connect).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(within(socket.next()).await.unwrap().unwrap(), Message::text("hello"));
    let stats = sidecar.stats().await;
    assert_eq!((&stats["inFlight"], &stats["upgraded"]), (&1.into(), &1.into()));
    socket.close(None).await.unwrap();
    drop(socket);
    sidecar.until(|stats| stats["inFlight"] == 0 && stats["upgraded"] == 0).await;
}

#[tokio::test]
async fn the_request_time_out_cuts_a_websocket_too() {
    // Long enough for the upgrade.
    let short = Some(Duration::from_secs(1));
    let sidecar = Sidecar::beside(websocket_model().await, |config| config.timeouts.request = short).await;
    let connect = tokio_tungstenite::connect_async(format!("ws://{}/chat", sidecar.direct));
    let (mut socket, _) = within(connect).await.unwrap();
    assert!(within(socket.next()).await.is_none_or(|message| message.is_err()));
    sidecar.until(|stats| stats["inFlight"] == 0).await;
}

#[tokio::test]
async fn trailers_pass_over_http2() {
    let model = model(async |request| {
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.headers()[TE], "trailers");
        let body = request.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
        let frames = [Ok(Frame::data(body.to_bytes())), Ok(Frame::trailers(trailers))];
        let body = AnyBody::new(StreamBody::new(futures_util::stream::iter(frames)));
        Response::builder().header(CONTENT_TYPE, "application/grpc").body(body).unwrap()
    })
    .await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let frames = [Ok(Frame::data("message".into())), Ok(Frame::trailers(trailers))];
    let request = request(sidecar.direct, "/service/Method")
        .method(Method::POST)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(AnyBody::new(StreamBody::new(futures_util::stream::iter(frames))))
        .unwrap();
    let answer = within(h2_client().request(request)).await.unwrap();
    let body = within(answer.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "message");
}

#[tokio::test]
async fn http2_without_tls_reaches_a_model_of_http1() {
    let model = model(async |request| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        Response::new(whole(format!("{:?} {host} {}", request.version(), request.uri())))
    })
    .await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let answer = within(h2_client().request(request(sidecar.direct, "/a?b=c").body(whole("")).unwrap()));
    let (_, text) = read(answer.await.unwrap()).await;
    assert_eq!(text, format!("HTTP/1.1 {} /a?b=c", sidecar.direct));
}

#[tokio::test]
async fn a_head_without_a_body_is_answered_as_one() {
    let model = model(async |_| Response::builder().header(CONTENT_LENGTH, "5").body(whole("")).unwrap()).await;
    let sidecar = Sidecar::beside(model, |_| {}).await;
    let head = request(sidecar.direct, "/").method(Method::HEAD).body(whole("")).unwrap();
    let client = client();
    let answer = within(client.request(head)).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "5");
    sidecar.until(|stats| stats["inFlight"] == 0).await;
    assert_eq!(get(sidecar.admin, "/healthz").await.1, "ok\n");
}
