//! `/api/v1`: what exists, what was decided and why, for people and for `rouse get`.
//!
//! The shapes are `api::admin`'s; here they are filled from what the tasks have put on the shelf. Nothing is computed
//! that they do not know, and nothing can be changed.

use std::sync::Arc;
use std::time::Duration;

use api::admin;
use axum::extract::{Path as At, Query, State as Of};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use kpa::{Decided, Metric};
use platform::{Path, ReplicaState};
use units::{Moment, RevisionKey};

use crate::ground::Ground;
use crate::outcomes;
use crate::ring::{Wake, WakeEnd};
use crate::series::Point;
use crate::shelf::{Place, Shown, Waits};

/// The routes.
pub(crate) fn routes(ground: Ground) -> Router {
    Router::new()
        .route("/api/v1/endpoints", get(endpoints))
        .route("/api/v1/revisions/{namespace}/{name}", get(revision))
        .route("/api/v1/revisions/{namespace}/{name}/decisions", get(decisions))
        .route("/api/v1/revisions/{namespace}/{name}/wakes", get(wakes))
        .route("/api/v1/revisions/{namespace}/{name}/series", get(series))
        .with_state(ground)
        .merge(live_page())
}

/// The files of the live page, which asks for the rest itself.
fn live_page() -> Router {
    page::LIVE.iter().fold(Router::new(), |routes, asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.content_type),
            (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // The next version is at the same address.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        routes.route(asset.path, get(async move || (headers, asset.body)))
    })
}

type Name = At<(String, String)>;

async fn endpoints(Of(ground): Of<Ground>) -> Json<admin::EndpointList> {
    let endpoints = ground.endpoints.all().iter().map(|endpoint| endpoint_as_shown(&ground, endpoint)).collect();
    Json(admin::EndpointList { endpoints })
}

async fn revision(Of(ground): Of<Ground>, At((namespace, name)): Name) -> Response {
    let key = RevisionKey::new(namespace, name);
    match revision_as_shown(&ground, &key) {
        Some(revision) => Json(revision).into_response(),
        None => unknown(&key),
    }
}

async fn decisions(Of(ground): Of<Ground>, At((namespace, name)): Name) -> Response {
    with_place(&ground, RevisionKey::new(namespace, name), |shown| {
        Json(admin::DecisionList { decisions: shown.decisions.iter().map(decision).collect() }).into_response()
    })
}

async fn wakes(Of(ground): Of<Ground>, At((namespace, name)): Name) -> Response {
    with_place(&ground, RevisionKey::new(namespace, name), |shown| {
        Json(admin::WakeList { wakes: shown.wakes.iter().map(wake).collect() }).into_response()
    })
}

/// `?seconds=60`: only the newest so many, for who looks each second.
#[derive(Debug, serde::Deserialize)]
struct Newest {
    seconds: Option<usize>,
}

async fn series(Of(ground): Of<Ground>, At((namespace, name)): Name, Query(newest): Query<Newest>) -> Response {
    with_place(&ground, RevisionKey::new(namespace, name), |shown| {
        let points = shown.series.points();
        let left_out = newest.seconds.map_or(0, |seconds| points.len().saturating_sub(seconds));
        Json(admin::Series { points: points[left_out..].iter().map(point).collect() }).into_response()
    })
}

fn with_place(ground: &Ground, key: RevisionKey, show: impl FnOnce(&Shown) -> Response) -> Response {
    match ground.shelf.get(&key) {
        Some(place) => show(&place.lock()),
        None => unknown(&key),
    }
}

fn unknown(key: &RevisionKey) -> Response {
    let why = format!("there is no revision {key}; /api/v1/endpoints lists those there are");
    (StatusCode::NOT_FOUND, Json(serde_json::json!({ "error": why }))).into_response()
}

