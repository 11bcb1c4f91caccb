//! Which revision, which replica, and what is tried again.

use std::collections::BTreeMap;

use platform::Revision;

use crate::client::{Connection, Request};
use crate::replica::Replica;
use crate::world::{World, endpoint, revision, revision_at, revision_key};

#[tokio::test]
async fn of_a_hundred_requests_each_revision_gets_exactly_its_percent_and_a_tag_chooses() {
    let world = World::empty().await;
    let (stable, candidate) = (Replica::ready("stable").await, Replica::ready("candidate").await);
    world.put_endpoint(endpoint("model", &[("v1", 90), ("v2", 10)]));
    world.boards.revisions.put(revision_key("v1"), revision("v1", &[&stable]));
    world.boards.revisions.put(revision_key("v2"), revision("v2", &[&candidate]));
    world.autoscaler.acknowledged("model", 1).await;
    let mut connection = Connection::open(world.address).await;
    let mut counts = BTreeMap::new();
    for number in 0..200 {
        if number % 7 == 0 {
            let tagged = connection.send(Request::get("/").header("rouse-tag", "v2")).await;
            assert_eq!((&*tagged.body, tagged.header("rouse-revision")), ("candidate", "v2"));
        }
        *counts.entry(connection.send(Request::get("/")).await.body).or_insert(0) += 1;
    }
    assert_eq!(counts, [("stable".to_owned(), 180), ("candidate".to_owned(), 20)].into());

    // The Service of a tag goes the same way; its name says which.
    for host in ["v2-model", "v2-model.default", "v2-model.default.svc.cluster.local:80"] {
        let by_name = connection.send(Request::get("/").header("host", host)).await;
        // By its bare name alone it is no endpoint's on the port that all share.
        let expected = if host == "v2-model" { "" } else { "v2" };
        assert_eq!(by_name.header("rouse-revision"), expected, "{host}");
    }
    let said = connection.send(Request::get("/").header("host", "v2-model.default").header("rouse-tag", "v1")).await;
    assert_eq!(said.header("rouse-revision"), "v1");

    let unknown = connection.send(Request::get("/").header("rouse-tag", "v9")).await;
    assert_eq!((unknown.status.as_u16(), unknown.header("rouse-reason")), (503, "revision-missing"));
    assert!(unknown.body.contains("v9"), "{}", unknown.body);
}

#[tokio::test]
async fn who_finds_its_replica_closed_goes_to_another() {
    let (mut gone, alive) = (Replica::ready("gone").await, Replica::ready("alive").await);
    let world = World::at_zero().await;
    let mut one_at_once = endpoint("model", &[("v1", 100)]);
    one_at_once.generation = 2;
    one_at_once.container_concurrency = units::ConcurrencyLimit::from_field(1);
    world.put_endpoint(one_at_once);
    world.autoscaler.acknowledged("model", 2).await;
    world.put_replicas("v1", &[&gone, &alive]);
    assert_eq!(world.get("/").await.body, "gone", "with so small a limit the first is filled first");
    gone.stop().await;
    let answer = world.send(Request::new("POST", "/").body("once")).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "alive once"));
    assert_eq!(world.metric("rouse_retries_total", "v1"), 1.0);
    assert_eq!(alive.begun(), ["POST /"]);
}

#[tokio::test]
async fn a_closed_replica_that_is_alone_keeps_the_order_of_those_who_wait() {
    let mut gone = Replica::ready("gone").await;
    let alive = Replica::ready("alive").await;
    let world = World::at_zero().await;
    let mut one_at_once = endpoint("model", &[("v1", 100)]);
    one_at_once.generation = 2;
    one_at_once.container_concurrency = units::ConcurrencyLimit::from_field(1);
    world.put_endpoint(one_at_once);
    world.autoscaler.acknowledged("model", 2).await;
    world.put_replicas("v1", &[&gone]);
    assert_eq!(world.get("/").await.body, "gone");
    gone.stop().await;
    let later = async {
        world.until_held(1).await;
        world.send(Request::new("POST", "/second")).await
    };
    let coming = async {
        world.until_held(2).await;
        world.put_replicas("v1", &[&alive]);
    };
    let (first, second, ()) = tokio::join!(world.send(Request::new("POST", "/first")), later, coming);
    assert_eq!((&*first.body, &*second.body), ("alive", "alive"));
    assert_eq!(alive.begun(), ["POST /first", "POST /second"]);
}

#[tokio::test]
async fn what_a_sidecar_did_not_start_is_tried_elsewhere() {
    let (leaving, alive) = (Replica::ready("leaving").await, Replica::ready("alive").await);
    let world = World::with(&[&leaving, &alive]).await;
    leaving.start_nothing();
    for _ in 0..20 {
        let answer = world.send(Request::new("POST", "/").body("whole")).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "alive whole"));
    }
    assert_eq!(alive.begun().len(), 20);
}

#[tokio::test]
async fn a_model_without_a_sidecar_is_not_believed_that_it_did_not_start() {
    let (lying, other) = (Replica::ready("lying").await, Replica::ready("other").await);
    let world = World::with(&[&lying, &other]).await;
    let replicas = [("lying", lying.address), ("other", other.address)];
    world.boards.revisions.put(revision_key("v1"), Revision { sidecars: false, ..revision_at("v1", &replicas) });
    lying.start_nothing();
    let mut refused = 0;
    for _ in 0..20 {
        let answer = world.send(Request::new("POST", "/").body("whole")).await;
        assert_eq!(answer.header("rouse-not-started"), "");
        refused += usize::from(answer.status == 503);
    }
    // Each was begun once, and what it said was passed on.
    let posted = |replica: &Replica| replica.begun().iter().filter(|begun| begun.starts_with("POST")).count();
    assert_eq!((posted(&lying), posted(&lying) + posted(&other)), (refused, 20));
    assert!(0 < refused, "it was never asked");
}

#[tokio::test]
async fn what_a_replica_may_have_begun_is_not_tried_again() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let answer = world.send(Request::new("POST", "/break").body("once")).await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (502, "replica-broke"));
    assert!(answer.body.contains("a: "), "which replica broke is said: {}", answer.body);
    assert_eq!(replica.begun(), ["POST /break"]);
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn a_get_that_meets_the_end_of_a_kept_connection_is_sent_again() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    for _ in 0..2 {
        assert_eq!(world.get("/stale").await.body, "a");
    }
    assert_eq!(
        replica.begun(),
        ["GET /stale"; 3],
        "the second came on the first's connection, and once more on a new one"
    );
}
