//! The admin port: health, readiness, metrics, and what a program adds.
//!
//! It speaks HTTP/1.1 only, so that a peer which connects and says nothing meets the head's time-out.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, header};
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

use crate::{BindFault, Listener};

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

/// The other end of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

/// Answers these routes to programs on this machine only, and 403 to everyone else. For what tells more than health and
/// numbers: the port may be open to others, so that they can probe and scrape it.
///
/// A browser on this machine also runs what other sites send it, and a site may let its own name point here (DNS
/// rebinding). So the `Host` has to be an address or `localhost`: no other name is anybody's for this port.
pub fn from_loopback_only(routes: Router) -> Router {
    routes.route_layer(from_fn(async |request: Request, next: Next| -> Response {
        // Whoever is not known is not from here.
        let is_from_here = request.extensions().get().is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        match (is_from_here, host.is_none_or(is_nobodys_name)) {
            (true, true) => next.run(request).await,
            (true, false) => {
                forbidden(r#"{"error":"this is told at an address or at localhost only: ask http://127.0.0.1"}"#)
            }
            (false, _) => forbidden(
                r#"{"error":"this is told on loopback only: ask from the same machine, at 127.0.0.1 or [::1]"}"#,
            ),
        }
    }))
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
                    let service = TowerToHyperService::new(to_peer(&routes, peer));
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

/// The routes as a peer sees them.
fn to_peer(routes: &Router, peer: SocketAddr) -> Router {
    routes.clone().layer(Extension(Peer(peer)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

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
            let answer = to_peer(&routes, peer.parse().unwrap()).oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        for here in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(answer(here, "/api/v1/endpoints").await, (200, "[]".to_owned()), "{here}");
        }
        for other in ["192.0.2.7:5", "[2001:db8::7]:5", "[::ffff:192.0.2.7]:5"] {
            let (status, why) = answer(other, "/api/v1/endpoints").await;
            assert_eq!(status, 403, "{other}");
            assert!(why.contains("loopback only"), "{why}");
            for open in ["/healthz", "/readyz", "/metrics"] {
                assert_eq!(answer(other, open).await.0, 200, "{other} {open}");
            }
        }
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
