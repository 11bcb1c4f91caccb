//! Copies of requests: who gets them, and that no client notices.

use std::sync::Arc;

use activator::Budget;
use platform::{Endpoint, Shadow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use units::Percent;

use crate::autoscaler::wake;
use crate::client::Request;
use crate::replica::Replica;
use crate::world::{World, endpoint, revision_key, until, within};

/// What is larger is not copied.
const LARGEST: usize = 1 << 20;

fn shadow(percent: u8) -> Shadow {
    Shadow {
        revision: revision_key("shadow"),
        percent: Percent::new(percent).unwrap(),
        wake: false,
        compare: Some(compare::Rules::default()),
    }
}

fn shadowed(shadow: Shadow) -> Endpoint {
    let mut endpoint = endpoint("model", &[("v1", 100)]);
    endpoint.generation = 2;
    endpoint.shadows = Arc::from([shadow]);
    endpoint
}

/// An endpoint whose requests `v1` answers, and of which `shadow` gets copies.
async fn world(of: Shadow, used: &[&Replica], copied: &[&Replica]) -> World {
    with_copies(World::at_zero().await, of, used, copied).await
}

async fn with_copies(world: World, of: Shadow, used: &[&Replica], copied: &[&Replica]) -> World {
    world.put_replicas("v1", used);
    world.put_replicas("shadow", copied);
    let mut endpoint = shadowed(of);
    if !copied.is_empty() {
        // A copy does not wait until a replica is known to answer, so a request does.
        let mut before = crate::world::endpoint("model", &[("v1", 100), ("shadow", 0)]);
        (before.generation, endpoint.generation) = (2, 3);
        world.put_endpoint(before);
        world.autoscaler.acknowledged("model", 2).await;
        let answer = world.send(Request::get("/warm").header("rouse-tag", "shadow")).await;
        assert_eq!(answer.status.as_u16(), 200);
    }
    let generation = endpoint.generation;
    world.put_endpoint(endpoint);
    world.autoscaler.acknowledged("model", generation).await;
    world
}

/// What was asked of a shadow since it is one.
fn copies(shadow: &Replica) -> Vec<String> {
    shadow.begun().into_iter().filter(|request| !request.ends_with(" /warm")).collect()
}

/// Waits until so many copies ended so.
async fn ended(world: &World, count: u32, outcome: &str) {
    let what = format!("{count} copies that are {outcome}");
    let counted = || world.metric("rouse_shadow_copies_total", outcome);
    until(&what, || (counted() == f64::from(count)).then_some(())).await;
}

async fn compared(world: &World, count: u32, result: &str) {
    let what = format!("{count} answers that are {result}");
    let counted = || world.metric("rouse_shadow_comparisons_total", result);
    until(&what, || (counted() == f64::from(count)).then_some(())).await;
}

#[tokio::test]
async fn a_copy_has_the_whole_body_and_a_mark_and_the_client_gets_the_answer_of_the_other() {
    // They answer with their names, so these two answer alike if they are asked alike.
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    for body in ["", "short", &"long ".repeat(20_000)] {
        let answer = world.send(Request::new("POST", "/v2/models/m/infer").body(body.to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.header("rouse-revision")), (200, "v1"));
    }
    ended(&world, 3, "answered").await;
    compared(&world, 3, "alike").await;
    assert_eq!(used.begun(), ["POST /v2/models/m/infer"; 3]);
    assert_eq!(copies(&copied), ["copy of POST /v2/models/m/infer"; 3]);
    // They are not requests for anybody in `traffic`, nor for their own revision: there it is the one that was none.
    assert_eq!(world.metric("rouse_requests_total", "v1"), 3.0);
    assert_eq!(world.metric("rouse_requests_total", "shadow"), 1.0);
}

#[tokio::test]
async fn answers_that_differ_are_counted_and_a_sample_without_values_is_kept() {
    let (used, copied) = (Replica::ready("one").await, Replica::ready("other").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    for number in 0..40 {
        world.send(Request::new("POST", "/").header("x-request-id", &format!("id-{number}")).body("secret")).await;
        // One after the other, so that the last ones are known.
        compared(&world, number + 1, "different").await;
    }
    let list = world.shadows().await;
    assert!(!list.to_string().contains("secret"), "{list}");
    let compared = &list["shadows"][0]["compared"];
    assert_eq!(
        (&compared["alike"], &compared["different"], &compared["agreement"]),
        (&0.into(), &40.into(), &0.0.into())
    );
    let kept: Vec<_> =
        compared["disagreements"].as_array().unwrap().iter().map(|one| one["requestId"].clone()).collect();
    let last: Vec<_> = (8..40).map(|number| serde_json::Value::from(format!("id-{number}"))).collect();
    assert_eq!(kept, last);
    let differences = &compared["disagreements"][0]["differences"];
    assert_eq!(differences, &serde_json::json!(["another text from character 1 on"]));
}

#[tokio::test]
async fn a_shadow_that_does_not_answer_keeps_no_client_waiting() {
    let (used, copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    used.let_go(3);
    for _ in 0..3 {
        assert_eq!(world.get("/wait").await.status.as_u16(), 200);
    }
    until("copies are at the shadow", || (copies(&copied).len() == 3).then_some(())).await;
    // They count where they are, and nowhere else.
    assert_eq!(world.metric("rouse_in_flight_requests", "shadow"), 3.0);
    until("clients are gone", || (world.metric("rouse_in_flight_requests", "v1") == 0.0).then_some(())).await;
    copied.let_go(3);
    ended(&world, 3, "answered").await;
    assert_eq!(world.metric("rouse_in_flight_requests", "shadow"), 0.0);
}

#[tokio::test]
async fn what_a_shadow_does_wrong_is_counted_and_no_client_sees_it() {
    let (used, mut copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    for (path, outcome) in
        [("/shadow-breaks", "broke"), ("/shadow-fails", "error"), ("/shadow-floods", "answer-too-large")]
    {
        assert_eq!(world.get(path).await.status.as_u16(), 200, "{path}");
        ended(&world, 1, outcome).await;
    }
    // Its connections are gone, and new ones are refused: it waits for another replica as long as a client's request would.
    copied.stop().await;
    assert_eq!(world.get("/").await.status.as_u16(), 200);
    until("a copy waits", || (world.metric("rouse_in_flight_requests", "shadow") == 1.0).then_some(())).await;
}

#[tokio::test]
async fn a_copy_wakes_nobody_unless_it_is_told_to() {
    let used = Replica::ready("used").await;
    let world = world(shadow(100), &[&used], &[]).await;
    assert_eq!(world.get("/").await.status.as_u16(), 200);
    ended(&world, 1, "asleep").await;
    let so_far = world.autoscaler.heard().len();
    world
        .autoscaler
        .hears_after(so_far + 1, "a frame later", |up| matches!(up, wire::Up::Frame(_)).then_some(()))
        .await;
    let heard = world.autoscaler.heard();
    assert!(heard.iter().all(|heard| wake(&heard.said).is_none()), "{heard:?}");
    // Not even a trace of demand, of which an autoscaler could make a replica.
    let of_shadow = |said: &wire::Up| match said {
        wire::Up::Frame(frame) => {
            frame.demands.iter().any(|demand| demand.revision == "shadow" && demand.requests != 0)
        }
        _ => false,
    };
    assert!(!heard.iter().any(|heard| of_shadow(&heard.said)), "{heard:?}");
}

#[tokio::test]
async fn a_copy_that_may_wake_its_shadow_waits_for_it_and_the_client_does_not() {
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    let world = world(Shadow { wake: true, ..shadow(100) }, &[&used], &[]).await;
    assert_eq!(world.get("/").await.status.as_u16(), 200);
    let woken = world.autoscaler.hears_wake_after(0).await;
    assert_eq!((&*woken.revision, woken.held), ("shadow", 1));
    world.put_replicas("shadow", &[&copied]);
    compared(&world, 1, "alike").await;
}

#[tokio::test]
async fn copies_that_wait_for_room_go_when_the_last_replica_goes_and_wake_nobody() {
    let (used, copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    let mut one_at_once = shadowed(shadow(100));
    one_at_once.container_concurrency = units::ConcurrencyLimit::from_field(1);
    one_at_once.generation = 4;
    world.put_endpoint(one_at_once);
    world.autoscaler.acknowledged("model", 4).await;
    used.let_go(2);
    for _ in 0..2 {
        assert_eq!(world.get("/wait").await.status.as_u16(), 200);
    }
    until("one copy waits for the other", || (world.metric("rouse_held_requests", "shadow") == 1.0).then_some(()))
        .await;
    world.put_replicas("shadow", &[]);
    ended(&world, 1, "asleep").await;
    copied.let_go(1);
    ended(&world, 1, "answered").await;
    assert!(world.autoscaler.heard().iter().all(|heard| wake(&heard.said).is_none()));
}

#[tokio::test]
async fn of_a_hundred_requests_exactly_the_percent_is_copied() {
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    let world = world(shadow(30), &[&used], &[&copied]).await;
    for _ in 0..100 {
        world.get("/").await;
    }
    ended(&world, 30, "answered").await;
    compared(&world, 30, "alike").await;
}

#[tokio::test]
async fn what_is_too_large_is_not_copied_and_goes_through_whole() {
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    let answer = world.send(Request::new("POST", "/").body(vec![b'x'; LARGEST + 1])).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, "model ".len() + LARGEST + 1));
    ended(&world, 1, "request-too-large").await;
    assert!(copies(&copied).is_empty());
    // The request fits, and its answer with the name before it does not.
    let answer = world.send(Request::new("POST", "/").body(vec![b'x'; LARGEST])).await;
    assert_eq!(answer.body.len(), "model ".len() + LARGEST);
    ended(&world, 1, "answer-too-large").await;
}

#[tokio::test]
async fn the_more_answers_of_unknown_length_are_too_long_the_fewer_are_read_until_one_fits() {
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    let send = async |path: &str, body: Vec<u8>| {
        world.send(Request::new("POST", path).body(body)).await;
    };
    for number in 1..=9 {
        send("/unknown-length", vec![b'x'; LARGEST]).await;
        ended(&world, number, "answer-too-large").await;
    }
    // They fit, and nobody looks,
    for number in 10..=16 {
        send("/unknown-length", b"short".into()).await;
        ended(&world, number, "answer-too-large").await;
    }
    // but at those that say how long they are.
    send("/", b"short".into()).await;
    ended(&world, 1, "answered").await;
    for number in 2..=4 {
        send("/unknown-length", b"short".into()).await;
        ended(&world, number, "answered").await;
    }
    // Each was asked for all the same.
    assert_eq!(copies(&copied).len(), 20);
}

#[tokio::test]
async fn copies_without_room_are_dropped_and_clients_are_not() {
    let (used, copied) = (Replica::ready("model").await, Replica::ready("model").await);
    // An eighth of it is for copies: room for one or two at once, and not for their bodies.
    let world = World::small(Budget::new(512 << 10)).await;
    let world = with_copies(world, shadow(100), &[&used], &[&copied]).await;
    let large = vec![b'x'; 200 << 10];
    let answer = world.send(Request::new("POST", "/").body(large.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, "model ".len() + large.len()));
    ended(&world, 1, "no-room").await;
    // What they took is free again.
    world.get("/").await;
    ended(&world, 1, "answered").await;
}

#[tokio::test]
async fn of_more_copies_than_may_be_under_way_the_rest_is_dropped() {
    let (used, copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    used.let_go(300);
    for _ in 0..300 {
        assert_eq!(world.get("/wait").await.status.as_u16(), 200);
    }
    ended(&world, 300 - 128, "too-many").await;
    until("as many as may be are there", || (copies(&copied).len() == 128).then_some(())).await;
}

#[tokio::test]
async fn a_request_that_another_replica_takes_in_the_end_is_copied_once() {
    let (tired, used) = (Replica::ready("model").await, Replica::ready("model").await);
    let copied = Replica::ready("model").await;
    let world = world(shadow(100), &[&tired], &[&copied]).await;
    tired.start_nothing();
    let helping = async {
        until("it was refused once", || (!tired.begun().is_empty()).then_some(())).await;
        world.put_replicas("v1", &[&tired, &used]);
    };
    let (answer, ()) = tokio::join!(world.send(Request::new("POST", "/").body("whole")), helping);
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "model whole"));
    // Alike, so the copy had the whole body, once.
    compared(&world, 1, "alike").await;
    assert_eq!(copies(&copied), ["copy of POST /"]);
}

#[tokio::test]
async fn a_connection_that_is_upgraded_is_not_copied() {
    let (used, copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = "GET /upgrade HTTP/1.1\r\nhost: model.default\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut read = [0; 12];
    within("a head", client.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"HTTP/1.1 101");
    world.get("/").await;
    ended(&world, 1, "answered").await;
    assert_eq!(copies(&copied), ["copy of GET /"]);
}

#[tokio::test]
async fn a_shadow_that_becomes_a_target_lets_go_of_its_copies_before_clients_come() {
    let (used, copied) = (Replica::ready("used").await, Replica::ready("copied").await);
    let world = world(shadow(100), &[&used], &[&copied]).await;
    let mut one_at_once = shadowed(shadow(100));
    one_at_once.container_concurrency = units::ConcurrencyLimit::from_field(1);
    one_at_once.generation = 4;
    world.put_endpoint(one_at_once.clone());
    world.autoscaler.acknowledged("model", 4).await;
    used.let_go(3);
    for _ in 0..3 {
        assert_eq!(world.get("/wait").await.status.as_u16(), 200);
    }
    until("one copy hangs, and two wait", || (world.metric("rouse_held_requests", "shadow") == 2.0).then_some(()))
        .await;
    let mut promoted = endpoint("model", &[("v1", 0), ("shadow", 100)]);
    promoted.container_concurrency = one_at_once.container_concurrency;
    promoted.generation = 5;
    world.put_endpoint(promoted);
    world.autoscaler.acknowledged("model", 5).await;
    let answer = world.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-revision")), (200, "shadow"));
    assert_eq!(copies(&copied), ["copy of GET /wait", "GET /"]);
}

#[tokio::test]
async fn a_shadow_that_hangs_takes_nothing_from_another_one() {
    let (used, good) = (Replica::ready("used").await, Replica::ready("used").await);
    let hangs = Replica::ready("hangs").await;
    let world = world(shadow(100), &[&used], &[&hangs]).await;
    let mut both = shadowed(shadow(100));
    let other = Shadow { revision: revision_key("good"), wake: true, ..shadow(100) };
    both.shadows = Arc::from([shadow(100), other]);
    both.generation = 4;
    world.put_replicas("good", &[&good]);
    world.put_endpoint(both);
    world.autoscaler.acknowledged("model", 4).await;
    used.let_go(200);
    good.let_go(200);
    for _ in 0..200 {
        assert_eq!(world.get("/wait").await.status.as_u16(), 200);
    }
    compared(&world, 200, "alike").await;
    assert_eq!(world.metric("rouse_shadow_copies_total", "too-many"), f64::from(200 - 128));
}

#[tokio::test]
async fn what_no_replica_got_no_shadow_gets_though_its_body_was_read() {
    let copied = Replica::ready("copied").await;
    let world = world(shadow(100), &[], &[&copied]).await;
    let refusing = async {
        world.until_held(1).await;
        world.boards.revisions.remove(&revision_key("v1"));
    };
    let request = Request::new("POST", "/").body("to be read away");
    let (answer, ()) = tokio::join!(world.send(request), refusing);
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "revision-missing"));
    // It took no room of those that are copied either.
    assert_eq!(world.metric("rouse_shadow_copies_total", "shadow"), 0.0);
    assert!(copies(&copied).is_empty());
}
