//! One evaluation after the other: `autoscaler_test.go` and `multiscaler_test.go`.

use std::num::NonZeroU32;
use std::time::Duration;

use kpa::{BurstRoom, Decider, Load, Policy, Rules, TargetBurstCapacity, initial_burst_room, is_news};
use units::{Moment, ReplicaCount};

use crate::{at, policy, seconds};

/// A decider, found with one ready replica at the beginning.
struct Toy {
    decider: Decider,
    policy: Policy,
}

impl Toy {
    fn new(policy: Policy) -> Self {
        Self::found(1, policy)
    }

    fn found(ready: u32, policy: Policy) -> Self {
        Self { decider: Decider::new(&policy, Rules::knative(), at(0), ReplicaCount(ready)), policy }
    }

    /// Replicas wanted, and the burst room.
    fn both(&mut self, now: Moment, ready: u32, stable: f64, panic: f64) -> (u32, i32) {
        let wish = self.decider.decide(now, ReplicaCount(ready), Load { stable, panic }, &self.policy);
        (wish.want.0, wish.burst_room.0)
    }

    fn want(&mut self, second: u64, ready: u32, stable: f64, panic: f64) -> u32 {
        self.both(at(second), ready, stable, panic).0
    }

    /// The same load over both windows.
    fn of(&mut self, second: u64, ready: u32, load: f64) -> u32 {
        self.want(second, ready, load, load)
    }
}

fn delayed(delay: Duration) -> Policy {
    Policy { scale_down_delay: delay, ..policy(10.0) }
}

#[test]
fn a_delay_holds_until_its_last_second() {
    let mut toy = Toy::new(delayed(seconds(300)));
    assert_eq!(toy.of(2, 5, 40.0), 4);
    assert_eq!(toy.of(300, 4, 0.0), 4);
    assert_eq!(toy.of(302, 4, 0.0), 0);
}

#[test]
fn peaks_leave_the_delay_one_at_a_time() {
    let mut toy = Toy::new(delayed(seconds(300)));
    let minutes = [(9, 40.0), (10, 30.0), (11, 0.0), (14, 0.0), (15, 0.0)];
    assert_eq!(minutes.map(|(minute, load)| toy.of(minute * 60, 5, load)), [4, 4, 4, 3, 0]);
}

#[test]
fn what_nothing_reaches_is_not_held_by_a_delay() {
    let mut toy = Toy::new(delayed(seconds(300)));
    assert_eq!(toy.of(2, 5, 40.0), 4);
    assert_eq!(toy.of(4, 5, 0.0), 4);
    toy.policy.reachable = false;
    assert_eq!(toy.of(6, 5, 0.0), 0);
}

#[test]
fn no_delay_is_not_a_delay_of_one_slot() {
    let wants = |delay| {
        let mut toy = Toy::new(delayed(delay));
        let later = at(2).plus(Duration::from_millis(500));
        [(at(2), 40.0), (later, 20.0)].map(|(now, load)| toy.both(now, 5, load, load).0)
    };
    assert_eq!(wants(Duration::ZERO), [4, 2]);
    assert_eq!(wants(seconds(2)), [4, 4]);
}

#[test]
fn without_a_ready_replica_the_rate_counts_one_and_the_room_none() {
    let mut toy = Toy::found(0, policy(10.0));
    assert_eq!(toy.both(at(2), 0, 1000.0, 0.0), (10, -100));
}

#[test]
fn the_stable_window_decides_and_the_panic_window_makes_the_room() {
    let mut toy = Toy::new(policy(10.0));
    // Room: 13.33 - 100 - 10 = -96.67, rounded down.
    assert_eq!(toy.both(at(2), 1, 50.0, 10.0), (5, -97));
    assert_eq!(toy.both(at(4), 1, 100.0, 10.0), (10, -97));
}

#[test]
fn down_is_as_little_smoothed_as_up() {
    let mut toy = Toy::new(policy(10.0));
    assert_eq!((toy.of(2, 8, 100.0), toy.of(4, 8, 50.0)), (10, 5));
}

#[test]
fn any_load_is_a_replica_and_none_is_none() {
    let mut toy = Toy::new(policy(10.0));
    assert_eq!((toy.of(2, 1, 1.0), toy.of(4, 1, 0.0)), (1, 0));
    assert_eq!(toy.of(6, 0, 0.0), 0, "at zero, zeros are a valid zero");
}

#[test]
fn the_activation_scale_raises_what_is_there_and_not_nothing() {
    let mut toy = Toy::new(Policy { activation: NonZeroU32::new(2), ..policy(10.0) });
    assert_eq!((toy.of(2, 1, 0.0), toy.of(4, 1, 1.0)), (0, 2));
}

#[test]
fn a_panic_follows_up_and_drops_to_the_stable_wish_when_it_ends() {
    let mut toy = Toy::new(policy(10.0));
    assert_eq!(toy.want(0, 10, 100.0, 250.0), 25);
    assert_eq!(toy.want(30, 25, 300.0, 410.0), 41, "follows, without being over the threshold");
    assert_eq!(toy.want(60, 41, 300.0, 300.0), 41, "exactly one window after the crossing it holds");
    assert!(toy.decider.panicking());
    assert_eq!(toy.want(62, 41, 300.0, 300.0), 30);
    assert!(!toy.decider.panicking());
}

