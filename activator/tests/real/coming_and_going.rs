//! Endpoints and revisions that come, change, go, and come again, in any order.

use platform::ReplicaState;
use wire::Verdict;

use crate::client::Request;
use crate::replica::{Replica, reserve};
use crate::world::{World, endpoint, endpoint_key, revision, revision_key, until, within};

/// Asks until it is answered so: what is put on a board is not in force in the same moment.
async fn until_answered(world: &World, body: &str) {
    let asking = async { while world.get("/").await.body != body {} };
    within(&format!("an answer {body:?}"), asking).await;
}

#[tokio::test]
async fn what_goes_and_comes_again_in_any_order_is_served_again() {
    let replicas = [Replica::ready("odd").await, Replica::ready("even").await];
    let world = World::with(&[&replicas[0]]).await;
    assert_eq!(world.get("/").await.body, "odd");
    for round in 1..=20 {
        let replica = &replicas[round % 2];
        // Which feed is read first is not fixed, so every round is another order.
        world.boards.endpoints.remove(&endpoint_key("model"));
        world.boards.revisions.remove(&revision_key("v1"));
        world.put_endpoint(endpoint("model", &[("v1", 100)]));
        world.put_replicas("v1", &[replica]);
        until_answered(&world, &replica.name).await;
    }
}

#[tokio::test]
async fn a_replica_that_is_not_ready_any_more_gets_nothing_until_it_answers_a_probe_anew() {
    let replica = Replica::ready("a").await;
    let world = World::at_zero().await;
    let put = |state| {
        let mut revision = revision("v1", &[&replica]);
        revision.replicas[0].state = state;
        world.boards.revisions.put(revision_key("v1"), revision);
    };
    put(ReplicaState::Ready);
    assert_eq!(world.get("/").await.body, "a");

    replica.become_unready();
    put(ReplicaState::Unready);
    // What is on the board is not in force in the same moment: those who come before are answered.
    let asking = async {
        loop {
            let mut answer = Box::pin(world.get("/"));
            tokio::select! {
                _ = &mut answer => {}
                () = world.until_held(1) => {
                    replica.become_ready();
                    return answer.await.body;
                }
            }
        }
    };
    assert_eq!(within("a request is held, and then answered", asking).await, "a");
}

#[tokio::test]
async fn a_revision_that_comes_again_is_served_though_its_endpoint_never_changed() {
    let (before, after) = (Replica::ready("before").await, Replica::ready("after").await);
    let world = World::with(&[&before]).await;
    assert_eq!(world.get("/").await.body, "before");
    world.boards.revisions.remove(&revision_key("v1"));
    let missing = async { while world.get("/").await.header("rouse-reason") != "revision-missing" {} };
    within("the revision is missing", missing).await;
    world.put_replicas("v1", &[&after]);
    until_answered(&world, "after").await;
}

#[tokio::test]
async fn a_request_counts_also_while_its_revision_goes_and_comes_again() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let going = async {
        world.until_in_flight(1).await;
        world.boards.endpoints.remove(&endpoint_key("model"));
        world.boards.revisions.remove(&revision_key("v1"));
        let gone = async { while world.get("/").await.status != 404 {} };
        within("the endpoint is gone", gone).await;
        world.put_replicas("v1", &[&replica]);
        world.put_endpoint(endpoint("model", &[("v1", 100)]));
        until_answered(&world, "a").await;
        world.autoscaler.asks_for_a_promise(1);
        assert_eq!(world.autoscaler.hears_verdict(1).await, Verdict::Veto, "a promise over the head of a request");
        replica.let_go(1);
    };
    let (answer, ()) = tokio::join!(world.get("/wait"), going);
    assert_eq!(answer.body, "a");
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn a_revision_that_is_gone_leaves_no_series() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    assert_eq!(world.get("/").await.body, "a");
    assert_eq!(world.metric("rouse_requests_total", "v1"), 1.0);
    world.boards.revisions.remove(&revision_key("v1"));
    world.boards.endpoints.remove(&endpoint_key("model"));
    until("its series are gone", || (world.metric("rouse_requests_total", "v1") == 0.0).then_some(())).await;
}

#[tokio::test]
async fn who_waits_for_an_endpoint_that_is_deleted_is_told_so() {
    let world = World::at_zero().await;
    let going = async {
        world.until_held(1).await;
        world.boards.endpoints.remove(&endpoint_key("model"));
        let gone = async { while world.get("/").await.status != 404 {} };
        within("the endpoint is gone", gone).await;
        world.boards.revisions.remove(&revision_key("v1"));
    };
    let (answer, ()) = tokio::join!(world.get("/"), going);
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "endpoint-deleted"));
    assert_eq!(world.metric("rouse_refusals_total", "endpoint-deleted"), 1.0);
    assert_eq!(world.metric("rouse_refusals_total", "model"), 0.0, "it is gone, and counts as nobody's");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_leaves_no_series() {
    let world = World::at_zero().await;
    let answer = world.send(Request::get("/").header("rouse-tag", "none")).await;
    assert_eq!(answer.header("rouse-reason"), "revision-missing");
    assert_eq!(world.metric("rouse_refusals_total", "model"), 1.0);
    world.boards.endpoints.remove(&endpoint_key("model"));
    until("its series are gone", || (world.metric("rouse_refusals_total", "model") == 0.0).then_some(())).await;
}

#[tokio::test]
async fn endpoints_may_change_their_own_ports_and_take_each_others() {
    let world = World::empty().await;
    let replica = Replica::ready("a").await;
    let ports = [reserve().1, reserve().1];
    let put = |name: &str, generation, own_port| {
        let mut endpoint = endpoint(name, &[("v1", 100)]);
        (endpoint.own_port, endpoint.generation) = (Some(own_port), generation);
        world.put_endpoint(endpoint);
    };
    world.boards.revisions.put(revision_key("v1"), revision("v1", &[&replica]));
    put("one", 1, ports[0]);
    put("two", 1, ports[1]);
    world.autoscaler.acknowledged("one", 1).await;
    world.autoscaler.acknowledged("two", 1).await;
    put("one", 2, ports[1]);
    put("two", 2, ports[0]);
    world.autoscaler.acknowledged("one", 2).await;
    world.autoscaler.acknowledged("two", 2).await;
    for (port, own, others) in [(ports[1], "one.default", "two.default"), (ports[0], "two.default", "one.default")] {
        let ask = async |host| within("an answer", Request::get("/").header("host", host).send(port)).await;
        assert_eq!(ask(own).await.status.as_u16(), 200);
        assert_eq!(ask(others).await.status.as_u16(), 421);
    }
    // Gone and here again with the same port, whose listener may not have been closed yet.
    world.boards.endpoints.remove(&endpoint_key("one"));
    put("one", 3, ports[1]);
    world.autoscaler.acknowledged("one", 3).await;
    let ask = Request::get("/").header("host", "one.default").send(ports[1]);
    assert_eq!(within("an answer", ask).await.body, "a");
}

#[tokio::test]
async fn a_revision_told_of_before_its_endpoint_has_the_endpoints_limits() {
    let world = World::empty().await;
    let replica = Replica::starting("a").await;
    world.put_replicas("v1", &[&replica]);
    world.put_endpoint(endpoint("model", &[("v1", 100)]));
    world.autoscaler.acknowledged("model", 1).await;
    let starting = async {
        world.until_held(3).await;
        replica.become_ready();
    };
    let (first, second, third, ()) = tokio::join!(world.get("/"), world.get("/"), world.get("/"), starting);
    for answer in [first, second, third] {
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "a"));
    }
}
