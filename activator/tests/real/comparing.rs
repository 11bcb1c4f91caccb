//! What is counted for comparing revisions, and what is not.

use std::time::Duration;

use http::Response;
use platform::{Endpoint, OnUnavailable};
use wire::{Tally, Up};

use crate::chain::{Chain, request, whole};
use crate::choosing::{activator, header, model, replicas};
use crate::client::Request;
use crate::world::{World, endpoint, until};

/// The tally of a revision, once `look` takes it.
async fn tally(world: &World, revision: &str, look: impl Fn(&Tally) -> bool) -> Tally {
    let said = |up: &Up| match up {
        Up::Frame(frame) => {
            let mut of = frame.demands.iter().filter(|demand| demand.revision == revision);
            of.find_map(|demand| demand.tally.clone().filter(&look))
        }
        _ => None,
    };
    world.autoscaler.hears(&format!("a tally of {revision}"), said).await
}

#[tokio::test]
async fn what_a_model_says_of_its_answer_comes_through_its_sidecar_and_goes_no_further() {
    let says = |_| async {
        let answer = Response::builder().header("rouse-outcome", "0.25").header("rouse-reason", "a lie");
        answer.body(whole("hello")).unwrap()
    };
    let two = |one: &mut Endpoint| one.targets = endpoint("model", &[("v1", 100), ("v2", 0)]).targets;
    let chain = Chain::with(says, |_| {}, two).await;
    let mut client = chain.http1().await;
    for _ in 0..3 {
        let answer = client.send(request("GET", "/").body(whole("")).unwrap()).await;
        assert_eq!((answer.status, answer.header("rouse-outcome"), answer.header("rouse-reason")), (200, "", ""));
    }
    let counted = tally(&chain.world, "v1", |tally| tally.answers == [3]).await;
    let said = counted.outcome.unwrap();
    assert_eq!((said.count, said.mean, counted.malformed), (3, 0.25, 0));
    assert_eq!(counted.first_byte.map(|times| times.count), Some(3));
}

#[tokio::test]
async fn who_falls_back_failed_where_it_belonged_and_is_nothing_to_who_took_it() {
    let [v1] = replicas(["v1"]).await;
    let endpoint = Endpoint { on_unavailable: OnUnavailable::Fallback, ..model(&[("v1", 50), ("v2", 50)], &[], None) };
    let world = activator(endpoint, &[&v1]).await;
    world.put_replicas("v2", &[]);
    world.autoscaler.leads(1).await;
    let failing = async {
        until("one waits", || (world.metric("rouse_held_requests", "v2") == 1.0).then_some(())).await;
        world.autoscaler.refuses_to_wake("v2", "start-failed", "exit status 1", Duration::from_secs(100));
    };
    // Of the first two one waits until it is known; who comes then is sent on at once.
    let (one, other, ()) = tokio::join!(world.send(Request::get("/")), world.send(Request::get("/")), failing);
    let mut answers = vec![one, other];
    for _ in 0..8 {
        answers.push(world.send(Request::get("/")).await);
    }
    assert!(answers.iter().all(|answer| answer.header("rouse-revision") == "v1"), "{answers:?}");
    assert_eq!(tally(&world, "v2", |tally| tally.refused == 5).await.answers, [0_u64; 0]);
    let taken = tally(&world, "v1", |tally| tally.answers == [5]).await;
    assert_eq!((taken.refused, taken.gone), (0, 0));
}

#[tokio::test]
async fn who_asks_for_a_revision_or_looks_like_it_is_not_compared() {
    let [v1, v2] = replicas(["v1", "v2"]).await;
    let world = activator(model(&[("v1", 50), ("v2", 50)], &[header("x-beta", "1", 1)], None), &[&v1, &v2]).await;
    for request in [Request::get("/").header("x-beta", "1"), Request::get("/").header("rouse-tag", "v2")] {
        assert_eq!(world.send(request).await.header("rouse-revision"), "v2");
    }
    for _ in 0..2 {
        world.send(Request::get("/")).await;
    }
    let [first, second] = [
        tally(&world, "v1", |tally| tally.answers == [1]).await,
        tally(&world, "v2", |tally| tally.answers == [1]).await,
    ];
    assert!(first.split == second.split && first.run != second.run, "{first:?} {second:?}");
}
