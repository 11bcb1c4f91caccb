//! Is the model ready? One question, asked as a Kubernetes probe says.
//!
//! Not here: how often it is asked, and what follows (`readiness.rs`).

use std::fmt;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forward::{Exchange, LooseEnds, Pool, PoolOptions, Protocol, RequestBody, Timeouts, Trust};
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// How to ask, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The question.
    pub question: Question,
    /// The longest an answer may take.
    pub timeout: Duration,
    /// How often it is asked of a model that is ready.
    pub period: Duration,
    /// Good answers in a row that make it ready.
    pub successes: u32,
    /// Bad answers in a row that make it unready.
    pub failures: u32,
}

/// The question itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Does it accept a connection?
    Tcp(SocketAddr),
    /// Does it answer a GET with 200 to 399?
    Http {
        /// Whom to ask.
        address: SocketAddr,
        /// Path and query.
        path: Uri,
        /// Headers to send; `host` if one is wanted.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// Does its gRPC health service say SERVING?
    Grpc {
        /// Whom to ask.
        address: SocketAddr,
        /// Of which service; empty for the whole.
        service: String,
    },
    /// Does a command end with 0?
    Exec(Vec<String>),
    /// Whatever the program around this one asks in its own way.
    Own(Asker),
}

/// A question that the program around this one asks in its own way, as a command that it runs with what it knows. Dropped
/// in the middle when there is no answer in time: then nothing of it may stay behind.
#[derive(Clone)]
pub struct Asker(Arc<dyn Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync>);

impl Asker {
    /// Asks by `ask`, each time.
    pub fn new(ask: impl Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl PartialEq for Asker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Asker {}

/// Why the model is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It cannot be asked.
    #[error("{0}")]
    NoAnswer(String),
    /// It says no.
    #[error("it answered {0}")]
    Says(String),
}

impl Probe {
    /// A connect, with Kubernetes' numbers.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::asking(Question::Tcp(address))
    }

    fn asking(question: Question) -> Self {
        let second = Duration::from_secs(1);
        Self { question, timeout: second, period: 10 * second, successes: 1, failures: 3 }
    }

