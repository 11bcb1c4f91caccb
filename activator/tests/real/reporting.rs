//! What autoscalers are told.

use wire::{Frame, Up};

use crate::autoscaler::{Autoscaler, Heard};
use crate::client::Request;
use crate::replica::Replica;
use crate::world::{World, endpoint, endpoint_key, until};

fn frames(heard: &[Heard]) -> Vec<Frame> {
    let frame = |heard: &Heard| match &heard.said {
        Up::Frame(frame) => Some(frame.clone()),
        _ => None,
    };
    heard.iter().filter_map(frame).collect()
}

#[tokio::test]
async fn a_stream_begins_with_a_hello_and_numbered_frames_follow_also_when_they_are_empty() {
    let world = World::empty().await;
    let three = || Some(frames(&world.autoscaler.heard())).filter(|frames| 3 <= frames.len());
    let frames = until("three frames", three).await;
    let Up::Hello(hello) = &world.autoscaler.heard()[0].said else { panic!("the first is no hello") };
    assert_eq!((hello.role(), &*hello.name, &*hello.uid), (wire::Role::Activator, "activator", "activator-uid"));
    assert_ne!(hello.incarnation, 0);
    assert_eq!(frames.iter().map(|frame| frame.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(frames.iter().all(|frame| frame.demands.is_empty()));
    assert!(frames.windows(2).all(|pair| pair[0].elapsed_us < pair[1].elapsed_us));
}

#[tokio::test]
async fn demand_is_counted_over_time_and_never_taken_back() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let demand = |in_flight: u32| {
        let last = frames(&world.autoscaler.heard()).into_iter().flat_map(|frame| frame.demands).next_back();
        last.filter(|demand| demand.in_flight == in_flight && demand.requests == 2)
    };
    let counting = async {
        let during = until("two in flight", || demand(2)).await;
        let later = until("more time", || demand(2).filter(|later| during.concurrency_us < later.concurrency_us)).await;
        replica.let_go(2);
        later
    };
    let (_, _, during) = tokio::join!(world.get("/wait"), world.get("/wait"), counting);
    let after = until("none in flight", || demand(0)).await;
    assert!(during.concurrency_us < after.concurrency_us);
    assert_eq!((&*after.revision, after.held), ("v1", 0));
}

#[tokio::test]
async fn one_frame_tells_of_every_revision_by_itself() {
    let world = World::at_zero().await;
    let mut both = endpoint("model", &[("v1", 50), ("v2", 50)]);
    both.generation = 2;
    world.put_endpoint(both);
    world.autoscaler.acknowledged("model", 2).await;
    let replicas = [Replica::ready("a").await, Replica::ready("b").await];
    world.put_replicas("v1", &[&replicas[0]]);
    world.put_replicas("v2", &[&replicas[1]]);
    let ask = |tag| world.send(Request::get("/wait").header("rouse-tag", tag));
    let told = async {
        let of_both = || {
            let in_flight = |frame: &Frame| {
                let mut demands: Vec<_> =
                    frame.demands.iter().map(|demand| (demand.revision.to_string(), demand.in_flight)).collect();
                demands.sort_unstable();
                demands
            };
            let wanted = [("v1".to_owned(), 2), ("v2".to_owned(), 1)];
            frames(&world.autoscaler.heard()).iter().any(|frame| in_flight(frame) == wanted).then_some(())
        };
        until("a frame that tells of both", of_both).await;
        replicas[0].let_go(2);
        replicas[1].let_go(1);
    };
    let (one, two, three, ()) = tokio::join!(ask("v1"), ask("v1"), ask("v2"), told);
    assert_eq!([one.body, two.body, three.body], ["a", "a", "b"]);
}

#[tokio::test]
async fn every_generation_in_force_is_acknowledged_and_again_on_a_new_stream() {
    let mut world = World::at_zero().await;
    let mut second = endpoint("model", &[("v1", 100)]);
    second.generation = 2;
    world.put_endpoint(second);
    world.autoscaler.acknowledged("model", 2).await;
    world.autoscaler.go().await;
    world.boards.endpoints.remove(&endpoint_key("model"));
    world.put_endpoint(endpoint("other", &[("v1", 100)]));
    let so_far = world.autoscaler.heard().len();
    world.autoscaler.come_back().await;
    let ack = |up: &Up| match up {
        Up::RouteAck(ack) => Some(ack.endpoint.clone()),
        _ => None,
    };
    assert_eq!(world.autoscaler.hears_after(so_far, "an acknowledgement", ack).await, "other");
    // Numbers go on: it is the same incarnation.
    let heard = world.autoscaler.heard();
    let numbers: Vec<u64> = frames(&heard).iter().map(|frame| frame.number).collect();
    let so_many = u64::try_from(numbers.len()).unwrap();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && so_many <= *numbers.last().unwrap(), "{numbers:?}");
}

#[tokio::test]
async fn streams_are_begun_and_ended_as_autoscalers_come_and_go() {
    let autoscalers = tokio::sync::watch::Sender::new(None);
    let _world = World::told_of(autoscalers.subscribe()).await;
    let (first, second) = (Autoscaler::start().await, Autoscaler::start().await);
    let hello = |up: &Up| matches!(up, Up::Hello(_)).then_some(());
    let tell = |known: &[&Autoscaler]| {
        autoscalers.send_replace(Some(known.iter().map(|autoscaler| autoscaler.address).collect()));
    };

    tell(&[&first]);
    first.hears("a hello", hello).await;
    tell(&[&first, &second]);
    second.hears("a hello", hello).await;
    tell(&[&second]);
    until("its stream has ended", || (!first.is_spoken_to()).then_some(())).await;

    // The other never noticed: its only stream goes on.
    let so_far = second.heard().len();
    let frame = |up: &Up| matches!(up, Up::Frame(_)).then_some(());
    second.hears_after(so_far, "a further frame", frame).await;
    assert!(second.heard().iter().all(|heard| heard.stream == second.heard()[0].stream));
    // Nobody says any more who there is.
    drop(autoscalers);
    let so_far = second.heard().len();
    second.hears_after(so_far, "a further frame", frame).await;
}
