use std::net::SocketAddr;

use platform::UpstreamProtocol;

use super::*;
use crate::fixtures::{hold, hold_within};
use crate::replica::UpstreamSettings;

const MINUTE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(3);
const FIRST: SealId = SealId { epoch: 1, seq: 1 };

fn id() -> HeaderValue {
    HeaderValue::from_static("request")
}

/// Replicas that have answered a probe just now.
fn ready(hold: &Hold, numbers: &[u64]) -> Vec<Candidate> {
    let settings = UpstreamSettings { protocol: UpstreamProtocol::Http1 };
    let replica = |number: &u64| {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let name = format!("replica-{number}").into();
        Candidate {
            replica: Arc::new(Replica::new(ReplicaId(*number), name, address, settings, true, None, hold.clock.now())),
            probe_begun: Some(hold.clock.now()),
        }
    };
    numbers.iter().map(replica).collect()
}

async fn name_of(visit: &mut Visit) -> String {
    visit.replica(MINUTE).await.unwrap().name.to_string()
}

/// Is it still in the line?
fn waits(visit: &mut Visit) -> bool {
    futures_util::FutureExt::now_or_never(visit.replica(MINUTE)).is_none()
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_in_order_of_arrival_as_replicas_have_room() {
    let hold = hold(1, 10);
    let mut visits: Vec<Visit> = (0..3).map(|_| hold.arrive(&id(), 0).unwrap()).collect();
    assert!(visits[0].woke);
    assert_eq!(hold.want().unwrap().held, 3);

    hold.offer(ready(&hold, &[1]));
    assert_eq!(name_of(&mut visits[0]).await, "replica-1");
    assert!(waits(&mut visits[1]));
    assert_eq!(hold.want(), None, "a replica that is full is not a replica that is missing");

    visits.remove(0);
    assert_eq!(name_of(&mut visits[0]).await, "replica-1");
    assert!(waits(&mut visits[1]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_gives_its_place_and_its_slot_back() {
    let hold = hold(1, 2);
    hold.offer(ready(&hold, &[1]));
    let at_replica = hold.arrive(&id(), 0).unwrap();
    let waiting = hold.arrive(&id(), 0).unwrap();
    let mut next = hold.arrive(&id(), 0).unwrap();
    assert!(matches!(hold.arrive(&id(), 0), Err(Refused::QueueFull { .. })));
    drop(waiting);
    drop(at_replica);
    assert_eq!(name_of(&mut next).await, "replica-1");
    drop(next);
    let (reading, held) = hold.reading();
    assert_eq!((reading.requests, reading.in_flight, held), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_grant_to_somebody_who_has_just_left_goes_to_the_next() {
    let hold = hold(1, 10);
    let gone = hold.arrive(&id(), 0).unwrap();
    let mut next = hold.arrive(&id(), 0).unwrap();
    // The grant is sent, and never received.
    hold.offer(ready(&hold, &[1]));
    drop(gone);
    assert_eq!(name_of(&mut next).await, "replica-1");
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_to_a_replica_that_goes_while_its_stream_runs_on() {
    let hold = hold(1, 10);
    hold.offer(ready(&hold, &[1]));
    let mut streaming = hold.arrive(&id(), 0).unwrap();
    assert_eq!(name_of(&mut streaming).await, "replica-1");
    let mut next = hold.arrive(&id(), 0).unwrap();
    hold.offer(Vec::new());
    assert!(waits(&mut next));
    drop(streaming);
    assert!(waits(&mut next));
    hold.offer(ready(&hold, &[2]));
    assert_eq!(name_of(&mut next).await, "replica-2");
}

#[tokio::test(start_paused = true)]
async fn who_finds_its_replica_closed_goes_before_everyone_else() {
    let hold = hold(1, 10);
    let replicas = ready(&hold, &[1]);
    hold.offer(replicas.clone());
    let mut unlucky = hold.arrive(&id(), 0).unwrap();
    name_of(&mut unlucky).await;
    let mut later = hold.arrive(&id(), 0).unwrap();
    unlucky.step_back(&id());
    assert!(waits(&mut unlucky));
    // The same replica comes back by itself after a while.
    let back = hold.next_look().unwrap();
    hold.clock.sleep_until(back).await;
    hold.offer(replicas);
    assert_eq!(name_of(&mut unlucky).await, "replica-1");
    assert!(waits(&mut later));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_the_longest_wait() {
    let hold = hold(0, 10);
    let mut visit = hold.arrive(&id(), 0).unwrap();
    let refused = visit.replica(MINUTE).await.unwrap_err();
    assert_eq!(refused, Refused::WaitedTooLong { waited: MINUTE, retry_after: MINUTE, without_replica: true });
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_bounds_the_tries_too_while_another_replica_is_always_free() {
    let hold = hold(1, 10);
    hold.offer(ready(&hold, &[1, 2, 3]));
    let mut unlucky = hold.arrive(&id(), 0).unwrap();
    name_of(&mut unlucky).await;
    tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
    unlucky.step_back(&id());
    name_of(&mut unlucky).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    unlucky.step_back(&id());
    assert!(!unlucky.waits(), "the third replica is free");
    let refused = unlucky.replica(MINUTE).await.unwrap_err();
    assert!(matches!(refused, Refused::WaitedTooLong { waited: MINUTE, without_replica: false, .. }), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_during_a_start_is_asked_back_when_it_is_usually_over() {
    let hold = hold(1, 1);
    let waited = hold.arrive(&id(), 0).unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    hold.offer(ready(&hold, &[1]));
    drop(waited);
    hold.offer(Vec::new());

    let _waits = hold.arrive(&id(), 0).unwrap();
    tokio::time::advance(Duration::from_secs(12)).await;
    let refused = hold.arrive(&id(), 0).unwrap_err();
    assert_eq!(refused, Refused::QueueFull { retry_after: Duration::from_secs(8) });
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_line_full_is_asked_back_when_it_has_drained() {
    let hold = hold(1, 10);
    hold.offer(ready(&hold, &[1]));
    let mut visits: Vec<Visit> = (0..11).map(|_| hold.arrive(&id(), 0).unwrap()).collect();
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(500)).await;
        visits.remove(0);
        visits.push(hold.arrive(&id(), 0).unwrap());
    }
    let Err(Refused::QueueFull { retry_after }) = hold.arrive(&id(), 0) else { panic!("the line is not full") };
    assert_eq!(retry_after.as_secs_f64().round(), 5.0, "ten wait, and two a second go");
}

#[tokio::test(start_paused = true)]
async fn all_lines_share_one_budget_which_a_client_that_leaves_frees_at_once() {
    let budget = Budget::new(3 * HELD_REQUEST_BYTES);
    let (one, other) = (hold_within(budget.clone(), 1, 10), hold_within(budget.clone(), 1, 10));
    let first = one.arrive(&id(), 0).unwrap();
    let mut second = other.arrive(&id(), 0).unwrap();
    assert!(second.make_room(HELD_REQUEST_BYTES));
    assert!(!second.make_room(HELD_REQUEST_BYTES + 1), "what has no room is not read");
    assert!(matches!(one.arrive(&id(), 0), Err(Refused::ActivatorFull { .. })));
    let (reading, held) = one.reading();
    assert_eq!((reading.requests, reading.in_flight, held), (1, 1, 1), "who is refused is not here");

    drop(second);
    let mut third = one.arrive(&id(), 0).unwrap();
    one.offer(ready(&one, &[1]));
    drop(first);
    assert_eq!(name_of(&mut third).await, "replica-1");
    assert_eq!(budget.used(), HELD_REQUEST_BYTES, "it is in memory until its answer begins");
    third.answered();
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_unasked_is_held_whole_or_not_at_all() {
    let budget = Budget::new(2 * HELD_REQUEST_BYTES);
    let hold = hold_within(budget.clone(), 1, 10);
    assert!(matches!(hold.arrive(&id(), HELD_REQUEST_BYTES + 1), Err(Refused::ActivatorFull { .. })));
    let mut visit = hold.arrive(&id(), HELD_REQUEST_BYTES).unwrap();
    assert!(visit.make_room(HELD_REQUEST_BYTES), "its room was made when it came");
}

#[tokio::test(start_paused = true)]
async fn whom_the_budget_has_no_room_for_still_goes_where_it_need_not_wait() {
    let hold = hold_within(Budget::new(1), 1, 10);
    hold.offer(ready(&hold, &[1]));
    assert_eq!(name_of(&mut hold.arrive(&id(), 9).unwrap()).await, "replica-1");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_refuses_who_waits_and_who_comes_until_it_may_be_tried_again() {
    let hold = hold(0, 10);
    let mut waiting = hold.arrive(&id(), 0).unwrap();
    hold.refuse(true, "exit status 1".into(), MINUTE);
    assert!(matches!(waiting.replica(MINUTE).await, Err(Refused::StartFailed { .. })));
    assert!(matches!(hold.arrive(&id(), 0), Err(Refused::StartFailed { .. })));
    drop(waiting);
    tokio::time::advance(MINUTE).await;
    let mut again = hold.arrive(&id(), 0).unwrap();
    assert!(waits(&mut again) && hold.want().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_promise_is_refused_while_anything_is_here() {
    let hold = hold(0, 10);
    hold.offer(ready(&hold, &[1]));
    let mut visit = hold.arrive(&id(), 0).unwrap();
    name_of(&mut visit).await;
    assert_eq!(hold.seal_asked(FIRST, TTL, 1), Verdict::Veto);
    drop(visit);
    assert_eq!(hold.seal_asked(SealId { epoch: 1, seq: 2 }, TTL, 1), Verdict::Sealed);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_while_sealed_is_held_and_asks_to_be_woken() {
    let hold = hold(0, 10);
    hold.offer(ready(&hold, &[1]));
    assert_eq!(hold.seal_asked(FIRST, TTL, 1), Verdict::Sealed);
    let mut held = hold.arrive(&id(), 0).unwrap();
    assert!(waits(&mut held) && hold.want().is_some());
    hold.seal_ended(FIRST, Ending::Released);
    assert_eq!(name_of(&mut held).await, "replica-1");
}

#[tokio::test(start_paused = true)]
async fn after_a_promise_without_an_end_only_a_fresh_probe_is_believed() {
    let hold = hold(0, 10);
    let (old, old_probe) = (ready(&hold, &[1]), hold.clock.now());
    let replica = Arc::clone(&old[0].replica);
    hold.offer(old.clone());
    assert_eq!(hold.seal_asked(FIRST, TTL, 1), Verdict::Sealed);
    let mut held = hold.arrive(&id(), 0).unwrap();
    hold.clock.sleep_until(hold.next_look().unwrap()).await;
    hold.offer(old);
    assert!(waits(&mut held));
    assert!(!hold.believes(&replica, old_probe));
    hold.offer(ready(&hold, &[1]));
    assert!(waits(&mut held), "a probe begun at the very moment proves nothing");
    assert!(!hold.believes(&replica, hold.clock.now()), "so it is probed again");
    tokio::time::advance(Duration::from_millis(1)).await;
    hold.offer(ready(&hold, &[1]));
    assert_eq!(name_of(&mut held).await, "replica-1");
}

#[tokio::test(start_paused = true)]
async fn after_zero_a_replica_from_before_is_not_used_even_though_it_still_answers() {
    let hold = hold(0, 10);
    let mut old = ready(&hold, &[1]);
    hold.offer(old.clone());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(hold.seal_asked(FIRST, TTL, 1), Verdict::Sealed);
    hold.seal_ended(FIRST, Ending::Committed);
    tokio::time::advance(Duration::from_millis(1)).await;
    old[0].probe_begun = Some(hold.clock.now());
    hold.offer(old.clone());
    let mut held = hold.arrive(&id(), 0).unwrap();
    assert!(waits(&mut held) && hold.want().is_some(), "it is woken");
    assert!(hold.believes(&old[0].replica, hold.clock.now()), "asking it once more says nothing yet");

    hold.clock.sleep_until(hold.next_look().unwrap()).await;
    assert!(!hold.believes(&old[0].replica, old[0].probe_begun.unwrap()), "now it does");
    old[0].probe_begun = Some(hold.clock.now());
    hold.offer(old);
    assert_eq!(name_of(&mut held).await, "replica-1", "zero was taken back in time: it stays");
}

#[tokio::test(start_paused = true)]
async fn after_zero_a_replica_that_was_started_since_is_used_at_once() {
    let hold = hold(0, 10);
    hold.offer(ready(&hold, &[1]));
    assert_eq!(hold.seal_asked(FIRST, TTL, 1), Verdict::Sealed);
    hold.seal_ended(FIRST, Ending::Committed);
    let mut held = hold.arrive(&id(), 0).unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    hold.offer(ready(&hold, &[2]));
    assert_eq!(name_of(&mut held).await, "replica-2");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_answers_one_has_room_for_those_it_refused() {
    let hold = hold(2, 10);
    hold.offer(ready(&hold, &[1]));
    let mut refused = hold.arrive(&id(), 0).unwrap();
    let mut answered = hold.arrive(&id(), 0).unwrap();
    name_of(&mut refused).await;
    name_of(&mut answered).await;
    refused.step_back(&id());
    assert!(waits(&mut refused));
    answered.answered();
    assert!(!waits(&mut refused));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_missing_is_said_when_it_comes_to_be_so_and_once() {
    let hold = hold(1, 10);
    let mut said = hold.wakes.listen();
    hold.offer(ready(&hold, &[1]));
    let _at_replica = hold.arrive(&id(), 0).unwrap();
    let waiting = hold.arrive(&id(), 0).unwrap();
    assert!(said.is_empty(), "a replica that is full is not missing");
    hold.offer(Vec::new());
    let _another = hold.arrive(&id(), 0).unwrap();
    assert_eq!((said.try_recv().as_ref(), said.is_empty()), (Ok(&hold.key), true));
    drop((waiting, _another));
    let _later = hold.arrive(&id(), 0).unwrap();
    assert_eq!(said.try_recv().as_ref(), Ok(&hold.key), "who comes after nobody waited is said again");
}