    /// From the JSON of a Kubernetes probe. A port that is not given is the upstream's, and so is the host.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn parse(json: &str, upstream: SocketAddr) -> Result<Self, String> {
        let said: Said = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let handlers = [said.http_get.is_some(), said.tcp_socket.is_some(), said.grpc.is_some(), said.exec.is_some()];
        if handlers.into_iter().filter(|is_there| *is_there).count() != 1 {
            return Err("needs exactly one of httpGet, tcpSocket, grpc, exec".to_owned());
        }
        let question = if let Some(http) = said.http_get {
            http.question(upstream)?
        } else if let Some(tcp) = said.tcp_socket {
            Question::Tcp(SocketAddr::new(upstream.ip(), port(tcp.port, upstream)?))
        } else if let Some(grpc) = said.grpc {
            let address = SocketAddr::new(upstream.ip(), port(grpc.port, upstream)?);
            Question::Grpc { address, service: grpc.service.unwrap_or_default() }
        } else {
            let command = said.exec.map(|exec| exec.command).unwrap_or_default();
            if command.is_empty() {
                return Err("exec has no command".to_owned());
            }
            Question::Exec(command)
        };
        // 0 is "not given", as Kubernetes' own defaulting has it.
        let seconds = |given: Option<u32>, default: Duration| match given {
            Some(seconds) if 0 < seconds => Duration::from_secs(seconds.into()),
            _ => default,
        };
        let count = |given: Option<u32>, default| given.filter(|count| 0 < *count).unwrap_or(default);
        let by_default = Self::asking(question);
        Ok(Self {
            timeout: seconds(said.timeout_seconds, by_default.timeout),
            period: seconds(said.period_seconds, by_default.period),
            successes: count(said.success_threshold, by_default.successes),
            failures: count(said.failure_threshold, by_default.failures),
            ..by_default
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// With why it is not.
    pub async fn ask(&self) -> Result<(), NotReady> {
        let answer = async {
            match &self.question {
                Question::Tcp(address) => connect(*address).await,
                Question::Http { address, path, headers } => get(*address, path, headers).await,
                Question::Grpc { address, service } => health_of(*address, service).await,
                Question::Exec(command) => run(command).await,
                Question::Own(asker) => (asker.0)().await,
            }
        };
        timeout(self.timeout, answer).await.unwrap_or(Err(NotReady::TimedOut(self.timeout)))
    }
}

async fn connect(address: SocketAddr) -> Result<(), NotReady> {
    TcpStream::connect(address).await.map(drop).map_err(|error| NotReady::NoAnswer(error.to_string()))
}

async fn get(address: SocketAddr, path: &Uri, headers: &[(HeaderName, HeaderValue)]) -> Result<(), NotReady> {
    let mut request = Request::new(RequestBody::whole(Bytes::new()));
    *request.uri_mut() = path.clone();
    request.headers_mut().extend(headers.iter().cloned());
    let answer = answer(address, Protocol::Http1, request).await?;
    let status = answer.status();
    if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(NotReady::Says(status.to_string())) }
}

/// `grpc.health.v1.Health/Check`. Its two messages have one field each, so they are written and read by hand.
async fn health_of(address: SocketAddr, service: &str) -> Result<(), NotReady> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, a string: refused above 127 bytes, so that its length is one byte.
        let length = u8::try_from(service.len()).ok().filter(|length| *length < 128);
        let length = length.ok_or_else(|| NotReady::NoAnswer("the service's name is too long".to_owned()))?;
        message.extend([0x0a, length]);
        message.extend(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or_default();
    let framed = [&[0][..], &length.to_be_bytes(), &message].concat();
    let mut request = Request::new(RequestBody::whole(framed));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let answer = answer(address, Protocol::H2c, request).await?;
    let status_in_head = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await.map_err(|error| NotReady::NoAnswer(error.to_string()))?;
    let status = status_in_head.or_else(|| body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()));
    if status.as_ref().is_none_or(|status| status != "0") {
        return Err(NotReady::Says(format!("grpc-status {status:?}")));
    }
    // Field 1, an enumeration: SERVING is 1.
    match body.to_bytes().get(5..) {
        Some([0x08, 1, ..]) => Ok(()),
        other => Err(NotReady::Says(format!("not SERVING ({other:?})"))),
    }
}

/// On a connection of its own, as the kubelet asks: a kept one would say nothing about new ones.
async fn answer(
    address: SocketAddr,
    protocol: Protocol,
    mut request: Request<RequestBody>,
) -> Result<http::Response<forward::Body<()>>, NotReady> {
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static("rouse-probe"));
    if !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(&address.to_string())
    {
        headers.insert(HOST, host);
    }
    let pool = Pool::new(address, PoolOptions::nearby(protocol));
    let answer = Exchange::own(request).send(&pool, Timeouts::default(), Trust::MODEL).await;
    let answer = answer.map_err(|error| NotReady::NoAnswer(error.failure.to_string()))?;
    Ok(answer.into_response((), &LooseEnds::new()))
}

async fn run(command: &[String]) -> Result<(), NotReady> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let status = command.status().await.map_err(|error| NotReady::NoAnswer(format!("{program}: {error}")))?;
    if status.success() { Ok(()) } else { Err(NotReady::Says(status.to_string())) }
}

