//! Clients as people have them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::HOST;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util_client::client::legacy;
use hyper_util_client::client::legacy::connect::HttpConnector;
use hyper_util_client::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Longer than anything a test waits for; so that what hangs fails with a name.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client that keeps its connections, as most do.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    to: SocketAddr,
    host: String,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// For one endpoint behind the shared port.
    pub fn new(to: SocketAddr, endpoint: &str) -> Self {
        Self::that_asks(to, &format!("{endpoint}.localhost"))
    }

    /// For an address that is asked by this name.
    pub fn that_asks(to: SocketAddr, host: &str) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
        Self { http, to, host: host.to_owned() }
    }

    /// The same, with a connection of its own for each request.
    #[must_use]
    pub fn connecting_anew(self) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        Self { http: builder.pool_max_idle_per_host(0).build_http(), ..self }
    }

    /// The whole answer, or what happened instead of one.
    ///
    /// # Errors
    /// If there was no whole answer.
    pub async fn ask(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Result<Answer, String> {
        let request = request.body(Full::new(body.into())).map_err(|error| error.to_string())?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| format!("{}, then {}", head.status, chain(&error)))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(format!("no answer after {PATIENCE:?}")))
    }

    /// The head of an answer to GET; its body is still to be read.
    ///
    /// # Panics
    /// If there is none.
    pub async fn open(&self, path: &str) -> Response<Incoming> {
        let request = self.request(path).body(Full::default()).expect("a path is a path");
        let opening = tokio::time::timeout(PATIENCE, self.http.request(request)).await;
        opening.unwrap_or_else(|_| panic!("GET {path}: no head")).expect("it is answered")
    }

    /// A request that can still be given headers and a method.
    pub fn request(&self, path: &str) -> http::request::Builder {
        Request::builder().uri(format!("http://{}{path}", self.to)).header(HOST, &self.host)
    }

    /// GET.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        match self.ask(self.request(path), Bytes::new()).await {
            Ok(answer) => answer,
            Err(error) => panic!("GET {path} at {}: {error}", self.host),
        }
    }

    /// A WebSocket at `/ws`, on a connection of its own.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn web_socket(&self) -> Result<WebSocket, String> {
        let opening = async {
            let socket = TcpStream::connect(self.to).await.map_err(|error| chain(&error))?;
            let opened = tokio_tungstenite::client_async(format!("ws://{}/ws", self.host), socket).await;
            opened.map(|(socket, _)| socket).map_err(|error| chain(&error))
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(format!("not open after {PATIENCE:?}")))
    }

    /// Says something over a WebSocket so many times, each once the one before has come back; then closes it.
    ///
    /// # Errors
    /// If anything does not come back.
    pub async fn talk(&self, times: u32, pause: Duration) -> Result<(), String> {
        let mut socket = self.web_socket().await?;
        for number in 0..times {
            let back = said(&mut socket, &number.to_string()).await;
            back.map_err(|error| format!("message {number} of {times}: {error}"))?;
            tokio::time::sleep(pause).await;
        }
        socket.close(None).await.map_err(|error| format!("closing: {}", chain(&error)))
    }
}

/// Says something over a WebSocket, and waits until it has come back.
///
/// # Errors
/// If it does not, or something else does.
pub async fn said(socket: &mut WebSocket, text: &str) -> Result<(), String> {
    let echoed = async {
        socket.send(Message::text(text)).await.map_err(|error| chain(&error))?;
        match socket.next().await {
            Some(Ok(message)) if message.to_text().is_ok_and(|back| back == text) => Ok(()),
            Some(Ok(other)) => Err(format!("{other:?} came back")),
            Some(Err(error)) => Err(chain(&error)),
            None => Err("it was closed".to_owned()),
        }
    };
    tokio::time::timeout(PATIENCE, echoed).await.unwrap_or_else(|_| Err(format!("nothing after {PATIENCE:?}")))
}

impl Answer {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A part of `server-timing` in milliseconds.
    pub fn timing(&self, part: &str) -> Option<f64> {
        let parts = self.header("server-timing").split(", ");
        parts.filter_map(|metric| metric.split_once(";dur=")).find(|(name, _)| *name == part)?.1.parse().ok()
    }
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A POST to `/echo` whose body comes in pieces, as slowly as the test gives them; and what came back so far.
#[derive(Debug)]
pub struct SlowRequest {
    socket: TcpStream,
    /// All bytes of the answer so far.
    pub seen: String,
}

impl SlowRequest {
    /// Sends the head.
    ///
    /// # Panics
    /// If nobody listens.
    pub async fn begin(to: SocketAddr, endpoint: &str) -> Self {
        let head = format!("POST /echo HTTP/1.1\r\nhost: {endpoint}.localhost\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut socket = TcpStream::connect(to).await.expect("the shared port accepts");
        socket.write_all(head.as_bytes()).await.expect("the head is taken");
        Self { socket, seen: String::new() }
    }

    /// Sends a piece, and waits until it has come back.
    ///
    /// # Panics
    /// If it does not.
    pub async fn piece(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.socket.write_all(chunk.as_bytes()).await.expect("a piece is taken");
        self.read_until(text).await;
    }

    /// Ends the body, and reads the end of the answer.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn end(mut self) -> String {
        self.socket.write_all(b"0\r\n\r\n").await.expect("the end is taken");
        self.read_until("\r\n0\r\n\r\n").await;
        self.seen
    }

    async fn read_until(&mut self, text: &str) {
        let mut some = [0; 4096];
        while !self.seen.contains(text) {
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut some)).await;
            let read = read.unwrap_or_else(|_| panic!("{text:?} did not come back; seen: {}", self.seen));
            let read = read.expect("the answer flows");
            assert_ne!(read, 0, "the answer ended before {text:?}: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&some[..read]));
        }
    }
}

/// A WebSocket on a connection of its own.
pub type WebSocket = WebSocketStream<TcpStream>;

/// Opens a WebSocket at `/ws`.
///
/// # Panics
/// If it cannot be opened.
pub async fn web_socket(to: SocketAddr, endpoint: &str) -> WebSocket {
    let socket = TcpStream::connect(to).await.expect("the shared port accepts");
    let opening = tokio_tungstenite::client_async(format!("ws://{endpoint}.localhost/ws"), socket);
    let opened = tokio::time::timeout(PATIENCE, opening).await.expect("it is answered");
    opened.expect("it is upgraded").0
}
