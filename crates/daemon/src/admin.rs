//! The admin port: health, readiness, metrics, and what a program adds.
//!
//! It speaks HTTP/1.1 only, so that a peer which connects and says nothing meets the head's time-out.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::{Encoder as _, IntGauge, Opts, Registry, TextEncoder};
use tokio::task::JoinSet;
use tracing::debug;

use crate::{BindFault, Listener, Problem, Problems, Vars};

/// Connections served at once; more wait to be accepted. A scrape, two probes and a few people are far fewer.
const MAX_CONNECTIONS: usize = 256;

/// How long a head may take, and an idle connection may stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Is the program ready? If not, why not, for a person. Asked at each `/readyz`.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// `/healthz`, `/readyz` and `/metrics`. A program merges its own routes in.
pub fn basic_routes(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || match readiness() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            }),
        )
        .route("/metrics", get(async move || metrics(&registry)))
}

/// Of the connection that a request came on: is its other end on this machine?
#[derive(Clone, Copy, Debug)]
struct FromHere(bool);

/// `met`: the address of ours that it connected to. Who comes from the very same one is on this machine.
fn is_from_here(peer: IpAddr, met: Option<IpAddr>) -> FromHere {
    let peer = peer.to_canonical();
    FromHere(peer.is_loopback() || met.is_some_and(|met| met.to_canonical() == peer))
}

