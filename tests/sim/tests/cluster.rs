//! The toy cluster under faults: every law, over many seeds; and that each law can be broken.
//!
//! A seed that breaks a law prints itself and what happened last. `SIM_SEED=7 cargo test -p sim --test cluster a_seed`
//! runs one again (`SIM_HOURS`, 24 unless told); `make sim` runs two hundred for 24 hours each.

use sim::{Broken, HOUR, Load, Plan, Shape, compare, run};

const SEEDS: u64 = 100;

fn holds(plan: &Plan) {
    if let Err(violation) = run(plan) {
        panic!(
            "\n{violation}again: SIM_SEED={} SIM_HOURS={} cargo test -p sim --test cluster a_seed\n",
            plan.seed,
            plan.length / HOUR
        );
    }
}

/// The law that the first of some seeds breaks, by its name.
fn breaks(broken: Broken) -> String {
    let violation = (1..60).find_map(|seed| {
        let plan = Plan { broken: Some(broken), ..Plan::of_seed(seed, 6) };
        run(&plan).err()
    });
    let violation = violation.unwrap_or_else(|| panic!("{broken:?} goes unnoticed"));
    assert!(!violation.story.is_empty(), "a violation tells what led there");
    println!("{broken:?}: seed {}, {}: {}", violation.seed, violation.at, violation.law);
    violation.law.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn every_law_holds_with_a_fault_a_minute() {
    for seed in 1..=SEEDS {
        holds(&Plan::of_seed(seed, 2));
    }
}

#[test]
fn every_law_holds_for_a_day() {
    for seed in 1_001..=1_010 {
        holds(&Plan::of_seed(seed, 24));
    }
}

/// Nothing, unless `SIM_SEED` names the seed to run.
#[test]
#[expect(clippy::disallowed_methods, reason = "a person's way to have one seed run again")]
fn a_seed() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let Some(seed) = number("SIM_SEED") else { return };
    holds(&Plan::of_seed(seed, number("SIM_HOURS").unwrap_or(24)));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=5 {
        assert_eq!(run(&Plan::of_seed(seed, 4)).unwrap(), run(&Plan::of_seed(seed, 4)).unwrap(), "seed {seed}");
    }
}

/// A step of the wall clock is seen only by programs that start after it; and to them it is nothing but another date.
#[test]
fn programs_whose_clocks_are_an_hour_off_decide_alike() {
    let hour = i64::try_from(HOUR).unwrap();
    for seed in 1..=5 {
        let plan = Plan::of_seed(seed, 4);
        let right = run(&plan).unwrap();
        for skew in [-hour, hour] {
            assert_eq!(run(&Plan { skew, ..plan.clone() }).unwrap(), right, "seed {seed}, {skew} ms");
        }
    }
}

/// Loads that are no multiple of the target; the last quarter of an hour must be without any change.
fn changes_at_constant_load(requests_in_flight: f64, takes: u64, broken: Option<Broken>) -> Vec<(u64, usize, u32)> {
    let every = (takes as f64 / requests_in_flight) as u64;
    let plan = Plan { broken, ..Plan::calm(1, Load::Constant { every, takes }) };
    let settled = HOUR - HOUR / 4;
    let tally = run(&plan).unwrap_or_else(|violation| panic!("{violation}"));
    tally.scales.into_iter().filter(|(at, ..)| settled <= *at).collect()
}

#[test]
fn constant_load_settles() {
    for (in_flight, takes) in [(0.3, 300), (3.0, 450), (14.0, 700), (37.0, 2_000), (55.0, 5_000), (104.0, 8_000)] {
        assert_eq!(changes_at_constant_load(in_flight, takes, None), [], "{in_flight} in flight, {takes} ms each");
    }
}

#[test]
fn what_never_settles_is_noticed() {
    assert_ne!(changes_at_constant_load(37.0, 2_000, Some(Broken::TakesOneAway)), []);
}

#[test]
fn without_the_maximum_bounds_are_broken() {
    assert_eq!(breaks(Broken::NoMaximum), "bounds");
}

#[test]
fn without_a_seal_requests_are_cut() {
    assert_eq!(breaks(Broken::NoSeal), "promise 3");
}

#[test]
fn with_absent_taken_for_zero_a_silent_activator_lowers() {
    assert_eq!(breaks(Broken::AbsentIsZero), "absent");
}

#[test]
fn with_young_windows_taken_for_whole_ones_a_restart_lowers() {
    assert_eq!(breaks(Broken::YoungWindowsLower), "restart");
}

#[test]
fn a_request_that_is_not_told_to_go_is_found_forgotten() {
    assert_eq!(breaks(Broken::ForgetsOne), "forgotten");
}

#[test]
fn without_wakes_it_does_not_heal() {
    assert_eq!(breaks(Broken::NoWakes), "healed");
}

#[test]
fn startup_aware_serves_bursts_on_slow_starters_as_well_with_fewer_replicas() {
    let compared = compare(&Shape::Bursts.counts(3), false, 3).unwrap_or_else(|violation| panic!("{violation}"));
    let (plain, aware) = (compared.plain, compared.aware);
    assert!(
        aware.replica_millis < plain.replica_millis * 9 / 10,
        "{} against {}",
        aware.replica_millis,
        plain.replica_millis
    );
    let (waited, waited_aware) = (plain.delayed + plain.refused(), aware.delayed + aware.refused());
    assert!(waited_aware <= waited + waited / 20, "{waited_aware} against {waited}");
}

#[test]
fn startup_aware_changes_nothing_that_does_not_burst() {
    let counts = Shape::Constant.counts(3);
    let compared = compare(&counts, false, 3).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(compared.aware.delayed, compared.plain.delayed);
    assert!(compared.aware.replica_millis <= compared.plain.replica_millis);
}
