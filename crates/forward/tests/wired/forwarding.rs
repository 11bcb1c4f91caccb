//! Forwarding: which answers come back, what goes to another replica, and what connections are kept for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forward::{
    Exchange, Failure, Form, KEPT_IDLE, LooseEnds, Origin, Pool, PoolOptions, Protocol, Reason, Refusal, RequestBody,
    ServerLimits, Timeouts, Trust,
};
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{TOO_LARGE, all, client, hasty_model, own, pool, send, serve, text, within};

/// Forwards to the first of `replicas`, and to the next when one has not begun it.
async fn forwarder(replicas: Vec<SocketAddr>) -> SocketAddr {
    let pools: Vec<Pool> = replicas.into_iter().map(|replica| pool(replica, Protocol::Http1)).collect();
    let pools = Arc::new(pools);
    serve(ServerLimits::default(), move |request, arrival| {
        let pools = pools.clone();
        async move {
            let mut exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger).unwrap();
            let mut refusal = Refusal::new(Reason::CannotWake, "no replica");
            for pool in pools.iter() {
                match exchange.send(pool, Timeouts::default(), Trust::SIDECAR).await {
                    Ok(answer) => return answer.into_response((), &LooseEnds::new()),
                    Err(error) => {
                        refusal = error.refusal();
                        let Some(again) = error.again else { break };
                        exchange = again;
                    }
                }
            }
            refusal.answer(Form::Text, None)
        }
    })
    .await
}

/// A sidecar that leaves: it has not begun anything. Before it says so it reads this much.
async fn leaving_sidecar(reads: usize) -> SocketAddr {
    serve(ServerLimits::default(), move |request, _| async move {
        let mut body = request.into_body();
        let mut read = 0;
        while read < reads
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.into_data().map_or(0, |data| data.len());
        }
        if 0 < reads {
            LooseEnds::new().discard_all(RequestBody::stream(body));
        }
        let mut answer = text("");
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        answer.headers_mut().insert(forward::NOT_STARTED, "leaving".parse().unwrap());
        answer
    })
    .await
}

async fn echo() -> SocketAddr {
    serve(ServerLimits::default(), async |request, _| {
        let said = format!("{} {}", request.method(), request.headers()[HOST].to_str().unwrap());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(format!("{said} {}", String::from_utf8_lossy(&body)))
    })
    .await
}

async fn post(address: SocketAddr, body: impl Into<Bytes>) -> (u16, String) {
    let request = Request::post(format!("http://{address}/")).header(HOST, "model.example");
    let answer = within(client().request(request.body(Full::new(body.into())).unwrap())).await.unwrap();
    let status = answer.status().as_u16();
    let body = within(answer.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_a_leaving_sidecar_did_not_begin_goes_whole_to_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = forwarder(vec![gone, leaving_sidecar(1).await, echo().await]).await;
    assert_eq!(post(address, "order").await, (200, "POST model.example order".to_owned()));
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_goes_whole_to_another_too() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = forwarder(vec![leaving_sidecar(0).await, gone, echo().await]).await;
    let order = "x".repeat(1 << 20);
    for round in 0..20 {
        let (status, said) = post(address, order.clone()).await;
        assert!(status == 200 && said == format!("POST model.example {order}"), "round {round}: {status}");
    }
}

#[tokio::test]
async fn a_large_body_of_which_too_much_was_read_is_refused_and_may_be_sent_again() {
    let address = forwarder(vec![leaving_sidecar(512 << 10).await, echo().await]).await;
    let (status, said) = post(address, vec![b'x'; 1 << 20]).await;
    assert_eq!((status, said.as_str()), (503, "leaving: not started: leaving\n"));
}

#[tokio::test]
async fn a_client_that_is_refused_in_the_middle_of_its_body_is_told_not_to_come_again() {
    let address = forwarder(vec![hasty_model("").await]).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: model.example\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    let answer = all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn the_head_of_an_answer_that_breaks_right_behind_it_is_passed_on() {
    let model = hasty_model("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let address = forwarder(vec![model]).await;
    for round in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: model.example\r\n\r\n").await.unwrap();
        let answer = all(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.ends_with("0\r\n\r\n"), "round {round}: {answer:?}");
    }
}

#[tokio::test]
async fn a_model_is_not_believed_that_it_did_not_begin() {
    let pool = pool(leaving_sidecar(1).await, Protocol::Http1);
    let answer = within(own(Method::GET, "").send(&pool, Timeouts::default(), Trust::MODEL)).await.unwrap();
    assert_eq!(answer.head.status, 503);
    assert!(!answer.head.headers.contains_key(forward::NOT_STARTED));
}

#[tokio::test]
async fn nobody_there_is_told_with_the_request_given_back() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = send(own(Method::POST, "x"), &pool(gone, Protocol::Http1), Trust::MODEL).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)) && !error.possibly_started());
    let echo = pool(echo().await, Protocol::Http1);
    assert_eq!(send(error.again.unwrap(), &echo, Trust::MODEL).await.unwrap(), "POST model.example x");
}

