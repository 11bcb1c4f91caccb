//! Laws of one scaler that compare two of them: the same history, and then one thing different.

use std::time::Duration;

use kpa::{ActivatorReading, Metric, Outcome, PathState, Policy, Rules, Scaler, SidecarReading, World};
use sim::defaults;
use units::{Incarnation, Moment, ReplicaCount};

const BEGIN: u64 = 1_700_000_000_000;
const CASES: u64 = 400;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(BEGIN + millis)
}

/// Reporters with counters that grow as they are told: activators first, then sidecars.
#[derive(Clone)]
struct Reporters {
    activators: Vec<Counted>,
    sidecars: Vec<Counted>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    requests: u64,
    concurrency_us: u64,
    in_flight: u32,
}

impl Reporters {
    fn new(activators: usize, sidecars: usize) -> Self {
        Self { activators: vec![Counted::default(); activators], sidecars: vec![Counted::default(); sidecars] }
    }

    /// A second passes with so much in flight at each, in that order.
    fn second(&mut self, loads: &[u32]) {
        for (counted, load) in self.activators.iter_mut().chain(&mut self.sidecars).zip(loads) {
            counted.in_flight = *load;
            counted.requests += u64::from(*load);
            counted.concurrency_us += u64::from(*load) * 1_000_000;
        }
    }

    fn len(&self) -> usize {
        self.activators.len() + self.sidecars.len()
    }

    /// Each tells of the second that ends, unless it is lost. Sidecars tell of direct requests only.
    fn tell(&self, scaler: &mut Scaler, second: u64, lost: impl Fn(usize) -> bool) {
        let now = at(second * 1_000 + 999);
        let elapsed_us = second * 1_000_000 + 999_000;
        let incarnation = Incarnation(1);
        for (number, counted) in self.activators.iter().enumerate().filter(|(number, _)| !lost(*number)) {
            let Counted { requests, concurrency_us, in_flight } = *counted;
            let reading = ActivatorReading { incarnation, elapsed_us, requests, concurrency_us, in_flight };
            scaler.activator(now, &format!("a{number}"), reading);
        }
        for (number, counted) in self.sidecars.iter().enumerate() {
            if lost(self.activators.len() + number) {
                continue;
            }
            let reading = SidecarReading {
                incarnation,
                elapsed_us,
                requests: counted.requests,
                proxied_requests: 0,
                concurrency_us: counted.concurrency_us,
                proxied_concurrency_us: 0,
                in_flight: counted.in_flight,
            };
            scaler.sidecar(now, &format!("r{number}"), reading);
        }
    }
}

fn policy(draw: &mut fastrand::Rng) -> Policy {
    let stable_s = draw.u64(6..60);
    Policy {
        metric: if draw.bool() { Metric::Concurrency } else { Metric::Rps },
        stable_window: Duration::from_secs(stable_s),
        panic_window: Duration::from_secs((stable_s / draw.u64(2..10)).max(1)),
        max_scale_up_rate: [1.5, 2.0, 1_000.0][draw.usize(..3)],
        scale_down_delay: Duration::from_secs([0, 0, 20][draw.usize(..3)]),
        min: ReplicaCount(draw.u32(..2)),
        max: Some(ReplicaCount(draw.u32(2..40))),
        ..defaults(1.0 + 9.0 * draw.f64())
    }
}

fn world(scale: u32) -> World {
    World {
        ready: ReplicaCount(scale),
        starting: ReplicaCount::ZERO,
        scale: ReplicaCount(scale),
        path: PathState::Proxied { since: at(0), acknowledged: Some(at(0)) },
        direct_allowed: false,
        held: 0,
        adopted: true,
        bypassed: false,
        contested: false,
        start_failed: false,
        missing: false,
    }
}

/// What a scaler is to have as many of as it wants.
fn decide(scaler: &mut Scaler, second: u64, scale: &mut u32) -> Outcome {
    let outcome = scaler.decide(at(second * 1_000 + 999), &world(*scale));
    if let Some(want) = outcome.decision.want {
        *scale = want.0;
    }
    outcome
}

fn want(outcome: &Outcome, scale: u32) -> u32 {
    outcome.decision.want.map_or(scale, |want| want.0)
}

/// Two that have heard and decided the same for a while, under a load that jumps about.
fn two_alike(draw: &mut fastrand::Rng, steady: bool) -> (Scaler, Scaler, Reporters, Vec<u32>, u32, u64) {
    let policy = policy(draw);
    let rules = Rules { startup_aware: draw.bool(), ..Rules::rouse() };
    let mut reporters = Reporters::new(draw.usize(1..4), draw.usize(..4));
    let mut scalers = [(); 2].map(|()| Scaler::new(policy.clone(), rules, at(0), ReplicaCount(1)));
    for scaler in &mut scalers {
        scaler.replica_started(Duration::from_secs(40));
    }
    let mut loads: Vec<u32> = (0..reporters.len()).map(|_| draw.u32(..20)).collect();
    let (mut scale, length) = (1, policy.stable_window.as_secs() * 3 + draw.u64(..30));
    for second in 0..length {
        if !steady && draw.u8(..5) == 0 {
            let who = draw.usize(..loads.len());
            loads[who] = draw.u32(..40);
        }
        reporters.second(&loads);
        let before = scale;
        for scaler in &mut scalers {
            reporters.tell(scaler, second, |_| false);
            if second % 2 == 0 {
                scale = before;
                let _ = decide(scaler, second, &mut scale);
            }
        }
    }
    let [one, other] = scalers;
    (one, other, reporters, loads, scale, length)
}