/// As under `/api/v1/endpoints`.
pub(crate) fn endpoint_as_shown(ground: &Ground, endpoint: &platform::Endpoint) -> admin::Endpoint {
    let revisions: Vec<admin::Revision> =
        endpoint.revisions().filter_map(|(revision, _)| revision_as_shown(ground, revision)).collect();
    let of = |name: &str| RevisionKey { namespace: Arc::clone(&endpoint.key.namespace), name: name.into() };
    let period = |name: &str| ground.shelf.get(&of(name))?.lock().ledger.now();
    let in_force = ground.endpoints.in_force(&endpoint.key);
    let targets = &in_force.as_deref().unwrap_or(endpoint).targets;
    let traffic: Vec<admin::Share> = targets.iter().map(share).collect();
    // Of those that clients depend on; shadows come after them.
    let serves = |revision: &&admin::Revision| traffic.iter().any(|share| share.revision == revision.name);
    let states: Vec<admin::State> = revisions.iter().filter(serves).map(|revision| revision.state).collect();
    admin::Endpoint {
        namespace: endpoint.key.namespace.to_string(),
        name: endpoint.key.name.to_string(),
        url: endpoint.own_port.map(|address| format!("http://{address}")),
        hosts: endpoint.hosts.iter().map(ToString::to_string).collect(),
        outcomes: outcomes::as_shown(&traffic, period, admin::time),
        traffic,
        state: liveliest(&states),
        revisions,
    }
}

fn share(target: &platform::Target) -> admin::Share {
    admin::Share {
        revision: target.revision.name.to_string(),
        percent: target.percent.get(),
        tag: target.tag.as_ref().map(ToString::to_string),
    }
}

fn liveliest(states: &[admin::State]) -> admin::State {
    use admin::State::{Active, Draining, Failed, Waking, Zero};
    [Active, Waking, Draining, Failed].into_iter().find(|state| states.contains(state)).unwrap_or(Zero)
}

fn revision_as_shown(ground: &Ground, key: &RevisionKey) -> Option<admin::Revision> {
    let place: Place = ground.shelf.get(key)?;
    let shown = place.lock();
    let facts = Arc::clone(&shown.facts.borrow());
    let endpoint = ground.endpoints.get(&facts.endpoint);
    let last = shown.decisions.last().map(|kept| kept.decision);
    let count = |state| u32::try_from(facts.replicas.iter().filter(|replica| replica.state == state).count()).ok();
    let policy = &shown.settings.policy;
    let stable = last.and_then(|last| last.seen.stable);
    Some(admin::Revision {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        state: state(&facts, &shown),
        path: match endpoint.map_or(Path::Proxied, |endpoint| endpoint.route.path()) {
            Path::Proxied => admin::Path::Proxied,
            Path::Direct => admin::Path::Direct,
        },
        mode: mode(last.is_some_and(|last| last.seen.panicking)),
        because: last.map(|last| last.because.word().to_owned()),
        zero_blocked_by: shown.zero_blocked_by.iter().map(ToString::to_string).collect(),
        reason: shown.failed.as_ref().map(ToString::to_string),
        adopted: facts.adopted || shown.asked_for,
        desired_replicas: last.and_then(|last| last.want).map(|want| want.0),
        ready_replicas: count(ReplicaState::Ready).unwrap_or(u32::MAX),
        starting_replicas: count(ReplicaState::Starting).unwrap_or(u32::MAX),
        demand: admin::Demand {
            metric: match policy.metric {
                Metric::Concurrency => "concurrency".to_owned(),
                Metric::Rps => "rps".to_owned(),
            },
            stable,
            panic: last.and_then(|last| last.seen.panic),
            target: Some(policy.target),
        },
        settings: shown
            .settings
            .settings
            .iter()
            .map(|(knob, set)| {
                let (value, source) = (set.value.clone(), set.source.word().to_owned());
                ((*knob).to_owned(), admin::Setting { value, source })
            })
            .collect(),
        refused_settings: shown.settings.refusals.iter().map(ToString::to_string).collect(),
        replicas: facts
            .replicas
            .iter()
            .map(|replica| admin::Replica {
                name: replica.name.to_string(),
                address: replica.address.map(|address| address.to_string()),
                ready: replica.state == ReplicaState::Ready,
                in_flight: shown.in_flight.get(&replica.name).copied(),
            })
            .collect(),
        outlook: last.zip(shown.waits.as_ref()).map(|(last, waits)| outlook(ground.clock.now(), &last, policy, waits)),
    })
}

