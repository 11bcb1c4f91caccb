//! The port that the API server connects to: TLS, HTTP/1.1, and one question.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use daemon::tls::Server;
use daemon::{Clock, Listener};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::review::{self, Told};
use crate::authority::Authority;
use crate::inject::Sidecar;
use crate::token::new_token;

/// Where the API server asks.
pub(crate) const PATH: &str = "/inject";

/// Connections served at once; more wait to be accepted. API servers are few, and keep theirs.
const MAX_CONNECTIONS: usize = 128;

/// How long a handshake or a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may be silent between two questions: longer than an API server keeps one that it does not use, so
/// that none is closed under a question that is just coming.
const IDLE: Duration = Duration::from_secs(120);

/// What a question may be long: an object has 1.5 MiB at most, and comes with some words about it.
const LONGEST_BYTES: usize = 4 << 20;

/// Shows what the authority signs for `name`: anew with each step of it, and long before it expires.
pub(super) async fn show(
    mut authority: watch::Receiver<Option<Arc<Authority>>>,
    clock: Clock,
    tls: Server,
    name: &str,
) -> anyhow::Result<Infallible> {
    loop {
        let Some(signs) = authority.borrow_and_update().clone() else {
            authority.changed().await.context("nobody keeps the authority any more")?;
            continue;
        };
        let leaf = signs.server(&[name], clock.now()).context("signing for the webhook")?;
        tls.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).context("what was signed for the webhook")?;
        info!(generation = signs.generation(), name, "the webhook shows a new certificate");
        let renewal = clock.now().plus(signs.renewal());
        tokio::select! {
            changed = authority.changed() => changed.context("nobody keeps the authority any more")?,
            () = clock.sleep_until(renewal) => {}
        }
    }
}

/// Answers for as long as it is polled. `sidecar` is asked for each pod: an API server keeps its connections for long.
pub(super) async fn serve(
    listener: &Listener,
    tls: &Server,
    sidecar: impl Fn() -> Option<Sidecar> + Clone + Send + Sync + 'static,
    tell: mpsc::Sender<Told>,
) -> anyhow::Result<Infallible> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Dropping `accept` loses nothing: a connection stays in the backlog.
            (stream, peer) = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let (tls, tell, sidecar) = (tls.clone(), tell.clone(), sidecar.clone());
                connections.spawn(async move {
                    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else {
                        debug!(%peer, "a connection to the webhook did not come about");
                        return;
                    };
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
                    let service = service_fn(|request| answer(request, sidecar(), &tell));
                    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                        debug!(%error, %peer, "a connection to the webhook broke");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    sidecar: Option<Sidecar>,
    tell: &mpsc::Sender<Told>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status, why: String| {
        let mut response = Response::new(Full::from(why + "\n"));
        *response.status_mut() = status;
        Ok(response)
    };
    if (request.method(), request.uri().path()) != (&Method::POST, PATH) {
        return refused(StatusCode::NOT_FOUND, format!("here is only POST {PATH}, for the API server"));
    }
    let body = timeout(PATIENCE, Limited::new(request.into_body(), LONGEST_BYTES).collect()).await;
    let Ok(Ok(body)) = body else {
        return refused(StatusCode::BAD_REQUEST, format!("the question did not come in {PATIENCE:?}, or is too long"));
    };
    // Not answered, the pod starts without.
    let (Some(sidecar), Ok(token)) = (sidecar, new_token()) else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "it is not known yet whom a sidecar is to believe".to_owned());
    };
    match review::answer(&body.to_bytes(), &sidecar, &token) {
        Ok(answer) => {
            if let Some(told) = answer.told {
                info!(reason = told.reason, owner = told.owner.name, note = told.note, "answered the webhook");
                // Who has so much to tell has told the most of it.
                let _ = tell.try_send(told);
            }
            let mut response = Response::new(Full::from(answer.review.to_string()));
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            Ok(response)
        }
        Err(why) => {
            warn!(why, "the webhook was asked something that it does not understand");
            refused(StatusCode::BAD_REQUEST, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use certs::{Authority, Use, Valid};
    use daemon::tls::Client;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    const NAME: &str = "rouse-webhook.rouse.svc";

    async fn ask(client: &Client, port: u16, request: String) -> String {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut stream = client.connect(stream, NAME).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end of TLS may be missing: what came counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    fn post(body: &str) -> String {
        let length = body.len();
        format!(
            "POST {PATH}?timeout=3s HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn the_api_server_is_answered_within_tls_by_what_holds_at_that_moment() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (port, tls, authority) = (listener.address().port(), Server::default(), Authority::new());
        let leaf = authority.issue(NAME, Use::Server, Valid::Now);
        tls.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
        let (knows, known) = watch::channel(None::<Sidecar>);
        let (tell, mut told) = mpsc::channel(1);
        let mut server = JoinSet::new();
        server.spawn(async move { serve(&listener, &tls, move || known.borrow().clone(), tell).await });
        let client = Client::default();
        client.believe(authority.pem().as_bytes()).unwrap();

        let pod = json!({
            "kind": "Pod",
            "metadata": {
                "labels": { "rouse.dev/inject": "true" },
                "ownerReferences": [{ "kind": "ReplicaSet", "name": "m-1", "uid": "u", "controller": true }],
            },
            "spec": { "hostNetwork": true, "containers": [{ "name": "m", "ports": [{ "containerPort": 8080 }] }] },
        });
        let asked = json!({ "request": { "uid": "uid-1", "namespace": "shop", "object": pod } }).to_string();
        let early = ask(&client, port, post(&asked)).await;
        assert!(early.starts_with("HTTP/1.1 503 "), "{early}");

        knows.send_replace(Some(Sidecar::of("queue-proxy:1", "rouse", "cluster.local", 8081)));
        let answer = ask(&client, port, post(&asked)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((&body["response"]["uid"], &body["response"]["allowed"]), (&json!("uid-1"), &json!(true)));
        assert_eq!(told.recv().await.unwrap().reason, "SidecarLeftOut");

        let nonsense = ask(&client, port, post("{}")).await;
        assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
        let elsewhere = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
        assert!(ask(&client, port, elsewhere).await.starts_with("HTTP/1.1 404 "));
    }
}