/// Whatever is lost of a load that stays as it is, no decision is lower than without the loss. `pretend`: whoever is not
/// heard is taken for one that has nothing.
fn lowered_by_loss(pretend: bool) -> Option<String> {
    (0..CASES).find_map(|seed| {
        let mut draw = fastrand::Rng::with_seed(seed);
        let (mut all, mut some, mut reporters, loads, mut scale_all, begin) = two_alike(&mut draw, true);
        let mut scale_some = scale_all;
        let often = draw.f64();
        let silent: Vec<bool> = (0..reporters.len()).map(|_| draw.bool()).collect();
        (begin..begin + 90).find_map(|second| {
            reporters.second(&loads);
            let lost: Vec<bool> = silent.iter().map(|silent| *silent || draw.f64() < often).collect();
            reporters.tell(&mut all, second, |_| false);
            reporters.tell(&mut some, second, |number| lost[number]);
            for number in (0..reporters.activators.len()).filter(|number| pretend && lost[*number]) {
                some.activator_heard(at(second * 1_000 + 999), &format!("a{number}"));
            }
            if second % 2 != 0 {
                return None;
            }
            let with_all = want(&decide(&mut all, second, &mut scale_all), scale_all);
            let outcome = decide(&mut some, second, &mut scale_some);
            let with_some = want(&outcome, scale_some);
            let into = second - begin;
            (with_some < with_all).then(|| {
                let decision = outcome.decision;
                format!("seed {seed}, {into} s into the loss: {with_some} instead of {with_all}: {decision:?}")
            })
        })
    })
}

#[test]
fn losing_any_set_of_frames_never_lowers() {
    assert_eq!(lowered_by_loss(false), None);
}

#[test]
fn with_absent_taken_for_zero_losing_frames_lowers() {
    assert!(lowered_by_loss(true).is_some());
}

/// From a load that jumps about, any reporters fall silent for good: what there is stays at least.
#[test]
fn who_falls_silent_takes_nothing_along() {
    let mut seen = 0;
    for seed in 0..CASES {
        let mut draw = fastrand::Rng::with_seed(seed);
        let (_, mut scaler, mut reporters, loads, mut scale, begin) = two_alike(&mut draw, false);
        let busy: Vec<usize> = (0..reporters.activators.len()).filter(|number| loads[*number] != 0).collect();
        if busy.is_empty() || scale == 0 {
            continue;
        }
        seen += 1;
        let silent = busy[draw.usize(..busy.len())];
        // Within its first two seconds nobody can know.
        let mut before = None;
        for second in begin..begin + 150 {
            reporters.second(&vec![0; loads.len()]);
            reporters.tell(&mut scaler, second, |number| number == silent);
            if second % 2 == 0 {
                let outcome = decide(&mut scaler, second, &mut scale);
                let lowered = before.is_some_and(|before| scale < before);
                assert!(!lowered, "seed {seed}, {} s into the silence: {:?}", second - begin, outcome.decision);
                before = (begin + 2 < second).then_some(scale);
            }
        }
    }
    assert!(CASES / 4 < seen, "only {seen} cases were any");
}

#[test]
fn more_load_never_means_fewer() {
    let mut more_wanted = 0;
    for seed in 0..CASES * 5 {
        let mut draw = fastrand::Rng::with_seed(seed);
        let (mut less, mut more, mut reporters, mut loads, scale, second) = two_alike(&mut draw, false);
        let mut heavier = reporters.clone();
        reporters.second(&loads);
        for load in &mut loads {
            *load += draw.u32(..60);
        }
        heavier.second(&loads);
        reporters.tell(&mut less, second, |_| false);
        heavier.tell(&mut more, second, |_| false);
        let with_less = want(&decide(&mut less, second, &mut scale.clone()), scale);
        let with_more = want(&decide(&mut more, second, &mut scale.clone()), scale);
        assert!(with_less <= with_more, "seed {seed}: {with_less} with less load, {with_more} with more");
        more_wanted += u64::from(with_less < with_more);
    }
    assert!(CASES / 2 < more_wanted, "more load hardly ever asked for more: {more_wanted}");
}

#[test]
fn deciding_twice_at_one_instant_changes_nothing() {
    for seed in 0..CASES {
        let mut draw = fastrand::Rng::with_seed(seed);
        let (mut once, mut twice, mut reporters, mut loads, mut scale, begin) = two_alike(&mut draw, false);
        let mut scale_twice = scale;
        for second in begin..begin + 200 {
            if draw.u8(..10) == 0 {
                loads = loads.iter().map(|_| if draw.bool() { 0 } else { draw.u32(..40) }).collect();
            }
            reporters.second(&loads);
            reporters.tell(&mut once, second, |_| false);
            reporters.tell(&mut twice, second, |_| false);
            if second % 2 == 0 {
                let _ = twice.decide(at(second * 1_000 + 999), &world(scale_twice));
                let again = decide(&mut twice, second, &mut scale_twice);
                assert_eq!(decide(&mut once, second, &mut scale), again, "seed {seed}");
            }
        }
    }
}