/// A Kubernetes probe as it is written. Where its own sidecar runs it, the delay before the first question means
/// nothing: it is asked from the start, and held requests go the moment it is answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    http_get: Option<SaidHttp>,
    tcp_socket: Option<SaidTcp>,
    grpc: Option<SaidGrpc>,
    exec: Option<SaidExec>,
    timeout_seconds: Option<u32>,
    period_seconds: Option<u32>,
    success_threshold: Option<u32>,
    failure_threshold: Option<u32>,
    #[serde(rename = "initialDelaySeconds")]
    _initial_delay_seconds: Option<u32>,
    #[serde(rename = "terminationGracePeriodSeconds")]
    _termination_grace_period_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SaidHttp {
    path: Option<String>,
    port: Option<SaidPort>,
    scheme: Option<String>,
    #[serde(rename = "host")]
    _host: Option<String>,
    #[serde(default)]
    http_headers: Vec<SaidHeader>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidTcp {
    port: Option<SaidPort>,
    #[serde(rename = "host")]
    _host: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidGrpc {
    port: Option<SaidPort>,
    service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidExec {
    #[serde(default)]
    command: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct SaidHeader {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SaidPort {
    Number(u16),
    Name(String),
}

impl SaidHttp {
    fn question(self, upstream: SocketAddr) -> Result<Question, String> {
        if self.scheme.as_deref().is_some_and(|scheme| !scheme.eq_ignore_ascii_case("http")) {
            return Err("the scheme may only be HTTP: the probe does not leave the pod".to_owned());
        }
        let path = self.path.unwrap_or_default();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let path: Uri = path.parse().map_err(|error| format!("path {path:?}: {error}"))?;
        let header = |SaidHeader { name, value }: SaidHeader| {
            let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value));
            if let (Ok(name), Ok(value)) = parsed { Ok((name, value)) } else { Err(format!("header {name:?}")) }
        };
        let headers = self.http_headers.into_iter().map(header).collect::<Result<_, String>>()?;
        let address = SocketAddr::new(upstream.ip(), port(self.port, upstream)?);
        Ok(Question::Http { address, path, headers })
    }
}

fn port(said: Option<SaidPort>, upstream: SocketAddr) -> Result<u16, String> {
    match said {
        None | Some(SaidPort::Number(0)) => Ok(upstream.port()),
        Some(SaidPort::Number(port)) => Ok(port),
        Some(SaidPort::Name(name)) => {
            name.parse().map_err(|_| format!("port {name:?} is a name; here it must be a number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9000))
    }

    #[test]
    fn a_probe_of_kubernetes_is_understood() {
        let json = r#"{"httpGet":{"path":"v1/models/m?x=1","port":8081,"scheme":"HTTP","httpHeaders":[{"name":"X-A","value":"b"}]},
            "initialDelaySeconds":5,"periodSeconds":2,"timeoutSeconds":0,"successThreshold":2,"failureThreshold":4}"#;
        let probe = Probe::parse(json, upstream()).unwrap();
        let Question::Http { address, path, headers } = &probe.question else { panic!("{probe:?}") };
        assert_eq!((address.port(), path.to_string()), (8081, "/v1/models/m?x=1".to_owned()));
        assert_eq!(headers, &[("x-a".parse().unwrap(), "b".parse().unwrap())]);
        assert_eq!((probe.period.as_secs(), probe.timeout.as_secs(), probe.successes, probe.failures), (2, 1, 2, 4));
        let tcp = Probe::parse(r#"{"tcpSocket":{"port":"9000"}}"#, upstream()).unwrap();
        assert_eq!(tcp, Probe::tcp(upstream()));
    }

    #[test]
    fn a_probe_that_cannot_be_is_refused_with_the_reason() {
        let fault = |json| Probe::parse(json, upstream()).unwrap_err();
        assert_eq!(fault("{}"), "needs exactly one of httpGet, tcpSocket, grpc, exec");
        assert_eq!(fault(r#"{"tcpSocket":{"port":"web"}}"#), "port \"web\" is a name; here it must be a number");
        assert!(fault(r#"{"tcpsocket":{}}"#).starts_with("unknown field `tcpsocket`"));
        assert!(fault(r#"{"httpGet":{"scheme":"HTTPS"}}"#).starts_with("the scheme may only be HTTP"));
    }

    #[tokio::test]
    async fn a_command_says_by_its_code() {
        let ask = async |code: &str| {
            let command = ["sh", "-c", code].map(str::to_owned).to_vec();
            Probe::asking(Question::Exec(command)).ask().await
        };
        assert!(ask("exit 0").await.is_ok());
        assert_eq!(ask("exit 3").await.unwrap_err().to_string(), "it answered exit status: 3");
    }
}
