//! One question to an admin port.

use std::time::Duration;

use anyhow::{Context as _, bail};
use daemon::Unavailable;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::cluster::Way;

/// The answer is made at once from memory; who takes longer is stuck, or its machine is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far above thousands of revisions.
const MOST_BYTES: usize = 64 << 20;

/// An admin port.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    place: Place,
    patience: Duration,
}

/// Where an admin port is.
#[derive(Clone, Debug)]
enum Place {
    At {
        host: String,
        port: u16,
    },
    /// That of the autoscaler that leads in a cluster.
    Leader(Way),
}

/// What bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Server {
    /// From `http://HOST:PORT`, or only `HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|host| !host.is_empty())?;
        let place = Place::At { host: host.to_owned(), port: uri.port_u16().unwrap_or(80) };
        plain.then_some(Self { place, patience: PATIENCE })
    }

    /// That of the autoscaler that leads in a cluster.
    pub(crate) fn leader(way: Way) -> Self {
        Self { place: Place::Leader(way), patience: PATIENCE }
    }

    /// The same, with which one has so much patience.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where it is, for people.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::At { host, port } => format!("http://{host}:{port}"),
            Place::Leader(way) => way.name(),
        }
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        match &self.place {
            Place::At { host, port } => {
                // An address of version 6 stands in brackets in a URL, and without them everywhere else.
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let connected = TcpStream::connect((host, *port)).await;
                Ok(Box::new(connected.map_err(|error| self.silent(&error.to_string()))?))
            }
            Place::Leader(way) => way.connect().await,
        }
    }

    /// What it answers to a path.
    ///
    /// # Errors
    /// [`Unavailable`] if nothing answers, or nothing that is an admin port.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        match self.find(path).await? {
            Some(value) => Ok(value),
            None => Err(self.stranger("404")),
        }
    }

    /// The same; `None` if there is no such thing.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match tokio::time::timeout(self.patience, self.ask(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent(&format!("no answer within {} s", self.patience.as_secs()))),
        }
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.silent(&error.to_string()))?;
        let authority = match &self.place {
            Place::At { host, port } => format!("{host}:{port}"),
            Place::Leader(_) => "localhost".to_owned(),
        };
        let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new())?;
        // The sender goes with the exchange: that ends the connection, which is only driven here. Its faults show in the
        // exchange.
        let exchange = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            hyper::Result::Ok((head.status, Limited::new(body, MOST_BYTES).collect().await))
        };
        let (exchanged, _) = tokio::join!(exchange, connection);
        let (status, body) = exchanged.map_err(|error| self.stranger(&error.to_string()))?;
        let body = body.map_err(|error| self.stranger(&error.to_string()))?.to_bytes();
        match status {
            StatusCode::OK => {
                let value = serde_json::from_slice(&body).map_err(|_| self.stranger("an answer that is not JSON"))?;
                Ok(Some(value))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("{} answers {status}: {}", self.name(), String::from_utf8_lossy(&body).trim()),
        }
    }

    fn silent(&self, why: &str) -> anyhow::Error {
        let hint = match &self.place {
            Place::At { .. } => {
                "; is `rouse up` running? If its admin port is elsewhere, say --admin URL; for a cluster say --cluster"
            }
            Place::Leader(_) => "",
        };
        Unavailable(format!("nothing answers at {} ({why}){hint}", self.name())).into()
    }

    fn stranger(&self, what: &str) -> anyhow::Error {
        Unavailable(format!(
            "what answers at {} is not an admin port of Rouse ({what}); say where that is with --admin URL",
            self.name()
        ))
        .into()
    }
}

/// An answer in its own type.
///
/// # Errors
/// If it is of a version that says it otherwise.
pub(crate) fn typed<T: DeserializeOwned>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer).context("the admin port answers in a way that this version does not know")
}
