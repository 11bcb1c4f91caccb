//! `onUnavailable: fallback`: what a revision that cannot be woken does not serve, another one does.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::{Endpoint, OnUnavailable, Revision, Workload};
use traffic::Sticky;

use crate::choosing::{activator, header, model, replicas};
use crate::client::{Answer, Connection, Request};
use crate::replica::Replica;
use crate::world::{World, revision, revision_key, until, within};

const A_WHILE: Duration = Duration::from_secs(100);

/// Three revisions, of which `v2` is called by `x-beta` too.
fn three(on_unavailable: OnUnavailable) -> Endpoint {
    let shares = [("v1", 60), ("v2", 10), ("v3", 30)];
    Endpoint { on_unavailable, ..model(&shares, &[header("x-beta", "1", 1)], None) }
}

/// With `v2` at zero, and an autoscaler that leads.
async fn with_v2_at_zero(on_unavailable: OnUnavailable, up: &[&Replica]) -> World {
    with(three(on_unavailable), up).await
}

async fn with(endpoint: Endpoint, up: &[&Replica]) -> World {
    let world = activator(endpoint, up).await;
    world.put_replicas("v2", &[]);
    world.autoscaler.leads(1).await;
    world
}

fn beta() -> Request {
    Request::get("/").header("x-beta", "1").header("accept", "application/json")
}

async fn until_held_at(world: &World, revision: &str) {
    let what = format!("one is held for {revision}");
    until(&what, || (world.metric("rouse_held_requests", revision) == 1.0).then_some(())).await;
}

/// A request that waits for `v2` when its start fails.
async fn waits_while_the_start_fails(world: &World, request: Request) -> Answer {
    let failing = async {
        until_held_at(world, "v2").await;
        world.autoscaler.refuses_to_wake("v2", "start-failed", "exit status 1", A_WHILE);
    };
    tokio::join!(world.send(request), failing).0
}

#[track_caller]
fn assert_answered_by(answer: &Answer, revision: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("rouse-revision")), (200, revision), "{answer:?}");
    assert_eq!(answer.body.split(' ').next(), Some(revision), "{answer:?}");
}

#[track_caller]
fn assert_refused(answer: &Answer, reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, reason), "{answer:?}");
}

#[tokio::test]
async fn who_waits_for_a_start_that_fails_and_who_comes_then_goes_to_the_heaviest_that_serves() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let world = with_v2_at_zero(OnUnavailable::Fallback, &[&v1, &v3]).await;
    let sent = "x".repeat(100_000);
    let request = Request::new("POST", "/").header("x-beta", "1").body(sent.clone());
    let waited = waits_while_the_start_fails(&world, request).await;
    assert_answered_by(&waited, "v1");
    assert_eq!(waited.body.len(), "v1 ".len() + sent.len(), "its body is whole");
    assert_answered_by(&world.send(beta()).await, "v1");
    assert_eq!((v1.begun().len(), v3.begun().len()), (2, 0), "each once");
    // It is a request of who answered, and each that was sent on is counted where it could not stay.
    world.until_in_flight(0).await;
    let count = |name, revision| world.metric(name, revision);
    assert_eq!((count("rouse_fallbacks_total", "v2"), count("rouse_fallbacks_total", "v1")), (2.0, 0.0));
    assert_eq!((count("rouse_requests_total", "v2"), count("rouse_requests_total", "v1")), (0.0, 2.0));
    assert_eq!((count("rouse_held_requests", "v2"), count("rouse_in_flight_requests", "v2")), (0.0, 0.0));

    // Where it can start again, it gets what is its own.
    let v2 = Replica::ready("v2").await;
    world.put_replicas("v2", &[&v2]);
    let asking = async { while world.send(beta()).await.body != "v2" {} };
    within("v2 answers again", asking).await;
}

#[tokio::test]
async fn the_shares_of_those_that_serve_are_kept_and_the_heaviest_has_the_rest_at_every_activator() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    for _ in 0..2 {
        let world = with_v2_at_zero(OnUnavailable::Fallback, &[&v1, &v3]).await;
        waits_while_the_start_fails(&world, beta()).await;
        let mut connection = Connection::open(world.address).await;
        let mut turns: BTreeMap<String, u8> = BTreeMap::new();
        for _ in 0..100 {
            let answer = within("an answer", connection.send(Request::get("/"))).await;
            *turns.entry(answer.header("rouse-revision").to_owned()).or_default() += 1;
        }
        assert_eq!(turns, BTreeMap::from([("v1".to_owned(), 70), ("v3".to_owned(), 30)]));
    }
}