#[test]
fn another_crossing_makes_the_panic_longer() {
    let mut toy = Toy::new(policy(1.0));
    assert_eq!(toy.want(0, 10, 20.0, 25.0), 25);
    assert_eq!(toy.want(30, 40, 20.0, 80.0), 80);
    assert_eq!(toy.want(62, 80, 20.0, 20.0), 80, "longer than a window after the first crossing");
    assert_eq!(toy.want(90, 80, 20.0, 20.0), 80);
    assert_eq!(toy.want(92, 80, 20.0, 20.0), 20);
}

#[test]
fn a_load_that_outgrows_its_replicas_is_followed_until_they_suffice() {
    let mut toy = Toy::new(policy(1.0));
    for (second, ready) in [(0, 1), (2, 6), (4, 36), (6, 216)] {
        assert_eq!(toy.of(second, ready, f64::from(ready) * 6.0), ready * 6);
    }
    assert_eq!(toy.of(8, 1296, 1296.0), 1296);
    assert_eq!((toy.of(66, 1296, 0.0), toy.decider.panicking()), (1296, true));
    assert_eq!((toy.of(67, 1296, 1.0), toy.decider.panicking()), (129, false));
}

#[test]
fn a_peak_is_held_for_a_window_and_then_given_back_as_fast_as_the_rate_allows() {
    let mut toy = Toy::new(policy(1.0));
    assert_eq!(toy.of(0, 10, 100.0), 100);
    assert_eq!(toy.of(30, 10, 0.0), 100);
    assert_eq!(toy.of(61, 10, 0.0), 1);
}

#[test]
fn in_a_panic_the_larger_wish_wins() {
    assert_eq!(Toy::new(policy(1.0)).want(2, 10, 50.0, 30.0), 50);
    assert_eq!(Toy::new(policy(1.0)).want(2, 10, 20.0, 30.0), 30);
}

#[test]
fn the_evaluation_that_begins_a_panic_already_follows_it() {
    let mut toy = Toy::new(policy(10.0));
    assert_eq!(toy.want(2, 1, 10.0, 100.0), 10);
    assert!(toy.decider.panicking());
}

#[test]
fn a_growth_rate_is_rounded_up_and_a_shrink_rate_down() {
    let slowly = Policy { max_scale_up_rate: 1.1, max_scale_down_rate: 1.1, ..policy(1.0) };
    assert_eq!(Toy::new(slowly.clone()).of(2, 2, 3.0), 3, "of 2.2");
    assert_eq!(Toy::new(slowly.clone()).of(2, 100, 1.0), 90, "of 90.9");
    assert_eq!(Toy::new(Policy { reachable: false, ..slowly }).of(2, 100, 1.0), 1, "what nothing reaches has no rate");
}

#[test]
fn steps_are_counted_from_what_is_ready() {
    let mut up = Toy::new(policy(1.0));
    assert_eq!((up.of(2, 1, 1000.0), up.of(4, 1, 1000.0), up.of(6, 10, 1000.0)), (10, 10, 100));
    let mut down = Toy::new(policy(1.0));
    assert_eq!((down.of(2, 100, 1.0), down.of(4, 10, 1.0)), (10, 1));
}

#[test]
fn unlimited_burst_has_no_room_and_none_asks_for_none() {
    for (burst, room) in [(TargetBurstCapacity::Unlimited, -1), (TargetBurstCapacity::Of(0.0), 0)] {
        let mut toy = Toy::new(Policy { burst, ..policy(10.0) });
        for (second, load) in [(2, 0.0), (4, 1.0), (6, 1000.0)] {
            assert_eq!(toy.both(at(second), 5, load, load).1, room);
        }
    }
}

#[test]
fn the_room_is_rounded_down_below_zero_too() {
    let mut toy = Toy::new(Policy { total: 10.0, burst: TargetBurstCapacity::Of(30.0), ..policy(10.0) });
    let mut room = |load| toy.both(at(2), 4, load, load).1;
    assert_eq!([9.5, 10.0, 10.5].map(&mut room), [0, 0, -1]);
}

#[test]
fn a_new_target_counts_from_the_next_evaluation() {
    let mut toy = Toy::new(policy(10.0));
    assert_eq!(toy.of(2, 1, 100.0), 10);
    toy.policy.target = 1.0;
    assert_eq!(toy.of(4, 10, 100.0), 100);
}

#[test]
fn several_that_are_found_begin_in_a_panic() {
    for (found, panics) in [(0, false), (1, false), (2, true)] {
        let mut toy = Toy::found(found, policy(10.0));
        assert_eq!(toy.decider.panicking(), panics, "found {found}");
        assert_eq!(toy.of(2, found, 0.0), if panics { found } else { 0 });
    }
}

#[test]
fn only_a_wish_or_a_sign_that_changed_is_news() {
    let (five, zero) = (Some(ReplicaCount(5)), Some(ReplicaCount::ZERO));
    let room = BurstRoom;
    assert!(is_news((None, room(0)), (zero, room(0))), "before the first evaluation nothing is known");
    assert!(is_news((five, room(1)), (zero, room(1))), "zero is a wish like others");
    assert!(!is_news((five, room(1)), (five, room(200))));
    assert!(is_news((five, room(0)), (five, room(-1))), "nothing is positive");
    assert!(!is_news((five, room(0)), (five, room(7))));
    assert!(!is_news((five, room(-1)), (five, room(-7))));
}

#[test]
fn before_the_first_evaluation_the_room_is_that_of_the_initial_scale() {
    assert_eq!(initial_burst_room(TargetBurstCapacity::Of(42.0), 25.0, ReplicaCount(2)), BurstRoom(8));
    assert_eq!(initial_burst_room(TargetBurstCapacity::Unlimited, 25.0, ReplicaCount(2)), BurstRoom(-1));
}
