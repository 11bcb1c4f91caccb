//! HTTP/2 without TLS and gRPC through both hops.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::chain::{AnyBody, Chain, by_hand, nothing, passed_on, piece, request, whole};
use crate::world::{World, revision_at, within};

fn grpc_ok() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", "fine".parse().unwrap());
    trailers
}

/// Echoes, message by message, and ends with its status in trailers. `/refuse` has no body at all. Says which HTTP it was
/// spoken to.
async fn grpc_model(request: Request<Incoming>) -> Response<AnyBody> {
    let answer = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-spoken", format!("{:?}", request.version()))
        .header("x-te", request.headers().get("te").cloned().unwrap_or_else(|| "none".parse().unwrap()));
    if request.uri().path() == "/refuse" {
        return answer.header("grpc-status", "5").body(nothing()).unwrap();
    }
    let (mut sender, body) = by_hand();
    let mut incoming = request.into_body();
    let mut echoing = tokio::task::JoinSet::new();
    echoing.spawn(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Ok(data) = frame.into_data() {
                let _ = sender.send_data(data).await;
            }
        }
        let _ = sender.send_trailers(grpc_ok()).await;
    });
    echoing.detach_all();
    answer.body(body).unwrap()
}

fn call(path: &str) -> http::request::Builder {
    request("POST", path).header("content-type", "application/grpc").header("te", "trailers")
}

#[tokio::test]
async fn a_unary_call_arrives_with_its_status_in_trailers() {
    let chain = Chain::to(grpc_model).await;
    let mut client = chain.http2().await;
    for _ in 0..3 {
        let answer = client.send(call("/pkg.Service/Unary").body(whole("message")).unwrap()).await;
        assert_eq!((answer.status, &*answer.body), (200, &b"message"[..]));
        assert_eq!(answer.trailers, Some(grpc_ok()));
        assert_eq!((answer.header("x-spoken"), answer.header("x-te")), ("HTTP/2.0", "trailers"));
    }
    chain.until_quiet().await;
}

#[tokio::test]
async fn an_answer_of_trailers_only_stays_one() {
    let chain = Chain::to(grpc_model).await;
    let answer = chain.http2().await.send(call("/refuse").body(whole("message")).unwrap()).await;
    assert_eq!((answer.status, answer.header("grpc-status"), &*answer.body), (200, "5", &b""[..]));
    assert_eq!(answer.trailers, None);
    chain.until_quiet().await;
}

#[tokio::test]
async fn messages_stream_both_ways_at_the_same_time() {
    let chain = Chain::to(grpc_model).await;
    let mut client = chain.http2().await;
    let (mut sender, body) = by_hand();
    let begun = within("the head", client.begin(call("/pkg.Service/Chat").body(body).unwrap())).await.unwrap();
    let mut answer = begun.into_body();
    for message in ["one", "two", "three"] {
        sender.send_data(Bytes::from(message)).await.unwrap();
        assert_eq!(piece(&mut answer).await, message);
    }
    drop(sender);
    let rest = within("the trailers", answer.collect()).await.unwrap();
    assert_eq!(rest.trailers(), Some(&grpc_ok()));
    chain.until_quiet().await;
}

#[tokio::test]
async fn a_call_that_is_refused_gets_unavailable_and_nothing_else() {
    let chain = Chain::to(grpc_model).await;
    let gone = chain.world.get("/").await;
    assert_eq!(gone.status.as_u16(), 200, "it is up");
    chain.world.boards.revisions.remove(&crate::world::revision_key("v1"));
    let mut client = chain.http2().await;
    let refused = async {
        loop {
            let answer = client.send(call("/pkg.Service/Unary").body(whole("message")).unwrap()).await;
            if answer.header("grpc-status") == "14" {
                return answer;
            }
        }
    };
    let answer = within("it is refused", refused).await;
    assert_eq!((answer.status, answer.header("rouse-reason")), (200, "revision-missing"));
    assert_eq!((answer.header("content-type"), &*answer.body), ("application/grpc", &b""[..]));
    assert_eq!(answer.trailers, None);
}

#[tokio::test]
async fn the_time_out_of_a_call_bounds_the_wait_for_a_replica() {
    let world = World::at_zero().await;
    world.autoscaler.leads(1).await;
    let mut client = crate::chain::Client::http2(world.address).await;
    let began = tokio::time::Instant::now();
    let answer = client.send(call("/pkg.Service/Unary").header("grpc-timeout", "300m").body(whole("")).unwrap()).await;
    assert_eq!((answer.status, answer.header("rouse-reason")), (200, "waited-too-long"));
    assert_eq!(answer.header("grpc-status"), "14");
    assert!(Duration::from_millis(300) <= began.elapsed() && began.elapsed() < Duration::from_secs(30));
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn the_time_out_of_a_call_is_a_deadline_at_the_model_too() {
    let chain = Chain::to(async |_| std::future::pending().await).await;
    let request = call("/pkg.Service/Unary").header("grpc-timeout", "300m").body(whole("")).unwrap();
    let answer = chain.http2().await.send(request).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "4"));
    chain.until_quiet().await;
}

#[tokio::test]
async fn the_time_out_of_a_call_is_a_deadline_without_a_sidecar_too() {
    let model = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::at_zero().await;
    let mut revision = revision_at("v1", &[("silent", model.local_addr().unwrap())]);
    revision.sidecars = false;
    world.boards.revisions.put(revision.key.clone(), revision);
    let mut client = crate::chain::Client::http2(world.address).await;
    let request = call("/pkg.Service/Unary").header("grpc-timeout", "2S").body(whole("")).unwrap();
    let answer = client.send(request).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "4"));
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn http2_by_prior_knowledge_reaches_a_model_that_speaks_http1() {
    let chain = Chain::to(async |request: Request<Incoming>| {
        let spoken = format!("{:?}", request.version());
        assert_eq!(request.version(), Version::HTTP_11);
        Response::builder().header("x-spoken", spoken).body(passed_on(request.into_body())).unwrap()
    })
    .await;
    let mut client = chain.http2().await;
    let answer = client.send(request("POST", "/").body(whole("body")).unwrap()).await;
    assert_eq!((answer.header("x-spoken"), &*answer.body), ("HTTP/1.1", &b"body"[..]));
    chain.until_quiet().await;
}

#[tokio::test]
async fn a_model_whose_endpoint_says_h2c_is_spoken_to_in_http2_through_its_sidecar() {
    let model = async |request: Request<Incoming>| {
        let spoken = format!("{:?}", request.version());
        Response::builder().header("x-spoken", spoken).body(passed_on(request.into_body())).unwrap()
    };
    let chain = Chain::with(model, |_| {}, |endpoint| endpoint.upstream = platform::UpstreamProtocol::H2c).await;
    for mut client in [chain.http1().await, chain.http2().await] {
        let answer = client.send(request("POST", "/").body(whole("body")).unwrap()).await;
        assert_eq!((answer.status, answer.header("x-spoken"), &*answer.body), (200, "HTTP/2.0", &b"body"[..]));
    }
    chain.until_quiet().await;
}