#[tokio::test]
async fn who_cannot_be_woken_either_is_passed_over_and_if_nobody_can_its_own_revision_says_why() {
    let [v3] = replicas(["v3"]).await;
    let world = with_v2_at_zero(OnUnavailable::Fallback, &[&v3]).await;
    // Its Deployment is not there.
    world.boards.revisions.put(revision_key("v1"), Revision { workload: Workload::Missing, ..revision("v1", &[]) });
    assert_answered_by(&waits_while_the_start_fails(&world, beta()).await, "v3");
    assert_eq!(world.metric("rouse_fallbacks_total", "v1"), 1.0);

    world.boards.revisions.remove(&revision_key("v3"));
    let asking = async {
        loop {
            let answer = world.send(beta()).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = within("nobody is left", asking).await;
    assert_refused(&refused, "start-failed");
    assert!(refused.body.contains("default/v2 could not be started: exit status 1"), "{}", refused.body);
}

#[tokio::test]
async fn a_revision_that_is_woken_in_the_place_of_another_is_waited_for() {
    let [v3] = replicas(["v3"]).await;
    let world = with_v2_at_zero(OnUnavailable::Fallback, &[&v3]).await;
    world.put_replicas("v1", &[]);
    let v1 = Replica::ready("v1").await;
    let waking = async {
        until_held_at(&world, "v1").await;
        world.put_replicas("v1", &[&v1]);
    };
    let (answer, ()) = tokio::join!(waits_while_the_start_fails(&world, beta()), waking);
    assert_answered_by(&answer, "v1");
}

#[tokio::test]
async fn a_tag_is_a_promise_of_one_revision() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let world = with_v2_at_zero(OnUnavailable::Fallback, &[&v1, &v3]).await;
    let tagged = Request::get("/").header("rouse-tag", "v2");
    assert_refused(&waits_while_the_start_fails(&world, tagged.clone()).await, "start-failed");
    assert_refused(&world.send(tagged).await, "start-failed");
    assert_eq!((v1.begun().len(), v3.begun().len()), (0, 0));
}

#[tokio::test]
async fn a_revision_without_a_percent_takes_nothing_that_is_not_led_there() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let endpoint = model(&[("v1", 0), ("v2", 100), ("v3", 0)], &[header("x-beta", "1", 1)], None);
    let world = with(Endpoint { on_unavailable: OnUnavailable::Fallback, ..endpoint }, &[&v1, &v3]).await;
    assert_refused(&waits_while_the_start_fails(&world, beta()).await, "start-failed");
}

#[tokio::test]
async fn without_it_a_request_is_refused() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let world = with_v2_at_zero(OnUnavailable::Fail, &[&v1, &v3]).await;
    assert_refused(&waits_while_the_start_fails(&world, beta()).await, "start-failed");
    assert_refused(&world.send(beta()).await, "start-failed");
}

#[tokio::test]
async fn a_full_line_and_a_long_wait_send_nobody_on() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let mut endpoint = three(OnUnavailable::Fallback);
    endpoint.queue.max_requests = std::num::NonZeroU32::MIN;
    endpoint.queue.max_wait = Duration::from_millis(500);
    let world = with(endpoint, &[&v1, &v3]).await;
    let beyond = async {
        until_held_at(&world, "v2").await;
        world.send(beta()).await
    };
    let (waited, beyond) = tokio::join!(world.send(beta()), beyond);
    assert_refused(&beyond, "queue-full");
    assert_refused(&waited, "waited-too-long");
    assert_eq!((v1.begun().len(), v3.begun().len()), (0, 0));
}

#[tokio::test]
async fn who_waited_its_longest_with_nobody_there_to_wake_it_goes_where_it_need_not_wait() {
    let [v1, v3] = replicas(["v1", "v3"]).await;
    let mut endpoint = three(OnUnavailable::Fallback);
    endpoint.queue.max_wait = Duration::from_millis(200);
    let world = activator(endpoint, &[&v1, &v3]).await;
    world.put_replicas("v2", &[]);
    // An autoscaler is connected, and does not lead.
    assert_answered_by(&world.send(beta()).await, "v1");
}

#[tokio::test]
async fn waiting_at_one_revision_is_taken_from_what_may_be_waited_at_the_next() {
    let [v3] = replicas(["v3"]).await;
    let mut endpoint = three(OnUnavailable::Fallback);
    endpoint.queue.max_wait = Duration::from_secs(1);
    let world = with(endpoint, &[&v3]).await;
    world.put_replicas("v1", &[]);
    let failing = async {
        // By the activator's own clock it has waited that long.
        let look = |up: &wire::Up| crate::autoscaler::wake(up).filter(|wake| 250 <= wake.oldest_wait_ms);
        world.autoscaler.hears("a wake that is repeated", look).await;
        world.autoscaler.refuses_to_wake("v2", "start-failed", "exit status 1", A_WHILE);
    };
    let (answer, ()) = tokio::join!(world.send(beta()), failing);
    assert_refused(&answer, "waited-too-long");
    let waited = answer.body.split("within ").nth(1).and_then(|rest| rest.split("ms").next());
    let waited: f64 = waited.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("{}", answer.body));
    assert!(waited <= 750.0, "{waited} ms more, after 250 of 1,000");
}

#[tokio::test]
async fn a_client_that_stays_goes_home_when_its_revision_is_back() {
    let [v1, v2, v3] = replicas(["v1", "v2", "v3"]).await;
    let sticky = Some(Sticky::Cookie { name: "session".into(), set: true });
    let mut endpoint = model(&[("v1", 10), ("v2", 80), ("v3", 10)], &[], sticky);
    endpoint.on_unavailable = OnUnavailable::Fallback;
    let world = with(endpoint, &[&v1, &v3]).await;
    // The first turn is the heaviest's; it is given a cookie all the same.
    let answer = waits_while_the_start_fails(&world, Request::get("/")).await;
    assert_answered_by(&answer, "v1");
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    let again = || Request::get("/").header("cookie", &cookie);
    assert_answered_by(&world.send(again()).await, "v1");
    world.put_replicas("v2", &[&v2]);
    let asking = async { while world.send(again()).await.body != "v2" {} };
    within("its own revision answers", asking).await;
}
