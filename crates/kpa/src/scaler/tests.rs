mod foretold;

use std::collections::HashMap;

use units::Incarnation;

use super::*;
use crate::{Aggregation, TargetBurstCapacity};

mod laws;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn policy() -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target: 10.0,
        total: 10.0,
        burst: TargetBurstCapacity::Unlimited,
        panic_threshold: 2.0,
        stable_window: seconds(10),
        panic_window: seconds(1),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: seconds(30),
        min: ReplicaCount::ZERO,
        max: None,
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

/// One revision in a world that does at once what it is told; replicas are ready the second after.
struct Toy {
    scaler: Scaler,
    world: World,
    now: Moment,
    begun: Moment,
    /// Activators, each with the load at it.
    activators: Vec<(&'static str, u32)>,
    /// Sidecars, each with the load at it and the proxied part of that.
    sidecars: Vec<(&'static str, u32, u32)>,
    counted: HashMap<&'static str, (u64, u64, u64)>,
    last: Option<(Option<u32>, Because)>,
    story: Vec<String>,
}

impl Toy {
    fn at_scale(policy: Policy, scale: u32) -> Self {
        let now = Moment::from_unix(seconds(1_700_000_000));
        let proxied = PathState::Proxied { since: now.minus(seconds(3600)), acknowledged: Some(now) };
        Self {
            scaler: Scaler::new(policy, Rules::rouse(), now, ReplicaCount(scale)),
            world: World {
                ready: ReplicaCount(scale),
                starting: ReplicaCount::ZERO,
                scale: ReplicaCount(scale),
                path: proxied,
                direct_allowed: false,
                held: 0,
                adopted: true,
                bypassed: false,
                contested: false,
                start_failed: false,
                missing: false,
            },
            now,
            begun: now,
            activators: vec![("a", 0)],
            sidecars: Vec::new(),
            counted: HashMap::new(),
            last: None,
            story: Vec::new(),
        }
    }

    /// The window has long been full, and every start and panic is over.
    fn settled(policy: Policy, scale: u32, load: u32) -> Self {
        let mut toy = Self::at_scale(policy, scale);
        toy.activators[0].1 = load;
        toy.run(70);
        toy.story.clear();
        toy.begun = toy.now;
        toy
    }

    fn elapsed_us(&self) -> u64 {
        // Every reporter is a day older than the observation but for its counters, as after a restart.
        self.now.since(Moment::from_unix(seconds(1_700_000_000 - 86_400))).as_micros() as u64
    }

    fn run(&mut self, for_seconds: u64) {
        for _ in 0..for_seconds {
            let _ = self.second();
        }
    }

    fn second(&mut self) -> Outcome {
        self.now = self.now.plus(seconds(1));
        let elapsed_us = self.elapsed_us();
        for (name, load) in self.activators.clone() {
            self.scaler.activator_heard(self.now, name);
            let counted = self.counted.entry(name).or_default();
            if 0 < load || counted.2 == 1 {
                *counted = (counted.0 + u64::from(load), counted.1 + u64::from(load) * 1_000_000, u64::from(0 < load));
                let reading = ActivatorReading {
                    incarnation: Incarnation(1),
                    elapsed_us,
                    requests: counted.0,
                    concurrency_us: counted.1,
                    in_flight: load,
                };
                self.scaler.activator(self.now, name, reading);
            }
        }
        for (name, load, proxied) in self.sidecars.clone() {
            let counted = self.counted.entry(name).or_default();
            *counted = (
                counted.0 + u64::from(load),
                counted.1 + u64::from(load) * 1_000_000,
                counted.2 + u64::from(proxied) * 1_000_000,
            );
            let reading = SidecarReading {
                incarnation: Incarnation(1),
                elapsed_us,
                requests: counted.0,
                proxied_requests: 0,
                concurrency_us: counted.1,
                proxied_concurrency_us: counted.2,
                in_flight: load,
            };
            self.scaler.sidecar(self.now, name, reading);
        }
        self.world.ready = ReplicaCount(self.world.ready.0 + self.world.starting.0);
        self.world.starting = ReplicaCount::ZERO;
        if 0 < self.world.ready.0 {
            self.world.held = 0;
        }
        let outcome = self.scaler.decide(self.now, &self.world);
        self.tell(&outcome);
        match outcome.step {
            Step::Rest => {}
            Step::Scale(to) => self.scale(to),
            Step::Seal => self.scale(ReplicaCount::ZERO),
            Step::GoProxied => {
                self.world.path = PathState::Proxied { since: self.now, acknowledged: Some(self.now) };
            }
            Step::GoDirect => self.world.path = PathState::Direct,
        }
        outcome
    }

    fn scale(&mut self, to: ReplicaCount) {
        self.world.starting = ReplicaCount(to.0.saturating_sub(self.world.ready.0));
        self.world.ready = self.world.ready.min(to);
        self.world.scale = to;
    }

    fn tell(&mut self, outcome: &Outcome) {
        let told = (outcome.decision.want.map(|want| want.0), outcome.decision.because);
        if self.last != Some(told) {
            self.last = Some(told);
            let want = told.0.map_or("?".to_owned(), |want| want.to_string());
            let at = self.now.since(self.begun).as_secs();
            self.story.push(format!("{at}s: {} -> {want} {}", self.world.scale, told.1.word()));
        }
    }
}

#[test]
fn a_held_request_wakes_at_once_and_the_last_replica_goes_after_a_silent_window() {
    let mut toy = Toy::settled(policy(), 0, 0);
    toy.world.held = 1;
    toy.activators[0].1 = 1;
    toy.run(3);
    toy.activators[0].1 = 0;
    toy.run(30);
    assert_eq!(toy.story, ["1s: 0 -> 1 waking", "2s: 1 -> 1 steady", "13s: 1 -> 0 sealed", "14s: 0 -> 0 zero"]);
}

#[test]
fn where_the_activators_were_not_in_the_path_zero_waits_for_them_and_for_the_grace() {
    let mut toy = Toy::settled(Policy { burst: TargetBurstCapacity::Of(0.0), ..policy() }, 1, 5);
    toy.world.direct_allowed = true;
    toy.run(1);
    assert_eq!(toy.world.path, PathState::Direct);
    toy.activators[0].1 = 0;
    toy.sidecars = vec![("r", 5, 0)];
    toy.run(20);
    toy.begun = toy.now;
    toy.story.clear();
    toy.sidecars[0].1 = 0;
    toy.run(50);
    assert_eq!(
        toy.story,
        ["10s: 1 -> 1 waiting-for-activators", "11s: 1 -> 1 grace", "40s: 1 -> 0 sealed", "41s: 0 -> 0 zero"]
    );
}

#[test]
fn an_activator_that_has_not_acknowledged_keeps_the_last_replica() {
    let mut toy = Toy::settled(policy(), 1, 5);
    toy.world.path = PathState::Proxied { since: toy.begun.minus(seconds(60)), acknowledged: None };
    toy.activators[0].1 = 0;
    toy.run(60);
    assert_eq!(toy.story, ["10s: 1 -> 1 waiting-for-activators"]);
}

#[test]
fn retention_keeps_the_last_replica_unless_nothing_can_reach_it() {
    let retained = Policy { retention: seconds(7), ..policy() };
    let mut toy = Toy::settled(retained.clone(), 1, 5);
    toy.activators[0].1 = 0;
    toy.run(20);
    assert_eq!(toy.story, ["10s: 1 -> 1 retention", "17s: 1 -> 0 sealed", "18s: 0 -> 0 zero"]);

    let mut toy = Toy::settled(Policy { reachable: false, ..retained }, 1, 5);
    toy.activators[0].1 = 0;
    toy.run(20);
    assert_eq!(toy.story, ["10s: 1 -> 0 sealed", "11s: 0 -> 0 zero"]);
}

#[test]
fn a_request_during_retention_begins_everything_anew() {
    let mut toy = Toy::settled(Policy { retention: seconds(7), ..policy() }, 1, 5);
    toy.activators[0].1 = 0;
    toy.run(12);
    toy.activators[0].1 = 1;
    toy.run(1);
    toy.activators[0].1 = 0;
    toy.run(30);
    assert_eq!(
        toy.story,
        [
            "10s: 1 -> 1 retention",
            "13s: 1 -> 1 steady",
            "23s: 1 -> 1 retention",
            "30s: 1 -> 0 sealed",
            "31s: 0 -> 0 zero"
        ]
    );
}

#[test]
fn an_activator_that_falls_silent_takes_nothing_away_until_it_is_forgotten() {
    let mut toy = Toy::settled(policy(), 1, 20);
    toy.activators.push(("b", 20));
    toy.run(40);
    assert_eq!(toy.world.scale, ReplicaCount(4));
    toy.activators.pop();
    toy.story.clear();
    toy.run(60);
    assert_eq!(toy.world.scale, ReplicaCount(4));
    assert_eq!(toy.last, Some((Some(4), Because::ActivatorUnheard)));
    toy.scaler.forget_activator("b");
    toy.run(20);
    assert_eq!(toy.last, Some((Some(2), Because::Steady)));
}

#[test]
fn what_replicas_report_as_proxied_counts_while_the_activator_is_silent() {
    let mut toy = Toy::settled(policy(), 3, 30);
    toy.sidecars = vec![("r", 30, 30)];
    toy.run(30);
    assert_eq!(toy.last, Some((Some(3), Because::Steady)), "deducted: the activator tells it");
    toy.activators.clear();
    toy.sidecars = vec![("r", 80, 80)];
    toy.run(30);
    assert_eq!(toy.world.scale, ReplicaCount(8));
}

#[test]
fn an_activator_that_comes_back_does_not_add_what_replicas_have_told_meanwhile() {
    let mut toy = Toy::settled(policy(), 3, 30);
    toy.sidecars = vec![("r", 30, 30)];
    toy.run(30);
    let away = toy.activators.pop().unwrap();
    toy.run(8);
    let counted = toy.counted.get_mut("a").unwrap();
    counted.1 += 8 * 30_000_000;
    toy.activators.push(away);
    toy.story.clear();
    toy.run(20);
    assert_eq!(toy.story, Vec::<String>::new(), "it goes on being three and steady");
}

#[test]
fn a_sidecar_that_falls_silent_takes_nothing_away_until_its_replica_is_gone() {
    let mut toy = Toy::settled(policy(), 4, 0);
    toy.sidecars = vec![("r", 20, 0), ("s", 20, 0)];
    toy.run(30);
    assert_eq!(toy.world.scale, ReplicaCount(4));
    toy.sidecars.pop();
    toy.run(60);
    assert_eq!(toy.last, Some((Some(4), Because::NoData)));
    toy.scaler.forget_replica("s");
    toy.run(20);
    assert_eq!(toy.last, Some((Some(2), Because::Steady)));
}

#[test]
fn a_sidecar_that_falls_silent_because_its_replica_leaves_delays_nothing() {
    let mut toy = Toy::settled(policy(), 4, 0);
    toy.sidecars = vec![("r", 20, 0), ("s", 20, 0)];
    toy.run(30);
    toy.scaler.replica_leaves("s");
    toy.sidecars.pop();
    toy.run(20);
    assert_eq!(toy.last, Some((Some(2), Because::Steady)));
}

#[test]
fn after_a_restart_nothing_is_lowered_before_a_whole_window_was_observed() {
    for scale in [1, 5] {
        let mut toy = Toy::at_scale(policy(), scale);
        toy.run(9);
        assert_eq!(toy.world.scale, ReplicaCount(scale));
        toy.run(60);
        assert_eq!(toy.world.scale, ReplicaCount::ZERO);
    }
}

#[test]
fn replicas_that_were_not_ready_at_a_restart_are_not_taken_for_too_many() {
    let mut toy = Toy::at_scale(policy(), 0);
    toy.world.scale = ReplicaCount(5);
    toy.world.ready = ReplicaCount(5);
    toy.run(9);
    assert_eq!(toy.story, ["1s: 5 -> ? no-data", "2s: 5 -> 5 idle-until-window-ends"]);
    toy.run(60);
    assert_eq!(toy.world.scale, ReplicaCount::ZERO);
}

#[test]
fn what_is_in_flight_is_not_sealed_even_if_it_has_not_been_counted_yet() {
    let mut toy = Toy::settled(policy(), 1, 5);
    toy.activators[0].1 = 0;
    for _ in 0..30 {
        let reading = SidecarReading {
            incarnation: Incarnation(1),
            elapsed_us: toy.elapsed_us(),
            requests: 0,
            proxied_requests: 0,
            concurrency_us: 0,
            proxied_concurrency_us: 0,
            in_flight: 1,
        };
        toy.scaler.sidecar(toy.now, "r", reading);
        assert_ne!(toy.second().step, Step::Seal);
    }
    assert_eq!(toy.last, Some((Some(1), Because::HeldRequests)));
}

#[test]
fn without_any_reading_nothing_is_known_and_nothing_changed() {
    let mut toy = Toy::at_scale(policy(), 3);
    toy.activators.clear();
    toy.run(60);
    assert_eq!(toy.story, ["1s: 3 -> ? no-data"]);
}

#[test]
fn the_bounds_hold_and_say_so() {
    let mut toy = Toy::settled(Policy { min: ReplicaCount(2), max: Some(ReplicaCount(4)), ..policy() }, 2, 0);
    assert_eq!(toy.last, Some((Some(2), Because::Minimum)));
    toy.activators[0].1 = 500;
    toy.run(2);
    assert_eq!(toy.last, Some((Some(4), Because::Maximum)));
    toy.scaler.set_policy(Policy { max: Some(ReplicaCount(3)), ..toy.scaler.policy().clone() }, toy.now);
    toy.run(1);
    assert_eq!(toy.world.scale, ReplicaCount(3));
}

#[test]
fn a_minimum_holds_without_any_reading() {
    let mut toy = Toy::at_scale(Policy { min: ReplicaCount(2), ..policy() }, 0);
    toy.activators.clear();
    toy.run(2);
    assert_eq!(toy.story, ["1s: 0 -> 2 minimum", "2s: 2 -> ? no-data"]);
}

#[test]
fn the_initial_scale_holds_until_it_was_reached_once() {
    let initial = Policy { initial: ReplicaCount(3), ..policy() };
    let mut toy = Toy::at_scale(initial.clone(), 3);
    toy.world.ready = ReplicaCount(1);
    toy.run(30);
    assert_eq!(toy.last, Some((Some(3), Because::InitialScale)));
    toy.world.ready = ReplicaCount(3);
    toy.run(30);
    assert_eq!(toy.world.scale, ReplicaCount::ZERO);

    let mut found_at_zero = Toy::at_scale(initial, 0);
    found_at_zero.run(30);
    assert_eq!(found_at_zero.story, ["1s: 0 -> ? zero", "2s: 0 -> 0 zero"]);
}

/// That the initial scale was reached, and that a start came to its end, is seen before it is decided on.
#[test]
fn a_second_decision_at_the_same_instant_is_like_the_first() {
    let mut toy = Toy::at_scale(Policy { initial: ReplicaCount(3), ..policy() }, 3);
    toy.world.ready = ReplicaCount(1);
    toy.run(30);
    toy.world.ready = ReplicaCount(3);
    let first = toy.scaler.decide(toy.now, &toy.world);
    assert_eq!(toy.scaler.decide(toy.now, &toy.world), first);

    let mut toy = Toy::at_scale(policy(), 0);
    toy.activators[0].1 = 5;
    toy.run(2);
    toy.world.ready = ReplicaCount::ZERO;
    toy.activators[0].1 = 0;
    toy.run(40);
    assert_eq!(toy.last, Some((Some(1), Because::IdleUntilWindowEnds)), "on its way up, and nobody waits any more");
    toy.world.ready = ReplicaCount(1);
    let first = toy.scaler.decide(toy.now, &toy.world);
    assert_eq!(toy.scaler.decide(toy.now, &toy.world), first);
}

/// A load of 10, of requests of a second each; then forty a second, and all of them wait. How many are wanted after 5, 20 and
/// 40 s, and at last why.
fn wants_while_replicas_start(startup_aware: bool, metric: Metric) -> ([u32; 3], Because) {
    let policy = Policy { metric, panic_window: seconds(2), ..policy() };
    let mut toy = Toy::at_scale(policy.clone(), 2);
    let rules = Rules { startup_aware, ..Rules::rouse() };
    toy.scaler = Scaler::new(policy, rules, toy.now, ReplicaCount(2));
    toy.scaler.replica_started(seconds(60));
    toy.activators[0].1 = 10;
    toy.run(60);
    let mut wants = Vec::new();
    let mut because = Because::Steady;
    for second in 1..=40 {
        let waiting = 40 * second;
        let (requests, concurrency_us, _) = toy.counted["a"];
        toy.counted.insert("a", (requests + 40, concurrency_us + waiting * 1_000_000, 1));
        toy.now = toy.now.plus(seconds(1));
        toy.scaler.activator_heard(toy.now, "a");
        let (requests, concurrency_us, _) = toy.counted["a"];
        let elapsed_us = toy.elapsed_us();
        let in_flight = waiting as u32;
        let reading = ActivatorReading { incarnation: Incarnation(1), elapsed_us, requests, concurrency_us, in_flight };
        toy.scaler.activator(toy.now, "a", reading);
        let decision = toy.scaler.decide(toy.now, &toy.world).decision;
        let want = decision.want.unwrap();
        toy.world.starting = ReplicaCount(want.0 - 2);
        toy.world.scale = want;
        wants.push(want.0);
        because = decision.because;
    }
    ([wants[4], wants[19], wants[39]], because)
}

#[test]
fn startup_aware_orders_once_what_waiting_requests_would_have_it_order_again_and_again() {
    let (plain, because) = wants_while_replicas_start(false, Metric::Concurrency);
    assert_eq!((plain, because), ([18, 78, 158], Because::Panicking));
    let (aware, because) = wants_while_replicas_start(true, Metric::Concurrency);
    assert_eq!((aware, because), ([24, 28, 36], Because::OnItsWay));
    // Requests a second do not pile up.
    let by_rate = |startup_aware| wants_while_replicas_start(startup_aware, Metric::Rps).0;
    assert_eq!(by_rate(true), by_rate(false));
}

/// Sums of fractions depend on their order in the last digit.
#[test]
fn the_same_heard_in_another_process_is_the_same_decision() {
    let decided = || {
        let mut scaler =
            Scaler::new(policy(), Rules::rouse(), Moment::from_unix(seconds(1_700_000_000)), ReplicaCount(9));
        let toy = Toy::at_scale(policy(), 9);
        for second in 1..20 {
            let now = toy.now.plus(seconds(second));
            for number in 0..30 {
                // Only the first has told of the newest second.
                if number != 0 && second == 19 {
                    continue;
                }
                let reading = SidecarReading {
                    incarnation: Incarnation(1),
                    elapsed_us: second * 1_000_000,
                    requests: second,
                    proxied_requests: 0,
                    concurrency_us: second * (number * number * 7_919 + 1_000_003) / 3,
                    proxied_concurrency_us: 0,
                    in_flight: 1,
                };
                scaler.sidecar(now, &format!("r{number}"), reading);
            }
        }
        scaler.decide(toy.now.plus(seconds(19)), &toy.world)
    };
    let first = decided();
    for _ in 0..20 {
        assert_eq!(decided(), first);
    }
}

#[test]
fn a_wake_asks_for_all_that_is_held_and_at_least_the_activation_scale() {
    for (held, activation, max, want) in
        [(1, None, None, 1), (45, None, None, 5), (1, Some(3), None, 3), (45, None, Some(2), 2)]
    {
        let bounded =
            Policy { activation: activation.and_then(NonZeroU32::new), max: max.map(ReplicaCount), ..policy() };
        let mut toy = Toy::at_scale(bounded, 0);
        toy.world.held = held;
        let outcome = toy.second();
        assert_eq!(outcome.step, Step::Scale(ReplicaCount(want)));
        assert_eq!(outcome.decision.because, Because::Waking);
    }
}

#[test]
fn a_failed_start_is_given_up_and_not_woken() {
    let mut toy = Toy::at_scale(policy(), 0);
    toy.world.held = 1;
    let _ = toy.second();
    toy.world.starting = ReplicaCount::ZERO;
    toy.world.start_failed = true;
    toy.story.clear();
    assert_eq!(toy.second().step, Step::Seal);
    toy.world.held = 1;
    toy.run(3);
    assert_eq!(toy.last, Some((Some(0), Because::StartFailed)));
    toy.world.start_failed = false;
    toy.run(1);
    assert_eq!(toy.last, Some((Some(1), Because::Waking)));
}

#[test]
fn what_others_use_is_not_taken_away() {
    let mut toy = Toy::at_scale(policy(), 3);
    toy.world.adopted = false;
    toy.run(60);
    assert_eq!(toy.last, Some((Some(3), Because::NotAdopted)));
    toy.world.adopted = true;
    toy.world.bypassed = true;
    toy.run(60);
    assert_eq!(toy.last, Some((Some(1), Because::Bypassed)));
}

#[test]
fn what_others_scale_too_is_only_raised() {
    let mut toy = Toy::at_scale(policy(), 3);
    toy.world.contested = true;
    toy.run(60);
    assert_eq!(toy.last, Some((Some(3), Because::ScaleConflict)));
    assert_eq!(toy.world.scale, ReplicaCount(3));
}

#[test]
fn without_scaling_to_zero_one_is_kept() {
    let mut toy = Toy::at_scale(Policy { scale_to_zero: false, ..policy() }, 2);
    toy.run(60);
    assert_eq!(toy.last, Some((Some(1), Because::ScalingDisabled)));
    assert_eq!(toy.world.scale, ReplicaCount(1));
}

#[test]
fn a_path_that_may_not_be_direct_goes_back_to_proxied() {
    let mut toy = Toy::settled(policy(), 1, 5);
    toy.world.path = PathState::Direct;
    assert_eq!(toy.second().step, Step::GoProxied);
}