fn outlook(now: Moment, last: &kpa::Decision, policy: &kpa::Policy, waits: &Waits) -> admin::Outlook {
    let outlook = kpa::outlook(now, last, policy, &waits.timers, waits.path);
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    let turn = |turn: kpa::Turn| admin::Turn {
        by: turn.by.word().to_owned(),
        stable: turn.stable,
        panic: turn.panic,
        wait_seconds: seconds(turn.wait),
    };
    let obstacle = |obstacle: &kpa::Obstacle| admin::Obstacle {
        what: obstacle.what.word().to_owned(),
        wait_seconds: seconds(obstacle.wait),
    };
    let silent = |(name, since): &(Box<str>, Moment)| admin::Silent {
        name: name.to_string(),
        seconds: now.since(*since).as_secs_f64(),
    };
    admin::Outlook {
        stable_window_seconds: policy.stable_window.as_secs_f64(),
        panic_window_seconds: policy.panic_window.as_secs_f64(),
        more: turn(outlook.more),
        fewer: turn(outlook.fewer),
        zero_in_seconds: seconds(outlook.zero.within),
        before_zero: outlook.zero.obstacles.iter().map(obstacle).collect(),
        silent: waits.silent.iter().map(silent).collect(),
    }
}

/// What a revision is doing, from what is there and what is wanted.
fn state(facts: &platform::Revision, shown: &Shown) -> admin::State {
    let any = |state| facts.replicas.iter().any(|replica| replica.state == state);
    let wants_none = facts.scale().is_none_or(|scale| scale.replicas.is_zero());
    let stays = any(ReplicaState::Starting) || any(ReplicaState::Unready);
    if shown.failed.is_some() {
        admin::State::Failed
    } else if any(ReplicaState::Ready) {
        if shown.sealing || wants_none { admin::State::Draining } else { admin::State::Active }
    } else if stays && !wants_none || shown.wakes.last_is_under_way() {
        admin::State::Waking
    } else if stays || any(ReplicaState::Leaving) {
        admin::State::Draining
    } else if wants_none {
        admin::State::Zero
    } else {
        admin::State::Waking
    }
}

fn mode(panicking: bool) -> admin::Mode {
    if panicking { admin::Mode::Panic } else { admin::Mode::Stable }
}

fn decision(kept: &Decided) -> admin::Decision {
    let Decided { at, until, times, decision } = *kept;
    let kpa::Decision { want, burst_room, because, seen, limits } = decision;
    admin::Decision {
        at: admin::time(at),
        until: admin::time(until),
        times,
        want: want.map(|want| want.0),
        because: because.word().to_owned(),
        sentence: because.sentence().to_owned(),
        burst_room: burst_room.0,
        stable: seen.stable,
        panic: seen.panic,
        ready_replicas: seen.ready.0,
        starting_replicas: seen.starting.0,
        held_requests: seen.held,
        mode: mode(seen.panicking),
        min_replicas: limits.min.0,
        max_replicas: limits.max.map(|max| max.0),
        rate_up_replicas: limits.rate_up.0,
        rate_down_replicas: limits.rate_down.0,
        wait_seconds: limits.wait.map(|wait| wait.as_secs_f64()),
    }
}

fn wake(wake: &Wake) -> admin::Wake {
    let after =
        |moment: Option<Moment>| moment.map(|moment| wake.after(moment)).map(|after: Duration| after.as_secs_f64());
    let ready = wake.end.as_ref().and_then(|(at, end)| (*end == WakeEnd::Ready).then_some(*at));
    admin::Wake {
        at: admin::time(wake.at),
        asked_by: wake.asked_by.to_string(),
        request_id: Some(wake.request_id.to_string()).filter(|id| !id.is_empty()),
        held_requests: wake.held,
        ordered_seconds: after(wake.ordered),
        started_seconds: after(wake.started),
        ready_seconds: after(ready),
        outcome: wake.end.as_ref().map(|(_, end)| end.word().to_owned()),
        reason: wake.end.as_ref().and_then(|(_, end)| match end {
            WakeEnd::Failed(why) => Some(why.to_string()),
            WakeEnd::Ready | WakeEnd::Abandoned => None,
        }),
    }
}

