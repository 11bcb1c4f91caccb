//! The admin port: health, metrics, numbers for people, and the kubelet's hooks.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use daemon::{Readiness, Token};
use forward::{ByClass, Class};
use prometheus::Registry;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::shared::Shared;

/// How often it is looked whether everything has ended, for who waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// How much later than the hook of the model's container that of the sidecar may come.
const LEAVE_COMES: Duration = Duration::from_secs(1);

/// What `/stats` says. Counters are cumulative since `incarnation` began.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    incarnation: String,
    elapsed_seconds: f64,
    requests: u64,
    proxied_requests: u64,
    concurrency_seconds: f64,
    proxied_concurrency_seconds: f64,
    in_flight: u32,
    upgraded: u32,
    held: u32,
    foreign: u32,
    ready: bool,
    leaving: bool,
    settings_generation: u64,
}

/// `token`: what the kubelet's hook of another container brings, which comes from the node. What changes nothing is
/// answered to everyone.
pub(crate) fn routes(
    shared: Arc<Shared>,
    registry: Registry,
    drain: ByClass<Duration>,
    token: Option<Token>,
) -> Router {
    let asked = shared.clone();
    let readiness: Readiness = Arc::new(move || {
        if asked.is_leaving() {
            Err("leaving".to_owned())
        } else if asked.readiness.is_ready() {
            Ok(())
        } else {
            Err("the model does not answer its probe".to_owned())
        }
    });
    let hooks = Router::new()
        .route("/leave", post(leave))
        .route("/drained", get(async move |State(shared): State<Arc<Shared>>| drained(&shared, drain).await));
    let hooks = daemon::from_loopback_or_with(hooks.with_state(shared.clone()), token);
    daemon::basic_routes(registry, readiness)
        .merge(Router::new().route("/stats", get(stats)).with_state(shared))
        .merge(hooks)
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<Stats> {
    let foreign = shared.foreign().await.unwrap_or(0);
    let (reading, held) = shared.gate.read();
    let seconds = |micros: u64| micros as f64 / 1e6;
    Json(Stats {
        incarnation: format!("{:?}", shared.incarnation),
        elapsed_seconds: seconds(reading.elapsed_us),
        requests: reading.requests,
        proxied_requests: reading.proxied_requests,
        concurrency_seconds: seconds(reading.concurrency_us()),
        proxied_concurrency_seconds: seconds(reading.proxied_concurrency_us()),
        in_flight: reading.in_flight,
        upgraded: reading.upgraded,
        held,
        foreign,
        ready: shared.readiness.is_ready(),
        leaving: shared.is_leaving(),
        settings_generation: shared.generation(),
    })
}

/// The sidecar's own preStop. Answers at once: the drain goes on, and the kubelet's SIGTERM comes when it comes.
async fn leave(State(shared): State<Arc<Shared>>) -> &'static str {
    shared.leaving.cancel();
    "leaving\n"
}

/// The preStop of the model's container: answers when nothing is at the model, or what is there has reached the limit of
/// its class.
///
/// It also comes when only the container is restarted, by its liveness probe. So it makes nobody leave: what comes is
/// held until the model is back. If the pod is leaving, what still comes is served, for there is no other chance; and the
/// model stays until nothing can come any more. Both hooks of a pod are run at once, so which of the two it is, is known a
/// moment later.
async fn drained(shared: &Shared, limits: ByClass<Duration>) -> &'static str {
    let _follows = shared.drain_followers.token();
    let asked = Instant::now();
    if !shared.is_leaving() {
        shared.readiness.going(&shared.gate);
    }
    let mut nothing_comes = false;
    loop {
        let leaving = shared.is_leaving();
        if leaving {
            shared.readiness.not_going();
        }
        // What waits in the line of one that leaves will be at the model too.
        let there = if leaving { shared.ends.in_flight() } else { shared.at_model() };
        let waits_for = |class: Class| 0 < there[class] && asked.elapsed() < limits[class];
        match there == ByClass::default() {
            true if nothing_comes => return "drained\n",
            false if !Class::ALL.into_iter().any(waits_for) => return "still at work\n",
            true | false => {}
        }
        // Of what connected last, the head is read within one look.
        nothing_comes = if leaving { shared.closed.is_cancelled() } else { LEAVE_COMES <= asked.elapsed() };
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use daemon::Clock;
    use http::{Method, Request};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Config, QueueProxy};

    #[tokio::test]
    async fn what_changes_something_is_not_done_for_whoever_reaches_the_port() {
        let config = Config::local(([127, 0, 0, 1], 9).into());
        let shared = QueueProxy::bind(config, Clock::start()).unwrap().shared;
        let token = Token::new("a-token-of-this-pod").unwrap();
        let routes = routes(shared.clone(), Registry::new(), ByClass::all(Duration::ZERO), Some(token));
        let answer = async |method: Method, path: &str, token: Option<&str>| {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            // Without a peer: nobody knows where from, so not from here.
            routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        assert_eq!(answer(Method::GET, "/stats", None).await, 200);
        for token in [None, Some("a-token-of-that-pod")] {
            assert_eq!(answer(Method::POST, "/leave", token).await, 403);
            assert_eq!(answer(Method::GET, "/drained", token).await, 403);
        }
        assert!(!shared.is_leaving());
        assert_eq!(answer(Method::POST, "/leave", Some("a-token-of-this-pod")).await, 200);
        assert!(shared.is_leaving());
    }
}