#[tokio::test]
async fn one_that_may_have_begun_is_not_given_back() {
    let model = pool(hasty_model("").await, Protocol::Http1);
    let error = send(own(Method::GET, ""), &model, Trust::SIDECAR).await.unwrap_err();
    assert!(error.possibly_started() && error.again.is_none(), "{error:?}");
    assert_eq!(error.refusal().reason, Reason::ReplicaBroke);
}

#[tokio::test]
async fn half_an_answer_is_not_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), Protocol::Http1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let _ = stream.read(&mut buffer).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let _ = stream.read(&mut buffer).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nconte").await.unwrap();
        drop(stream);
        // Would be accepted, were it asked again.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain").await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(send(own(Method::GET, ""), &pool, Trust::MODEL).await.unwrap(), "ok");
    let error = send(own(Method::GET, ""), &pool, Trust::MODEL).await.unwrap_err();
    assert!(error.possibly_started(), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_http2_refused_was_not_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let error = send(own(Method::POST, "x"), &pool(target, Protocol::H2c), Trust::SIDECAR).await.unwrap_err();
    assert!(!error.possibly_started(), "{error:?}");
    let echo = pool(echo().await, Protocol::Http1);
    assert_eq!(send(error.again.unwrap(), &echo, Trust::SIDECAR).await.unwrap(), "POST model.example x");
}

#[tokio::test]
async fn a_shared_connection_whose_peer_has_vanished_ends_without_any_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PoolOptions { pings: true, ..PoolOptions::nearby(Protocol::H2c) };
    let sidecar = Pool::new(listener.local_addr().unwrap(), options);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let _request = connection.accept().await;
        // Who is gone answers no ping.
        std::future::pending::<()>().await;
    });
    let error = within(send(own(Method::POST, "x"), &sidecar, Trust::SIDECAR)).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Broke(_)) && error.possibly_started(), "{error:?}");
}

/// A model that refuses each stream.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    target
}

#[tokio::test]
async fn a_stream_that_a_model_refused_was_not_begun_though_nobody_kept_its_body() {
    let model = pool(refusing().await, Protocol::H2c);
    let error = send(own(Method::POST, "x"), &model, Trust::MODEL).await.unwrap_err();
    assert!(!error.possibly_started() && error.again.is_none(), "{error:?}");
    assert_eq!(error.refusal().reason, Reason::Leaving);
}

#[tokio::test]
async fn what_was_meant_for_one_replica_is_forgotten_before_the_next() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = send(own(Method::POST, "x"), &pool(gone, Protocol::H2c), Trust::SIDECAR).await.unwrap_err();
    let again = error.again.unwrap();
    assert!(!again.sends_unasked(), "its client speaks HTTP/1.1, whatever the replica speaks");
    assert_eq!(again.head.headers[HOST], "model.example");
}

#[tokio::test]
async fn a_large_body_that_was_held_back_for_a_sidecar_goes_whole_to_a_model() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (sidecar, model) = (pool(gone, Protocol::Http1), pool(echo().await, Protocol::Http1));
    let address = serve(ServerLimits::default(), move |request, arrival| {
        let (sidecar, model) = (sidecar.clone(), model.clone());
        async move {
            let exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger).unwrap();
            let error = exchange.send(&sidecar, Timeouts::default(), Trust::SIDECAR).await.unwrap_err();
            let answer = error.again.unwrap().send(&model, Timeouts::default(), Trust::MODEL).await.unwrap();
            answer.into_response((), &LooseEnds::new())
        }
    })
    .await;
    let order = "x".repeat(1 << 20);
    assert_eq!(post(address, order.clone()).await, (200, format!("POST model.example {order}")));
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_it() {
    let address = forwarder(vec![echo().await]).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: model.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    let answer = all(stream).await;
    assert!(answer.ends_with("GET model.example hello"), "{answer}");
}

