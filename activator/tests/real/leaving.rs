//! An activator that leaves loses nothing of what it has, and says what it cannot finish.

use std::time::Duration;

use activator::ByClass;
use wire::{Down, Up};

use crate::client::{Connection, Request};
use crate::replica::Replica;
use crate::world::{World, until};

async fn at_zero(quiet: Duration, drain: ByClass<Duration>) -> World {
    World::leaving_within(quiet, drain).await.that_is_known().with_a_model().await
}

/// Short for requests.
fn limits() -> ByClass<Duration> {
    ByClass { unary: Duration::from_millis(300), ..ByClass::all(Duration::from_secs(10)) }
}

#[tokio::test]
async fn it_serves_on_and_sends_its_clients_away_until_the_leader_has_taken_it_out_of_every_path() {
    let replica = Replica::ready("a").await;
    let mut world = at_zero(Duration::from_millis(50), ByClass::all(Duration::from_secs(10))).await;
    world.put_replicas("v1", &[&replica]);
    let mut kept = Connection::open(world.address).await;
    assert_eq!(kept.send(Request::get("/")).await.header("connection"), "");
    assert_eq!((world.readiness)(), Ok(()));
    world.begin_draining();
    let said = |up: &Up| matches!(up, Up::Leaving(_)).then_some(());
    world.autoscaler.hears("that it leaves", said).await;
    assert_eq!((world.readiness)(), Err("leaving".to_owned()));
    // Who is still on the way is served, on a kept connection and on a new one.
    assert_eq!(kept.send(Request::get("/")).await.header("connection"), "close");
    let answer = world.get("/").await;
    assert_eq!((&*answer.body, answer.header("connection")), ("a", "close"));
    world.autoscaler.say(Down::Out(wire::Empty {}));
    world.ended().await;
}

#[tokio::test]
async fn who_is_held_at_the_limit_is_told_that_nothing_was_begun() {
    let mut world = at_zero(Duration::ZERO, limits()).await;
    let leaving = async {
        world.until_held(1).await;
        world.begin_draining();
    };
    let (held, ()) = tokio::join!(world.get("/"), leaving);
    assert_eq!((held.status.as_u16(), held.header("rouse-reason")), (503, "leaving"));
    assert!(!held.header("retry-after").is_empty());
    world.ended().await;
    assert_eq!(world.metric("rouse_cut_total", "unary"), 0.0);
}

#[tokio::test]
async fn who_is_at_a_replica_at_the_limit_is_told_so_and_counted_as_cut() {
    let replica = Replica::ready("a").await;
    let mut world = at_zero(Duration::ZERO, limits()).await;
    world.put_replicas("v1", &[&replica]);
    let leaving = async {
        until("it is begun", || (!replica.begun().is_empty()).then_some(())).await;
        world.begin_draining();
    };
    let (begun, ()) = tokio::join!(world.get("/wait"), leaving);
    assert_eq!((begun.status.as_u16(), begun.header("rouse-reason")), (504, "timeout"));
    world.ended().await;
    assert_eq!((world.metric("rouse_cut_total", "unary"), world.metric("rouse_phase", "draining")), (1.0, 1.0));
}
