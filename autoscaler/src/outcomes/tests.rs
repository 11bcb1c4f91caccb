use std::sync::Arc;

use traffic::outcome::Ledger;

use super::*;
use crate::admin::endpoint_as_shown;
use crate::stage::toy::{Toy, until};

/// What an activator says of a revision: so many were answered, of these so many with 500, and the others say `outcome`.
fn tally(run: u64, answers: u64, errors: u64, outcome: f64) -> wire::Tally {
    let good = answers - errors;
    let moments = |mean: f64| Some(wire::Moments { count: good, mean, squares: 0.01 * good as f64 });
    wire::Tally {
        run,
        split: 7,
        answers: vec![good, 0, 0, errors],
        first_byte: moments(0.2),
        first_byte_buckets: vec![0, 0, good],
        duration: moments(0.4),
        outcome: moments(outcome),
        malformed: 1,
        ..wire::Tally::default()
    }
}

fn ledger(tallies: &[wire::Tally]) -> Ledger {
    let mut ledger = Ledger::default();
    for (number, tally) in tallies.iter().enumerate() {
        let activator: Arc<str> = format!("activator-{number}").into();
        let demand = wire::Demand { tally: Some(tally.clone()), ..wire::Demand::default() };
        ledger.say(&activator, reading(&demand, Moment::from_unix_millis(5_000), 4_000_000));
    }
    ledger
}

fn share(revision: &str, percent: u8) -> admin::Share {
    admin::Share { revision: revision.to_owned(), percent, tag: None }
}

fn shown(traffic: &[admin::Share], stable: &Ledger, candidate: &Ledger) -> Option<admin::Outcomes> {
    let period = |revision: &str| match revision {
        "stable" => stable.now(),
        "candidate" => candidate.now(),
        _ => None,
    };
    as_shown(traffic, period, |at| format!("{} ms", at.unix().as_millis()))
}

#[test]
fn a_candidate_that_is_worse_is_told_so_with_its_numbers() {
    let stable = ledger(&[tally(1, 5_000, 5, 0.93), tally(2, 4_000, 4, 0.93)]);
    let candidate = ledger(&[tally(3, 1_000, 80, 0.81)]);
    let traffic = [share("candidate", 5), share("stable", 90), share("candidate", 5), share("unused", 0)];
    let shown = shown(&traffic, &stable, &candidate).unwrap();
    assert_eq!((&*shown.against, &*shown.since), ("stable", "1000 ms"));
    let names: Vec<&str> = shown.revisions.iter().map(|did| &*did.revision).collect();
    assert_eq!(names, ["candidate", "stable"]);
    let stable = &shown.revisions[1];
    assert_eq!((stable.requests, stable.failed, stable.answers["2xx"]), (9_000, 9, 8_991));
    assert_eq!((stable.outcome.count, stable.outcome.malformed), (8_991, 2));
    let [candidate] = &shown.comparisons[..] else { panic!("{:?}", shown.comparisons) };
    assert_eq!(
        (&*candidate.failures.verdict, candidate.failures.samples, candidate.failures.samples_against),
        ("worse", 1_000, 9_000)
    );
    assert_eq!(
        candidate.failures.sentence,
        "fails more: 8 % of 1,000 failed against 0.1 % of 9,000, by 5.64 to 10.9 points"
    );
    assert_eq!(candidate.first_byte.verdict, "no-difference-seen");
    assert_eq!(
        candidate.first_byte.sentence,
        "no difference can be seen yet: 200 ms on average against 200 ms; it may be 10.6 ms less to 10.6 ms more"
    );
    let outcome = candidate.outcome.as_ref().unwrap();
    assert_eq!(outcome.sentence, "worse: on average 0.81 of 920 against 0.93 of 8,991, by 0.109 to 0.131");
}

#[test]
fn nothing_is_compared_where_there_is_one_revision_or_nothing_was_heard() {
    let one = ledger(&[tally(1, 100, 0, 0.9)]);
    assert_eq!(shown(&[share("stable", 100), share("candidate", 0)], &one, &one), None);
    assert_eq!(shown(&[share("stable", 50), share("candidate", 50)], &Ledger::default(), &one), None);
}

#[test]
fn who_counts_for_another_split_counts_as_nothing() {
    let stable = ledger(&[tally(1, 100, 0, 0.9)]);
    let elsewhere = ledger(&[wire::Tally { split: 8, ..tally(2, 100, 0, 0.9) }]);
    let shown = shown(&[share("stable", 50), share("candidate", 50)], &stable, &elsewhere).unwrap();
    let candidate = &shown.comparisons[0];
    assert_eq!((shown.revisions[1].requests, &*candidate.failures.verdict), (0, "too-few"));
    assert_eq!(candidate.failures.sentence, "too few to tell: 0 against 100, and it takes 50 of each");
}

#[tokio::test(start_paused = true)]
async fn what_all_activators_say_is_added_up_and_outlives_one_that_goes() {
    let mut toy = Toy::new();
    toy.world.change_endpoint(|endpoint| {
        let target = |name: &str| platform::Target {
            revision: units::RevisionKey::new("default", name),
            percent: units::Percent::new(50).unwrap(),
            tag: None,
        };
        endpoint.targets = vec![target("v1"), target("v2")];
    });
    let requests = |toy: &Toy| {
        let shown = endpoint_as_shown(&toy.ground, &toy.world.endpoint());
        shown.outcomes.map(|outcomes| outcomes.revisions[0].requests)
    };
    let [first, second] = [toy.activator("a").await, toy.activator("b").await];
    until("its task is there", || toy.because().is_some()).await;
    first.counted(tally(1, 100, 0, 0.9)).await;
    second.counted(tally(2, 50, 0, 0.9)).await;
    until("both are added up", || requests(&toy) == Some(150)).await;
    // What is said again is not added again.
    first.counted(tally(1, 120, 0, 0.9)).await;
    until("the first said more", || requests(&toy) == Some(170)).await;

    drop(second);
    toy.remove_activator("b");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(requests(&toy), Some(170));
    // It comes again as another one, and counts from zero.
    let third = toy.activator("c").await;
    third.counted(tally(3, 7, 0, 0.9)).await;
    until("the third counts too", || requests(&toy) == Some(177)).await;
}