fn point(point: &Point) -> admin::Point {
    let Point { at, rates, p50, p99, levels } = *point;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    admin::Point {
        at: admin::time(at),
        requests_per_second: rates.map(|rates| rates.requests),
        answers_per_second: rates.map(|rates| rates.answers),
        errors_per_second: rates.map(|rates| rates.errors),
        refusals_per_second: rates.map(|rates| rates.refusals),
        p50_seconds: seconds(p50),
        p99_seconds: seconds(p99),
        in_flight: rates.map(|_| levels.in_flight),
        held: rates.map(|_| levels.held),
        stable: levels.stable,
        panic: levels.panic,
        target: Some(levels.target),
        mode: mode(levels.panicking),
        desired_replicas: levels.desired.map(|desired| desired.0),
        ready_replicas: levels.ready,
        starting_replicas: levels.starting,
    }
}

#[cfg(test)]
mod situations;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::stage::toy::{Toy, until};

    /// What a route answers.
    pub(super) async fn ask(toy: &Toy, path: &str) -> (StatusCode, Value) {
        use tower::ServiceExt as _;
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = routes(toy.ground.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_is_shown_with_its_reason_and_its_settings_with_their_source() {
        let mut toy = Toy::new();
        let activator = toy.activator("a").await;
        activator.wake(1).await;
        until("it is up", || toy.world.replicas() == 1).await;
        let (status, revision) = ask(&toy, "/api/v1/revisions/default/v1").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(revision["state"], "active");
        assert_eq!(revision["path"], "proxied");
        assert_eq!(revision["because"], "waking");
        assert_eq!((&revision["desiredReplicas"], &revision["readyReplicas"]), (&1.into(), &1.into()));
        assert_eq!(revision["demand"]["metric"], "concurrency");
        assert_eq!(revision["settings"]["window"], serde_json::json!({ "value": "6s", "source": "deployment" }));
        assert_eq!(revision["replicas"][0]["inFlight"], Value::Null);
        let (_, endpoints) = ask(&toy, "/api/v1/endpoints").await;
        assert_eq!(endpoints["endpoints"][0]["state"], "active");
        assert_eq!(endpoints["endpoints"][0]["revisions"][0], revision);
    }

    #[tokio::test(start_paused = true)]
    async fn rings_are_shown_newest_last() {
        let mut toy = Toy::new();
        let activator = toy.activator("a").await;
        until("something is decided", || toy.because().is_some()).await;
        activator.wake(2).await;
        until("it is up", || toy.world.replicas() == 1).await;
        let (_, decisions) = ask(&toy, "/api/v1/revisions/default/v1/decisions").await;
        let words: Vec<&Value> =
            decisions["decisions"].as_array().unwrap().iter().map(|decision| &decision["because"]).collect();
        assert_eq!(words, ["zero", "waking"]);
        let at = decisions["decisions"][0]["at"].as_str().unwrap();
        assert!(at.len() == "2026-01-02T03:04:05.678Z".len() && at.ends_with('Z'), "{at}");
        let (_, wakes) = ask(&toy, "/api/v1/revisions/default/v1/wakes").await;
        let wake = &wakes["wakes"][0];
        assert_eq!((&wake["askedBy"], &wake["requestId"]), (&"a".into(), &"request-1".into()));
        assert_eq!((&wake["heldRequests"], &wake["outcome"]), (&2.into(), &"served".into()));
        assert!(wake["orderedSeconds"].is_f64() && wake["readySeconds"].is_f64(), "{wake}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_series_only_the_newest_seconds_can_be_asked_for() {
        let mut toy = Toy::new();
        let activator = toy.activator("a").await;
        activator.wake(1).await;
        until("it is up", || toy.world.replicas() == 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        activator.wake(1).await;
        let points = async |query: &str| {
            let (status, series) = ask(&toy, &format!("/api/v1/revisions/default/v1/series{query}")).await;
            assert_eq!(status, StatusCode::OK);
            series["points"].as_array().unwrap().clone()
        };
        let (all, newest) = (points("").await, points("?seconds=2").await);
        assert!(2 < all.len(), "{all:?}");
        assert_eq!(newest, all[all.len() - 2..]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_nobody_knows_is_said_to_be_unknown() {
        let toy = Toy::new();
        let (status, said) = ask(&toy, "/api/v1/revisions/default/v9/wakes").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(said["error"].as_str().unwrap().contains("default/v9"));
    }
}
