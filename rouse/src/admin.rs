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
use tokio::net::TcpStream;

/// The answer is made at once from memory; who takes longer is stuck, or its machine is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far above thousands of revisions.
const MOST_BYTES: usize = 64 << 20;

/// Where an admin port is.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    host: String,
    port: u16,
    patience: Duration,
}

impl Server {
    /// From `http://HOST:PORT`, or only `HOST:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|host| !host.is_empty())?;
        plain.then(|| Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), patience: PATIENCE })
    }

    /// The same, with which one has so much patience.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
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
        // An address of version 6 stands in brackets in a URL, and without them everywhere else.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await.map_err(|error| self.silent(&error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.silent(&error.to_string()))?;
        let request = Request::get(path).header(header::HOST, self.authority()).body(Empty::<Bytes>::new())?;
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
            status => bail!("{} answers {status}: {}", self.authority(), String::from_utf8_lossy(&body).trim()),
        }
    }

    fn silent(&self, why: &str) -> anyhow::Error {
        Unavailable(format!(
            "nothing answers at http://{} ({why}); is `rouse up` running? If its admin port is elsewhere, say --admin URL",
            self.authority()
        ))
        .into()
    }

    fn stranger(&self, what: &str) -> anyhow::Error {
        Unavailable(format!(
            "what answers at http://{} is not the admin port of `rouse up` ({what}); say where that is with --admin URL",
            self.authority()
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
