//! Promise 3 by trying everything: no replica is taken away while a request is forwarded to it or in it, and none is
//! forwarded to one that was taken away. And what is held is served, what is idle reaches zero, once faults stop.
//!
//! `happening` is what can happen, `world` what follows from it; `search` tries it, shortest first. A test prints how many states it saw; one that fails
//! prints the shortest way there, a sentence a step. Whatever is not delivered counts as lost, so losses need a budget of
//! their own only where it matters that a message never comes. `cargo test -p sim --test seal -- --ignored` searches
//! further, for some minutes.

mod happening;
mod search;
mod world;

use std::time::Duration;

use happening::{Broken, Rules};
use kpa::seal::Limits;
use search::{Found, search};

/// One arrival, one round for each leader, no fault; five steps of 750 ms are longer than a promise.
const CALM: Rules = Rules {
    sidecar: false,
    arrivals: 1,
    crashes: 0,
    losses: 0,
    leader_changes: 0,
    rounds: 1,
    ticks: 5,
    pauses: false,
    gone_matters: true,
    limits: Limits::ROUSE,
    broken: None,
};

/// From one state in so many, things are left to themselves until they are at rest.
const SETTLE_ONE_IN: u64 = 256;

/// Searches without sidecars, and with them over so many ticks: they make states of a kind more numerous.
fn holds(what: &str, rules: &Rules, ticks_with_sidecar: u8) {
    let with_sidecar = Rules { sidecar: true, ticks: ticks_with_sidecar, ..rules.clone() };
    for rules in [rules, &with_sidecar] {
        let Found { states, settled, violation } = search(rules, SETTLE_ONE_IN);
        let what = format!("{what}, {} sidecar", if rules.sidecar { "with" } else { "without" });
        println!("{what}: {states} states, {settled} of them left to themselves until at rest");
        if let Some(violation) = violation {
            panic!("{what}:\n{violation}");
        }
    }
}

/// The end of the shortest way to what a broken line does.
fn breaks(rules: Rules) -> String {
    let found = search(&rules, u64::MAX);
    let story = found.violation.unwrap_or_else(|| panic!("{:?} went unnoticed in {} states", rules, found.states));
    println!("{:?}, after {} states:\n{story}", rules.broken, found.states);
    story.rsplit("=> ").next().unwrap_or_default().to_owned()
}

fn broken(broken: Broken) -> Rules {
    Rules { broken: Some(broken), crashes: 1, gone_matters: false, ..CALM }
}

const TAKEN: &str = "the replica was taken away with 1 requests forwarded to it or in it";

#[test]
fn it_holds_when_an_activator_crashes_and_comes_back() {
    holds("a crash", &Rules { crashes: 1, ..CALM }, 4);
}

#[test]
fn it_holds_when_a_new_leader_acts_beside_the_old_one() {
    holds("a change of leaders", &Rules { leader_changes: 1, ticks: 2, ..CALM }, 1);
}

#[test]
fn it_holds_from_round_to_round() {
    holds("two rounds", &Rules { rounds: 2, ticks: 3, ..CALM }, 2);
}

#[test]
fn it_holds_when_messages_never_come() {
    holds("two losses", &Rules { losses: 2, ..CALM }, 5);
}

#[test]
fn it_holds_with_a_patch_that_has_no_time_to_spare() {
    let limits = Limits { ttl: Duration::from_millis(2_250), ..Limits::ROUSE };
    holds("a short promise", &Rules { crashes: 1, limits, ..CALM }, 1);
}

#[test]
#[ignore = "takes minutes"]
fn it_holds_for_longer_when_a_new_leader_acts_beside_the_old_one() {
    holds("a change of leaders", &Rules { leader_changes: 1, ..CALM }, 3);
}

#[test]
#[ignore = "takes minutes"]
fn it_holds_when_an_activator_crashes_and_leaders_change() {
    holds("a crash and a change of leaders", &Rules { crashes: 1, leader_changes: 1, ticks: 1, ..CALM }, 0);
}

#[test]
#[ignore = "takes minutes"]
fn it_holds_for_longer_from_round_to_round() {
    holds("two rounds", &Rules { rounds: 2, ..CALM }, 4);
}

#[test]
fn without_a_round_a_request_is_cut() {
    assert_eq!(breaks(broken(Broken::NoRound)), TAKEN);
}

#[test]
fn with_a_promise_that_is_not_kept_a_request_is_cut() {
    assert_eq!(breaks(broken(Broken::PromiseNotKept)), TAKEN);
}

#[test]
fn with_a_successor_that_forwards_at_once_a_request_is_cut_although_incarnations_are_compared() {
    assert_eq!(breaks(broken(Broken::NoHoldAfterStart)), TAKEN);
}

#[test]
fn with_a_sidecar_that_always_says_idle_a_direct_request_is_cut() {
    assert_eq!(breaks(Rules { sidecar: true, ..broken(Broken::SidecarAlwaysIdle) }), TAKEN);
}

#[test]
fn with_no_time_left_for_the_patch_a_request_is_cut() {
    let limits = Limits { least_left: Duration::ZERO, ..Limits::ROUSE };
    assert_eq!(breaks(Rules { limits, gone_matters: false, ..CALM }), TAKEN);
}

#[test]
fn with_old_probes_believed_a_request_goes_to_a_replica_that_was_taken_away() {
    let end = breaks(Rules { gone_matters: true, ..broken(Broken::StaleProbes) });
    assert_eq!(end, "a request was forwarded to replica 1, which had been taken away");
}

/// The leader compares incarnations all the same: a round that cannot be kept is given up at once instead of ending in a
/// refusal to forward.
#[test]
fn a_successor_that_holds_makes_comparing_incarnations_a_second_line() {
    let found = search(&Rules { gone_matters: true, ..broken(Broken::IncarnationsNotCompared) }, SETTLE_ONE_IN);
    println!("incarnations not compared: {} states", found.states);
    assert_eq!(found.violation, None);
}