/// A secret that a caller from elsewhere brings, as `Authorization: Bearer …`.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// The fewest characters.
    pub const SHORTEST: usize = 16;

    /// From a setting.
    ///
    /// # Errors
    /// If it is short enough to be guessed, or no header can carry it.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        match text.len() {
            ..Self::SHORTEST => Err("is too short"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err("has a character that no header can carry"),
            _ => Ok(Self(text.into())),
        }
    }

    fn is_brought_by(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(header::AUTHORIZATION).map(|said| said.as_bytes());
        let Some(brought) = said.and_then(|said| said.strip_prefix(b"Bearer ")) else { return false };
        let ours = self.0.as_bytes();
        // To the end in any case: how soon they differ is nobody's business.
        ours.len() == brought.len() && ours.iter().zip(brought).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// Reads `ADMIN_TOKEN`: the token of the admin port, if it has one. Its value is nobody's to read, so it is not said what is
/// wrong with which.
pub fn admin_token(vars: &Vars, problems: &mut Problems) -> Option<Option<Token>> {
    match vars.get("ADMIN_TOKEN").map(Token::new).transpose() {
        Ok(token) => Some(token),
        Err(fault) => {
            problems.add(Problem {
                name: "ADMIN_TOKEN".to_owned(),
                value: None,
                fault: fault.to_owned(),
                allowed: format!("at least {} printable ASCII characters without spaces", Token::SHORTEST),
            });
            None
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Answers these routes to programs on this machine only, and 403 to everyone else. For what tells more than health and
/// numbers, or changes something: the port may be open to others, so that they can probe and scrape it.
///
/// A browser on this machine also runs what other sites send it, and a site may let its own name point here (DNS
/// rebinding). So the `Host` has to be an address or `localhost`: no other name is anybody's for this port.
pub fn from_loopback_only(routes: Router) -> Router {
    from_loopback_or_with(routes, None)
}

/// The same; and answers to whoever brings the token, from wherever, if there is one.
pub fn from_loopback_or_with(routes: Router, token: Option<Token>) -> Router {
    let guard = async |token: Option<Token>, request: Request, next: Next| -> Response {
        if token.as_ref().is_some_and(|token| token.is_brought_by(request.headers())) {
            return next.run(request).await;
        }
        // Whoever is not known is not from here.
        let is_from_here = request.extensions().get().is_some_and(|FromHere(from_here)| *from_here);
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        match (is_from_here, host.is_none_or(is_nobodys_name)) {
            (true, true) => next.run(request).await,
            (true, false) => {
                forbidden(r#"{"error":"this is told at an address or at localhost only: ask http://127.0.0.1"}"#)
            }
            (false, _) if token.is_some() => forbidden(
                r#"{"error":"from elsewhere this needs the token of this port, as `authorization: Bearer TOKEN`"}"#,
            ),
            (false, _) => forbidden(
                r#"{"error":"this is told on loopback only: ask from the same machine, at 127.0.0.1 or [::1]"}"#,
            ),
        }
    };
    routes.route_layer(from_fn(move |request: Request, next: Next| guard(token.clone(), request, next)))
}

/// An address or `localhost`, with or without a port.
fn is_nobodys_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || bare == "localhost" || bare.ends_with(".localhost")
}

fn forbidden(why: &'static str) -> Response {
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/json")], why).into_response()
}

fn metrics(registry: &Registry) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Adds `rouse_build_info{program,version} 1`.
///
/// # Errors
/// If it is there already.
pub fn register_build_info(registry: &Registry, program: &str, version: &str) -> prometheus::Result<()> {
    let options = Opts::new("rouse_build_info", "Always 1; its labels say which build runs.")
        .const_label("program", program)
        .const_label("version", version);
    let info = IntGauge::with_opts(options)?;
    info.set(1);
    registry.register(Box::new(info))
}

/// A bound admin port. Bind first, serve later.
#[derive(Debug)]
pub struct Admin(Listener);

impl Admin {
    /// Takes the port. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(address: SocketAddr) -> Result<Self, BindFault> {
        Listener::bind(address).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Serves until it is dropped, and its connections with it.
    ///
    /// # Errors
    /// None: it only ends with the program. The type is the one that [`crate::Tasks::support`] takes.
    pub async fn serve(self, routes: Router) -> anyhow::Result<Infallible> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // Dropping `accept` loses nothing: a connection stays in the backlog.
                (stream, peer) = self.0.accept(), if connections.len() < MAX_CONNECTIONS => {
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                    let met = stream.local_addr().ok().map(|met| met.ip());
                    let routes = routes.clone().layer(Extension(is_from_here(peer.ip(), met)));
                    let service = TowerToHyperService::new(routes);
                    let connection = http.serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            debug!(%error, %peer, "an admin connection broke");
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// The routes as a peer sees them.
    fn to_peer(routes: &Router, peer: &str) -> Router {
        routes.clone().layer(Extension(is_from_here(peer.parse().unwrap(), Some([10, 0, 0, 5].into()))))
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_tells_health_readiness_and_metrics() {
        let registry = Registry::new();
        register_build_info(&registry, "activator", "1.2.3").unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let seen = ready.clone();
        let readiness: Readiness =
            Arc::new(move || if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("no endpoints yet".into()) });
        let admin = Admin::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = admin.address();
        let extra = Router::new().route("/api/v1/endpoints", get(async || "[]"));
        let mut server = JoinSet::new();
        server.spawn(admin.serve(basic_routes(registry, readiness).merge(extra)));

        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let unready = ask(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503") && unready.ends_with("not ready: no endpoints yet\n"), "{unready}");
        ready.store(true, Ordering::Relaxed);
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("rouse_build_info{program=\"activator\",version=\"1.2.3\"} 1"), "{metrics}");
        assert!(ask(address, "/api/v1/endpoints").await.ends_with("[]"));
    }

    #[tokio::test]
    async fn what_is_for_this_machine_is_refused_to_others_and_the_rest_is_open() {
        use tower::ServiceExt as _;
        let private = from_loopback_only(Router::new().route("/api/v1/endpoints", get(async || "[]")));
        let routes = basic_routes(Registry::new(), Arc::new(|| Ok(()))).merge(private);
        let answer = async |peer: &str, path: &str| {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let answer = to_peer(&routes, peer).oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.5", "::ffff:10.0.0.5"] {
            assert_eq!(answer(here, "/api/v1/endpoints").await, (200, "[]".to_owned()), "{here}");
        }
        for other in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"] {
            let (status, why) = answer(other, "/api/v1/endpoints").await;
            assert_eq!(status, 403, "{other}");
            assert!(why.contains("loopback only"), "{why}");
            for open in ["/healthz", "/readyz", "/metrics"] {
                assert_eq!(answer(other, open).await.0, 200, "{other} {open}");
            }
        }
    }

    #[tokio::test]
    async fn who_brings_the_token_may_come_from_elsewhere() {
        use tower::ServiceExt as _;
        let token = Token::new("a-token-of-this-pod").unwrap();
        let routes = from_loopback_or_with(Router::new().route("/drained", get(async || "drained")), Some(token));
        let answer = async |peer: &str, said: Option<&str>| {
            let mut request = Request::get("/drained");
            if let Some(said) = said {
                request = request.header("authorization", said);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            to_peer(&routes, peer).oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(answer("192.0.2.7", Some("Bearer a-token-of-this-pod")).await, 200);
        assert_eq!(answer("127.0.0.1", None).await, 200);
        for said in [None, Some("Bearer a-token-of-that-pod"), Some("Bearer a-token"), Some("a-token-of-this-pod")] {
            assert_eq!(answer("192.0.2.7", said).await, 403, "{said:?}");
        }
    }

    #[test]
    fn a_token_is_long_enough_fits_a_header_and_is_never_printed() {
        assert!(Token::new("0123456789abcde").is_err() && Token::new("0123456789 abcdef").is_err());
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(…)");
    }

    #[test]
    fn only_an_address_or_localhost_is_a_name_for_this_port() {
        for ours in ["127.0.0.1:8090", "127.0.0.1", "[::1]:8090", "[::1]", "localhost:8090", "rouse.localhost"] {
            assert!(is_nobodys_name(ours), "{ours}");
        }
        for theirs in ["evil.example:8090", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""] {
            assert!(!is_nobodys_name(theirs), "{theirs}");
        }
    }

    #[tokio::test]
    async fn a_site_whose_name_points_here_is_told_nothing() {
        let admin = Admin::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = admin.address();
        let mut server = JoinSet::new();
        server.spawn(admin.serve(from_loopback_only(Router::new().route("/api/v1/endpoints", get(async || "[]")))));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "GET /api/v1/endpoints HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("localhost only"), "{answer}");
    }

    #[tokio::test]
    async fn a_peer_on_loopback_is_known_to_be_one_on_a_port_of_both_versions() {
        let admin = Admin::bind("[::]:0".parse().unwrap()).unwrap();
        let port = admin.address().port();
        let private = from_loopback_only(Router::new().route("/api/v1/endpoints", get(async || "[]")));
        let mut server = JoinSet::new();
        server.spawn(admin.serve(private));
        let told = ask(([127, 0, 0, 1], port).into(), "/api/v1/endpoints").await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    }
}
