//! What an outlook foretells comes to pass.

use super::*;
use crate::{By, Outlook, What, outlook};

fn look(toy: &Toy, decision: &Decision) -> Outlook {
    outlook(toy.now, decision, &toy.scaler.policy, &toy.scaler.timers(toy.now, &toy.world, decision), toy.world.path)
}

/// From when nothing comes any more to zero: each second's prophecy was right, give or take what a few ticks need.
#[track_caller]
fn zero_comes_as_foretold(mut toy: Toy) {
    toy.activators[0].1 = 0;
    toy.sidecars.clear();
    let mut foretold = Vec::new();
    while !toy.world.scale.is_zero() {
        let outcome = toy.second();
        let zero = look(&toy, &outcome.decision).zero;
        foretold.extend(zero.within.map(|within| toy.now.plus(within)));
        assert!(toy.now.since(toy.begun) < seconds(200), "it does not go to zero: {:?} {zero:?}", toy.story);
    }
    assert!(8 <= foretold.len(), "hardly anything was foretold: {:?}", toy.story);
    for moment in foretold {
        let (early, late) = (toy.now.since(moment), moment.since(toy.now));
        assert!(early <= seconds(4) && late <= seconds(3), "early {early:?}, late {late:?}: {:?}", toy.story);
    }
}

#[test]
fn the_end_of_the_stable_window() {
    zero_comes_as_foretold(Toy::settled(policy(), 1, 5));
}

#[test]
fn the_end_of_retention() {
    zero_comes_as_foretold(Toy::settled(Policy { retention: seconds(25), ..policy() }, 1, 5));
}

#[test]
fn the_end_of_a_scale_down_delay() {
    zero_comes_as_foretold(Toy::settled(Policy { scale_down_delay: seconds(30), ..policy() }, 1, 5));
}

#[test]
fn of_several_that_a_delay_keeps_no_end_is_foretold() {
    let mut toy = Toy::settled(Policy { scale_down_delay: seconds(30), ..policy() }, 3, 25);
    toy.activators[0].1 = 0;
    toy.run(20);
    let outcome = toy.second();
    assert_eq!(look(&toy, &outcome.decision).zero.within, None);
}

#[test]
fn the_end_of_grace_after_the_path_was_switched() {
    let mut toy = Toy::settled(policy(), 1, 5);
    let since = toy.now.minus(seconds(5));
    toy.world.path = PathState::Proxied { since, acknowledged: Some(since) };
    zero_comes_as_foretold(toy);
}

#[test]
fn the_end_of_a_panic() {
    let mut toy = Toy::settled(policy(), 1, 5);
    toy.activators[0].1 = 80;
    toy.run(3);
    zero_comes_as_foretold(toy);
}

#[test]
fn a_young_window() {
    zero_comes_as_foretold(Toy::at_scale(policy(), 1));
}

#[test]
fn while_requests_are_there_no_time_is_foretold() {
    let mut toy = Toy::settled(policy(), 1, 5);
    let outcome = toy.second();
    let zero = look(&toy, &outcome.decision).zero;
    let what: Vec<What> = zero.obstacles.iter().map(|obstacle| obstacle.what).collect();
    assert_eq!((zero.within, what), (None, vec![What::Requests, What::Window, What::Promise]));
}

#[test]
fn what_is_not_known_stands_in_the_way_without_an_end() {
    let mut toy = Toy::settled(policy(), 1, 5);
    toy.activators.clear();
    toy.run(4);
    let outcome = toy.second();
    let outlook = look(&toy, &outcome.decision);
    assert_eq!(outlook.zero.obstacles[0].what, What::Condition(Because::ActivatorUnheard));
    assert_eq!(outlook.zero.within, None);
    assert_eq!(outlook.fewer.by, By::Not(Because::ActivatorUnheard));
}
