//! One request: a connection, the exchange, and how it ended.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::engine::Target;
use crate::scenario;

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// `rouse-reason`, where Rouse itself answered.
    pub(crate) refused: Option<String>,
    /// `rouse-revision`: who answered, where Rouse says it.
    pub(crate) revision: Option<String>,
    /// When the first byte of its body was there, or its head if it has none; since the beginning of the load.
    pub(crate) first_byte_at: Duration,
}

/// No complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// No connection could be had: nothing was sent.
    Connect,
    /// The connection ended before the answer did.
    Cut,
    /// It took longer than was allowed.
    TimedOut,
    /// Too many were on their way already.
    NotSent,
    /// It was on its way when the load was stopped.
    Interrupted,
}

impl Failure {
    /// As in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connectFailed",
            Self::Cut => "cut",
            Self::TimedOut => "timedOut",
            Self::NotSent => "notSent",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A server may end a connection that idles, just as it is used again. Nothing is sent on one that idled for longer.
const FRESH: Duration = Duration::from_secs(1);

/// What is asked each time, as it goes out.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Method,
    path: Uri,
    host: HeaderValue,
    bodies: Vec<Bytes>,
}

impl Asked {
    /// # Errors
    /// If the scenario's method or path, or the target's host, cannot stand in a request.
    pub(crate) fn of(request: &scenario::Request, target: &Target) -> anyhow::Result<Self> {
        let path = format!("{}{}", target.prefix, request.path);
        Ok(Self {
            path: path.parse().with_context(|| format!("{path} cannot be asked for"))?,
            method: request.method.parse().with_context(|| format!("{} is no method", request.method))?,
            host: HeaderValue::try_from(&target.host).with_context(|| format!("{} is no host", target.host))?,
            bodies: request.bodies.iter().cloned().map(Bytes::from).collect(),
        })
    }

    /// The `number`th, from 0.
    fn request(&self, number: usize, id: HeaderValue) -> Request<Full<Bytes>> {
        let body = number.checked_rem(self.bodies.len()).and_then(|at| self.bodies.get(at));
        let mut request = Request::new(Full::new(body.cloned().unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert("x-request-id", id);
        if body.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

type Connection = SendRequest<Full<Bytes>>;

/// Connections, the last used first.
#[derive(Debug)]
pub(crate) struct Connections {
    to: SocketAddr,
    /// The longest idle one in front.
    idle: Mutex<VecDeque<(Instant, Connection)>>,
    drivers: TaskTracker,
}

impl Connections {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { to: address, idle: Mutex::default(), drivers: TaskTracker::new() }
    }

    /// Ends them all.
    pub(crate) async fn end(self) {
        drop(self.idle);
        self.drivers.close();
        self.drivers.wait().await;
    }

    /// Sends the `number`th request and reads the whole answer. `begin` is the beginning of the load.
    pub(crate) async fn exchange(
        &self,
        asked: &Asked,
        (number, id): (usize, HeaderValue),
        begin: Instant,
    ) -> Result<Answer, Failure> {
        let mut request = asked.request(number, id);
        while let Some(connection) = self.fresh() {
            match self.exchange_on(connection, request, begin).await {
                Ok(ended) => return ended,
                // It ended while it idled, and nothing was sent: nobody can have begun the request.
                Err(unsent) => request = unsent,
            }
        }
        let connection = self.connect().await?;
        self.exchange_on(connection, request, begin).await.unwrap_or(Err(Failure::Cut))
    }

    /// `Err` gives back a request of which nothing was sent.
    async fn exchange_on(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        begin: Instant,
    ) -> Result<Result<Answer, Failure>, Request<Full<Bytes>>> {
        let answer = match connection.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut failed) => return failed.take_message().map_or(Ok(Err(Failure::Cut)), Err),
        };
        let mut first_byte_at = begin.elapsed();
        let (head, mut body) = answer.into_parts();
        let mut first = true;
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return Ok(Err(Failure::Cut));
            }
            // A stream's head says nothing yet: servers send it before there is anything to say.
            if std::mem::take(&mut first) {
                first_byte_at = begin.elapsed();
            }
        }
        // It may be ready only after the connection has seen that the body ended.
        if connection.ready().await.is_ok() {
            self.idle.lock().push_back((Instant::now(), connection));
        }
        let said = |name| head.headers.get(name).map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        let (refused, revision) = (said("rouse-reason"), said("rouse-revision"));
        Ok(Ok(Answer { status: head.status.as_u16(), refused, revision, first_byte_at }))
    }

    /// The last used one, if it may still be used.
    fn fresh(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while idle.front().is_some_and(|(since, _)| FRESH <= since.elapsed()) {
            idle.pop_front();
        }
        while let Some((_, connection)) = idle.pop_back() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.to).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        // How it ends, the exchange on it says.
        self.drivers.spawn(async move { drop(driver.await) });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_take_turns() {
        let bodies = vec!["[1]".to_owned(), "[2]".to_owned()];
        let request = scenario::Request { bodies, ..scenario::Request::prediction() };
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let target = Target { address, host: "model".to_owned(), prefix: String::new() };
        let asked = Asked::of(&request, &target).unwrap();
        let mut sent = Vec::new();
        for number in 0..3 {
            let request = asked.request(number, HeaderValue::from_static("run-1"));
            sent.push(request.into_body().collect().await.unwrap().to_bytes());
        }
        assert_eq!(sent, ["[1]", "[2]", "[1]"]);
    }
}
