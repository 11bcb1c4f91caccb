//! Servers, pools and exchanges on loopback.

#![expect(clippy::disallowed_methods, reason = "a test's tasks belong to its runtime, which ends with it")]
#![expect(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forward::{
    Arrival, Body, Exchange, Failure, Form, KEPT_BYTES, KEPT_IDLE, LooseEnds, Origin, Pool, PoolOptions, Protocol,
    Reason, Refusal, RequestBody, Server, ServerLimits, Service, Timeouts, Trust,
};
use http::header::HOST;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// A service made of a function.
struct Answers<F>(F);

impl<F, A> Service for Answers<F>
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    type Body = Body<()>;

    fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> impl Future<Output = Response<Body<()>>> + Send {
        (self.0)(request, arrival)
    }

    fn too_late(&self, form: Form) -> Response<Body<()>> {
        Refusal::new(Reason::Timeout, "too late").answer(form, None)
    }
}

fn text(text: impl Into<Bytes>) -> Response<Body<()>> {
    Response::new(Body::whole(text, None))
}

/// A server of ours that answers with `answer`.
async fn serve<F, A>(limits: ServerLimits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), limits, answer)
}

fn serve_on<F, A>(listener: TcpListener, limits: ServerLimits, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, Arrival) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body<()>>> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    let server = Server::new(Arc::new(Answers(answer)), limits, LooseEnds::new());
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            server.serve(stream, peer);
        }
    });
    address
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn pool(target: SocketAddr, protocol: Protocol) -> Pool {
    Pool::new(target, PoolOptions::nearby(protocol))
}

fn own(method: Method, body: &'static str) -> Box<Exchange> {
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = method;
    request.headers_mut().insert(HOST, "model.example".parse().unwrap());
    Exchange::own(request)
}

async fn send(exchange: Box<Exchange>, pool: &Pool, trust: Trust) -> Result<String, forward::SendError> {
    let answer = within(exchange.send(pool, Timeouts::default(), trust)).await?;
    let body = answer.into_response((), &LooseEnds::new()).into_body();
    Ok(String::from_utf8(within(body.collect()).await.unwrap().to_bytes().to_vec()).unwrap())
}

/// Reads a whole stream as text.
async fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    text
}

