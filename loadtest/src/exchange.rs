//! One request: a connection, the exchange, and how it ended.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::engine::Target;
use crate::scenario::Request;

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// `rouse-reason`, where Rouse itself answered.
    pub(crate) refused: Option<String>,
    /// When its head was there, since the beginning of the load.
    pub(crate) head_at: Duration,
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
}

impl Failure {
    /// As in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connectFailed",
            Self::Cut => "cut",
            Self::TimedOut => "timedOut",
            Self::NotSent => "notSent",
        }
    }
}

/// A server may end a connection that idles, just as it is used again. Nothing is sent on one that idled for longer.
const FRESH: Duration = Duration::from_secs(1);

/// Connections, the last used first.
#[derive(Debug)]
pub(crate) struct Connections {
    target: Target,
    idle: Mutex<Vec<(Instant, SendRequest<Full<Bytes>>)>>,
    drivers: TaskTracker,
}

impl Connections {
    pub(crate) fn to(target: Target) -> Self {
        Self { target, idle: Mutex::new(Vec::new()), drivers: TaskTracker::new() }
    }

    /// Ends them all.
    pub(crate) async fn end(self) {
        drop(self.idle);
        self.drivers.close();
        self.drivers.wait().await;
    }

    /// Sends one request and reads the whole answer. `begin` is the beginning of the load.
    pub(crate) async fn exchange(&self, request: &Request, id: &str, begin: Instant) -> Result<Answer, Failure> {
        let mut connection = self.connection().await?;
        let request = self.request(request, id).ok_or(Failure::NotSent)?;
        let answer = connection.send_request(request).await.map_err(|_| Failure::Cut)?;
        let head_at = begin.elapsed();
        let (head, mut body) = answer.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(|_| Failure::Cut)?;
        }
        // It may be ready only after the connection has seen that the body ended.
        if connection.ready().await.is_ok() {
            self.idle.lock().push((Instant::now(), connection));
        }
        let refused = head.headers.get("rouse-reason").and_then(|reason| reason.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: head.status.as_u16(), refused, head_at })
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let mut idle = std::mem::take(&mut *self.idle.lock());
        idle.retain(|(since, connection)| since.elapsed() < FRESH && connection.is_ready());
        let taken = idle.pop();
        self.idle.lock().append(&mut idle);
        match taken {
            Some((_, connection)) => Ok(connection),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.target.address).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        // How it ends, the exchange on it says.
        self.drivers.spawn(async move { drop(driver.await) });
        Ok(sender)
    }

    fn request(&self, request: &Request, id: &str) -> Option<http::Request<Full<Bytes>>> {
        let path = format!("{}{}", self.target.prefix, request.path);
        let mut building = http::Request::builder()
            .method(request.method.as_str())
            .uri(path)
            .header(HOST, self.target.host.as_str())
            .header("x-request-id", id);
        if request.body.is_some() {
            building = building.header(CONTENT_TYPE, "application/json");
        }
        building.body(Full::from(request.body.clone().unwrap_or_default())).ok()
    }
}
