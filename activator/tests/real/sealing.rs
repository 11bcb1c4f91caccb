//! The promise before the last replica goes.

use wire::{Down, Lead, Outcome, Verdict};

use crate::client::Request;
use crate::replica::Replica;
use crate::world::World;

/// A request that comes while nothing may be forwarded; `then` says what ends that.
async fn held_while(world: &World, then: impl Future<Output = ()>) -> String {
    let so_far = world.autoscaler.heard().len();
    let ending = async {
        world.until_held(1).await;
        world.autoscaler.hears_wake_after(so_far).await;
        then.await;
    };
    let (answer, ()) = tokio::join!(world.send(Request::get("/")), ending);
    answer.body
}

#[tokio::test]
async fn a_promise_is_given_when_nothing_is_here_and_what_comes_then_is_held_until_it_is_released() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    assert_eq!(world.get("/").await.body, "a");
    world.autoscaler.asks_for_a_promise(1);
    assert_eq!(world.autoscaler.hears_verdict(1).await, Verdict::Sealed);
    let released = held_while(&world, async {
        assert_eq!(replica.begun().len(), 1, "forwarded against its promise");
        world.autoscaler.ends_promise(1, Outcome::Released);
    });
    assert_eq!(released.await, "a");
}

#[tokio::test]
async fn a_promise_is_refused_while_a_request_is_here_and_for_a_leadership_that_is_over() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let asking = async {
        world.until_in_flight(1).await;
        world.autoscaler.asks_for_a_promise(1);
        assert_eq!(world.autoscaler.hears_verdict(1).await, Verdict::Veto);
        replica.let_go(1);
    };
    let (answer, ()) = tokio::join!(world.get("/wait"), asking);
    assert_eq!(answer.body, "a");
    world.until_in_flight(0).await;
    world.autoscaler.say(Down::Lead(Lead { leading: true, epoch: 7 }));
    world.autoscaler.asks_at(6, 2);
    assert_eq!(world.autoscaler.hears_verdict_at(6, 2).await, Verdict::Outdated);
    world.autoscaler.asks_at(7, 1);
    assert_eq!(world.autoscaler.hears_verdict_at(7, 1).await, Verdict::Sealed);
}

#[tokio::test]
async fn after_a_promise_that_was_used_only_a_replica_that_answers_anew_gets_what_was_held() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    assert_eq!(world.get("/").await.body, "a");
    world.autoscaler.asks_for_a_promise(1);
    assert_eq!(world.autoscaler.hears_verdict(1).await, Verdict::Sealed);
    replica.become_unready();
    let held = held_while(&world, async {
        world.autoscaler.ends_promise(1, Outcome::Committed);
        let so_far = world.autoscaler.heard().len();
        world.autoscaler.hears_wake_after(so_far).await;
        world.autoscaler.hears_wake_after(so_far + 2).await;
        assert_eq!(replica.begun().len(), 1, "an old probe was believed");
        replica.become_ready();
    });
    assert_eq!(held.await, "a");
}

#[tokio::test]
async fn a_promise_whose_end_is_never_heard_ends_by_itself() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    assert_eq!(world.get("/").await.body, "a");
    world.autoscaler.asks_for_a_promise(1);
    assert_eq!(world.autoscaler.hears_verdict(1).await, Verdict::Sealed);
    assert_eq!(held_while(&world, async {}).await, "a");
}