#[tokio::test]
async fn many_requests_share_one_http2_connection() {
    let arrivals = Arc::new(parking_lot::Mutex::new(std::collections::HashSet::new()));
    let seen = arrivals.clone();
    let address = serve(ServerLimits::default(), move |_, arrival| {
        seen.lock().insert(arrival.peer);
        async { text("ok") }
    })
    .await;
    let pool = pool(address, Protocol::H2c);
    let all: Vec<_> = (0..50)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { send(own(Method::GET, ""), &pool, Trust::MODEL).await.unwrap() })
        })
        .collect();
    for one in all {
        assert_eq!(within(one).await.unwrap(), "ok");
    }
    assert_eq!(arrivals.lock().len(), 1);
}

#[tokio::test]
async fn an_answer_that_came_before_the_request_was_written_is_not_lost() {
    let address = forwarder(vec![hasty_model(TOO_LARGE).await]).await;
    for round in 0..20 {
        let answer = post(address, vec![b'x'; 8 << 20]).await;
        assert_eq!(answer, (413, "big".to_owned()), "round {round}");
    }
}

/// A client of gRPC whose deadline that is reads it so; INTERNAL_ERROR would be a failure of ours.
#[tokio::test]
async fn an_answer_that_a_time_out_cuts_is_cancelled_over_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), Protocol::Http1);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    });
    let address = serve(ServerLimits::default(), move |request, arrival| {
        let pool = pool.clone();
        async move {
            let exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger).unwrap();
            let timeouts = Timeouts { request: Some(Duration::from_secs(1)), ..Timeouts::default() };
            exchange.send(&pool, timeouts, Trust::MODEL).await.unwrap().into_response((), &LooseEnds::new())
        }
    })
    .await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let answer = within(client.get(format!("http://{address}/").parse().unwrap())).await.unwrap();
    let cut = within(answer.into_body().collect()).await.unwrap_err();
    let reset = std::error::Error::source(&cut).and_then(|cause| cause.downcast_ref::<h2::Error>());
    assert_eq!(reset.and_then(h2::Error::reason), Some(h2::Reason::CANCEL), "{cut:?}");
}

#[tokio::test]
async fn a_kept_connection_is_used_again_and_dropped_after_four_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), Protocol::Http1);
    let model = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        for _ in 0..2 {
            assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
        let idle_since = Instant::now();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        idle_since.elapsed()
    });
    for _ in 0..2 {
        assert_eq!(send(own(Method::POST, "x"), &pool, Trust::MODEL).await.unwrap(), "ok");
    }
    let idle_for = within(model).await.unwrap();
    // Both ends look at their own clocks, and a busy machine looks late.
    assert!(KEPT_IDLE / 2 < idle_for && idle_for < 3 * KEPT_IDLE, "{idle_for:?}");
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn a_post_does_not_go_on_a_connection_that_was_idle_for_more_than_a_second() {
    let accepted = Arc::new(AtomicU32::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), Protocol::Http1);
    let count = accepted.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while 0 < stream.read(&mut buffer).await.unwrap_or(0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    let sent_on = async |method| {
        send(own(method, ""), &pool, Trust::MODEL).await.unwrap();
        accepted.load(Ordering::SeqCst)
    };
    // Stopped only here: a clock that stands leaps ahead whenever all wait for the network.
    let goes_by = async |time| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    assert_eq!(sent_on(Method::POST).await, 1);
    goes_by(Duration::from_millis(1_200)).await;
    assert_eq!(sent_on(Method::POST).await, 2);
    goes_by(Duration::from_millis(1_200)).await;
    assert_eq!(sent_on(Method::GET).await, 2, "which may be begun twice, goes on one that is older");
}