fn hasty() -> ServerLimits {
    ServerLimits {
        first_byte: Duration::from_millis(100),
        head: Duration::from_millis(100),
        idle: Duration::from_millis(100),
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_let_go() {
    let address = serve(hasty(), async |_, _| text("")).await;
    assert_eq!(all(TcpStream::connect(address).await.unwrap()).await, "");
}

#[tokio::test]
async fn half_a_preface_is_nothing_too() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    assert_eq!(all(stream).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_a_408() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert!(all(stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_connection_is_closed_silently_when_it_is_idle_for_too_long_also_after_a_body() {
    let limits = ServerLimits { head: Duration::from_secs(60), ..hasty() };
    let address = serve(limits, async |request, _| {
        request.into_body().collect().await.unwrap();
        text("read")
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await.unwrap();
    stream.write_all(b"body").await.unwrap();
    let answer = all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nread"), "{answer}");
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_connection_may_idle_is_left_alone() {
    let address = serve(hasty(), async |_, _| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        text("done")
    })
    .await;
    let request = Request::get(format!("http://{address}/")).body(Full::default()).unwrap();
    assert_eq!(within(client().request(request)).await.unwrap().status(), 200);
}

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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = forwarder(vec![listener.local_addr().unwrap()]).await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: model.example\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    let answer = all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn the_head_of_an_answer_that_breaks_right_behind_it_is_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = forwarder(vec![listener.local_addr().unwrap()]).await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        }
    });
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
    assert!(
        KEPT_IDLE <= idle_for + Duration::from_millis(100) && idle_for < KEPT_IDLE + Duration::from_secs(1),
        "{idle_for:?}"
    );
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
    assert_eq!(sent_on(Method::POST).await, 1);
    assert_eq!(sent_on(Method::POST).await, 1);
    // The age of a connection is what is tested here; there is nothing to wait on but time.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(sent_on(Method::POST).await, 2);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(sent_on(Method::GET).await, 2);
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let error = send(own(Method::GET, ""), &pool(target, Protocol::Http1), Trust::SIDECAR).await.unwrap_err();
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
async fn an_http2_peer_that_answers_no_farewell_is_let_go_all_the_same() {
    let address = serve(hasty(), async |_, _| text("")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (preface, no_settings) = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    stream.write_all(preface).await.unwrap();
    stream.write_all(&no_settings).await.unwrap();
    // It reads, and says nothing more. What it gets ends.
    within(stream.read_to_end(&mut Vec::new())).await.unwrap();
}

#[tokio::test]
async fn pings_between_two_requests_are_no_head_that_dawdles() {
    let limits = ServerLimits { idle: Duration::from_secs(60), ..hasty() };
    let address = serve(limits, async |_, _| text("ok")).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut pinging = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    pinging.timer(hyper_util::rt::TokioTimer::new());
    pinging.keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let handshake = pinging.handshake(hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = within(handshake).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("http://model.example/").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(within(sender.send_request(request)).await.unwrap().status(), 200);
        // Longer than a head may take: there is nothing to wait on but time.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!sender.is_closed());
}

/// A model that answers at once, reads nothing of the body, and closes.
async fn hasty_model() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 256]).await;
                let answer = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn an_answer_that_came_before_the_request_was_written_is_not_lost() {
    let address = forwarder(vec![hasty_model().await]).await;
    for round in 0..20 {
        let answer = post(address, vec![b'x'; 8 << 20]).await;
        assert_eq!(answer, (413, "big".to_owned()), "round {round}");
    }
}

/// Holds each request for ever, as one that waits for a replica, and counts those that are dropped. Its sockets take
/// little themselves, and always as much.
async fn holding(may_read: bool, gone: Arc<AtomicU32>) -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    serve_on(socket.listen(64).unwrap(), ServerLimits::default(), move |request, arrival| {
        let gone = Gone(gone.clone());
        async move {
            let mut exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger).unwrap();
            let _ = exchange.client_breaks(may_read, &arrival.lookout).await;
            drop(gone);
            text("")
        }
    })
}

struct Gone(Arc<AtomicU32>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// How much a client with little room of its own gets rid of, of a body that is longer than anyone keeps.
async fn taken_from(address: SocketAddr) -> usize {
    const OFFERED: usize = 16 << 20;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {OFFERED}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (piece, mut taken) = (vec![b'x'; 4 << 10], 0);
    // A slow machine makes it less, never more.
    while let Ok(Ok(written)) = tokio::time::timeout(Duration::from_millis(300), stream.write(&piece)).await {
        taken += written;
    }
    taken
}

#[tokio::test]
async fn of_a_body_that_waits_no_more_is_read_than_is_kept() {
    let socket = |may_read| holding(may_read, Arc::default());
    let (reading, not_reading) = (taken_from(socket(true).await).await, taken_from(socket(false).await).await);
    // The same is in the sockets of both; one read of a connection may go beyond what is kept.
    let read = reading.saturating_sub(not_reading);
    assert!((KEPT_BYTES / 2..KEPT_BYTES + (512 << 10)).contains(&read), "{reading} of which {not_reading} in sockets");
}

#[tokio::test]
async fn who_sends_its_body_only_when_it_is_asked_is_not_asked_while_it_waits() {
    let address = holding(true, Arc::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(asked.is_err(), "{asked:?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_body_is_not_read_ends_its_request() {
    for (name, more) in [
        ("not read at all", "content-length: 5\r\n"),
        ("not asked for", "content-length: 5\r\nexpect: 100-continue\r\n"),
    ] {
        let gone = Arc::new(AtomicU32::new(0));
        let address = holding(false, gone.clone()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{more}\r\nbody").as_bytes()).await.unwrap();
        let there = tokio::time::timeout(Duration::from_millis(1_500), stream.read_u8()).await;
        assert!(there.is_err() && gone.load(Ordering::SeqCst) == 0, "{name}: {there:?}");
        drop(stream);
        let noticed = async {
            while gone.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(noticed).await;
    }
}
