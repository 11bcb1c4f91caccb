//! Bodies, tunnels and answers of every shape through both hops.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::chain::{AnyBody, Chain, by_hand, nothing, passed_on, piece, request, whole};
use crate::world::within;

async fn echo(request: Request<Incoming>) -> Response<AnyBody> {
    Response::new(passed_on(request.into_body()))
}

#[tokio::test]
async fn a_chunked_upload_is_answered_while_it_is_sent() {
    let chain = Chain::to(echo).await;
    for mut client in [chain.http1().await, chain.http2().await] {
        let (mut sender, body) = by_hand();
        let request = request("POST", "/").body(body).unwrap();
        let mut answer = within("the head", client.begin(request)).await.unwrap().into_body();
        for part in ["one", "two", "three"] {
            sender.send_data(Bytes::from(part)).await.unwrap();
            assert_eq!(piece(&mut answer).await, part);
        }
        chain.until_at_sidecar(1).await;
        drop(sender);
        assert_eq!(within("the end", answer.collect()).await.unwrap().to_bytes(), "");
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn events_are_passed_on_one_by_one_and_at_once() {
    let events = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let seen = events.clone();
    let chain = Chain::to(move |_| {
        let events = events.clone();
        async move {
            let (mut sender, body) = by_hand();
            let mut sending = JoinSet::new();
            sending.spawn(async move {
                for number in 0..3 {
                    let _ = sender.send_data(Bytes::from(format!("data: {number}\n\n"))).await;
                    // The next one only after the client has this one.
                    events.acquire().await.unwrap().forget();
                }
            });
            sending.detach_all();
            Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
        }
    })
    .await;
    for mut client in [chain.http1().await, chain.http2().await] {
        let begun = within("the head", client.begin(request("GET", "/").body(nothing()).unwrap())).await.unwrap();
        assert_eq!(begun.headers()["content-type"], "text/event-stream");
        let mut answer = begun.into_body();
        for number in 0..3 {
            assert_eq!(piece(&mut answer).await, format!("data: {number}\n\n"));
            seen.add_permits(1);
        }
        within("the end", answer.collect()).await.unwrap();
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn ten_megabytes_go_each_way_unharmed() {
    let chain = Chain::to(echo).await;
    let sent: Bytes = (0..10_000_000_u32).map(|place| (place % 251) as u8).collect();
    for mut client in [chain.http1().await, chain.http2().await] {
        let answer = client.send(request("POST", "/").body(whole(sent.clone())).unwrap()).await;
        assert!(answer.status == 200 && answer.body == sent, "{} bytes came back", answer.body.len());
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_leave_their_connection_usable() {
    let chain = Chain::to(async |request: Request<Incoming>| {
        let head = Response::builder().header("etag", "\"1\"");
        match request.uri().path() {
            "/204" => head.status(204).body(nothing()).unwrap(),
            "/304" => head.status(304).body(nothing()).unwrap(),
            _ => head.body(whole("twelve bytes")).unwrap(),
        }
    })
    .await;
    for mut client in [chain.http1().await, chain.http2().await] {
        for (method, path, status, length) in
            [("GET", "/204", 204, ""), ("GET", "/304", 304, ""), ("HEAD", "/", 200, "12"), ("GET", "/", 200, "12")]
        {
            let answer = client.send(request(method, path).body(nothing()).unwrap()).await;
            assert_eq!(
                (answer.status, answer.header("content-length"), answer.header("etag")),
                (status, length, "\"1\"")
            );
            assert_eq!(answer.body.is_empty(), (method, path) != ("GET", "/"), "{method} {path}");
        }
    }
    chain.until_quiet().await;
}

#[tokio::test]
async fn trailers_of_http1_pass_both_ways() {
    let chain = Chain::to(async |request: Request<Incoming>| {
        let got = request.into_body().collect().await.unwrap();
        let sum = got.trailers().map(|trailers| trailers["x-sum"].clone());
        let (mut sender, body) = by_hand();
        let mut sending = JoinSet::new();
        sending.spawn(async move {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", sum.unwrap_or_else(|| "none came".parse().unwrap()));
            let _ = sender.send_data(got.to_bytes()).await;
            let _ = sender.send_trailers(trailers).await;
        });
        sending.detach_all();
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    })
    .await;
    let (mut sender, body) = by_hand();
    let asked = request("POST", "/").header("te", "trailers").header("trailer", "x-sum").body(body).unwrap();
    let mut client = chain.http1().await;
    let upload = async {
        sender.send_data(Bytes::from("body")).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "4711".parse().unwrap());
        sender.send_trailers(trailers).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asked), upload);
    assert_eq!(&*answer.body, b"body");
    assert_eq!(answer.trailers.map(|trailers| trailers["x-sum"].clone()), Some("4711".parse().unwrap()));
    chain.until_quiet().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_and_then_answered() {
    let chain = Chain::to(echo).await;
    let mut stream = TcpStream::connect(chain.world.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: model.default\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    within("100 Continue", stream.read_exact(&mut told)).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nbody") {
        assert_ne!(within("an answer", stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    chain.until_quiet().await;
}

#[tokio::test]
async fn a_tunnel_goes_through_both_hops_and_counts_until_it_is_closed() {
    let chain = Chain::to(async |mut request: Request<Incoming>| {
        let upgraded = hyper::upgrade::on(&mut request);
        let mut tunnel = JoinSet::new();
        tunnel.spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                if stream.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
        });
        tunnel.detach_all();
        let head = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
        let accept = request.headers()["sec-websocket-key"].clone();
        head.header("sec-websocket-accept", accept).body(nothing()).unwrap()
    })
    .await;
    let mut client = chain.http1().await;
    let asked = request("GET", "/").header("connection", "keep-alive, Upgrade").header("upgrade", "websocket");
    let asked = asked.header("sec-websocket-key", "key").body(nothing()).unwrap();
    let mut answer = within("the head", client.begin(asked)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["sec-websocket-accept"].as_bytes()), (101, &b"key"[..]));
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    for message in [&b"hello"[..], b"again"] {
        stream.write_all(message).await.unwrap();
        let mut echoed = [0; 5];
        within("an echo", stream.read_exact(&mut echoed)).await.unwrap();
        assert_eq!(echoed, message);
    }
    assert_eq!(chain.stats().await["upgraded"], 1);
    chain.world.until_in_flight(1).await;
    drop((stream, client));
    chain.until_quiet().await;
}

#[tokio::test]
async fn an_early_refusal_of_a_large_upload_reaches_the_client() {
    let chain = Chain::to(async |_| Response::builder().status(413).body(whole("too much")).unwrap()).await;
    for round in 0..20 {
        let mut client = chain.http1().await;
        let (mut sender, body) = by_hand();
        let asked = request("POST", "/").header("content-length", 10_000_000).body(body).unwrap();
        let upload = async { while sender.send_data(Bytes::from(vec![0; 100_000])).await.is_ok() {} };
        let answer = tokio::select! {
            answer = client.try_send(asked) => answer,
            () = async { upload.await; std::future::pending().await } => unreachable!(),
        };
        let answer = answer.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert_eq!((answer.status, &*answer.body), (413, &b"too much"[..]), "round {round}");
    }
    chain.until_quiet().await;
}
