//! The tables of `docs/kpa.md`, recomputed.

use kpa::policy::{Config, Resolved};
use kpa::{Decider, Load, Policy, Rules};
use units::{ConcurrencyLimit, ReplicaCount};

use crate::at;

const PAGE: &str = include_str!("../../../../docs/kpa.md");

/// The rows of the table whose head begins so, each with its cells.
fn rows(head: &str) -> Vec<Vec<String>> {
    let table = PAGE.split_once(&format!("\n| {head}")).unwrap_or_else(|| panic!("no table begins with {head:?}")).1;
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.lines().skip(2).take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// Knative's defaults for a container that takes so many at once; 0 for any number.
fn defaults(container_concurrency: u32) -> Policy {
    let limit = ConcurrencyLimit::from_field(container_concurrency);
    match kpa::policy::resolve(&[].into(), &Config::knative_defaults(), limit, true) {
        Ok(Resolved::Ours(policy)) => policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_worked_example_is_what_comes_out() {
    let policy = defaults(10);
    let mut decider = Decider::new(&policy, Rules::rouse(), at(0), ReplicaCount(1));
    let rows = rows("second");
    assert!(9 <= rows.len(), "{rows:?}");
    for row in rows {
        let number = |index: usize| row[index].parse::<u32>().unwrap_or_else(|error| panic!("{row:?}: {error}"));
        let (stable, panic) = (f64::from(number(2)), f64::from(number(3)));
        let wish = decider.decide(at(number(0).into()), ReplicaCount(number(1)), Load { stable, panic }, &policy);
        let raw = |load: f64| (load / policy.target).ceil().to_string();
        let computed = [
            raw(stable),
            raw(panic),
            wish.rate_down.to_string(),
            if decider.panicking() { "panic" } else { "stable" }.to_owned(),
            wish.want.to_string(),
            format!("`{}`", wish.because.word()),
            wish.burst_room.0.to_string(),
        ];
        assert_eq!(row[4..11], computed, "second {}", row[0]);
    }
}

#[test]
fn the_replicas_from_which_a_revision_goes_direct_are_those_of_the_page() {
    let rows = rows("container takes");
    assert!(3 <= rows.len(), "{rows:?}");
    for row in rows {
        let policy = defaults(row[0].parse().unwrap_or(0));
        let from = |load_each: f64| {
            let has_room = |ready: &u32| {
                let load = load_each * f64::from(*ready);
                let mut decider = Decider::new(&policy, Rules::rouse(), at(0), ReplicaCount(*ready));
                let load = Load { stable: load, panic: load };
                0 <= decider.decide(at(2), ReplicaCount(*ready), load, &policy).burst_room.0
            };
            (1_u32..).find(has_room).expect("numbers are many").to_string()
        };
        let computed = [policy.total.to_string(), policy.target.to_string(), from(0.0), from(policy.target)];
        assert_eq!(row[1..5], computed, "{row:?}");
    }
}
