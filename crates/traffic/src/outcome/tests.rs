use std::sync::Arc;

use proptest::prelude::*;
use units::Moment;

use super::*;

/// Numbers by chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, up to 1.
    fn part(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn hits(&mut self, share: f64) -> bool {
        self.part() <= share
    }

    /// Of mean 1, as times are: most are short, and a few long.
    fn time(&mut self) -> f64 {
        -self.part().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.part().ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos()
    }
}

fn of(numbers: &[f64]) -> Moments {
    let mut moments = Moments::default();
    numbers.iter().for_each(|number| moments.add(*number));
    moments
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * (1.0 + one.abs().max(other.abs()))
}

fn alike(one: &Moments, other: &Moments) -> bool {
    one.count == other.count && near(one.mean, other.mean) && near(one.squares, other.squares)
}

/// What a revision did, by what each request came to: failed or not, how long it took, and what its answer said.
fn sums(requests: &[(bool, f64, f64)]) -> Sums {
    let mut sums = Sums::default();
    for (fails, took, says) in requests {
        sums.answered(if *fails { 500 } else { 200 }, Some(Some(*says)));
        if !fails {
            sums.first_byte.add(*took);
            sums.duration.add(took * 2.0);
        }
    }
    sums
}

fn requests() -> impl Strategy<Value = Vec<(bool, f64, f64)>> {
    prop::collection::vec((prop::bool::weighted(0.1), 0.001..10.0_f64, -5.0..5.0_f64), 0..200)
}

proptest! {
    #[test]
    fn counts_put_together_are_what_counting_at_once_would_have_been(
        mine in prop::collection::vec(-1e9..1e9_f64, 0..50), theirs in prop::collection::vec(0.0..10.0_f64, 0..50),
    ) {
        let at_once = of(&[&mine[..], &theirs[..]].concat());
        prop_assert!(alike(&of(&mine).and(&of(&theirs)), &at_once));
        prop_assert!(alike(&of(&theirs).and(&of(&mine)), &at_once));
    }

    #[test]
    fn one_against_the_other_is_the_other_against_the_one_turned_round(mine in requests(), theirs in requests()) {
        let (mine, theirs) = (sums(&mine), sums(&theirs));
        let (there, back) = (compare(&mine, &theirs), compare(&theirs, &mine));
        let pairs = |one: &Comparison| [one.failures, one.first_byte, one.duration, one.outcome];
        for (there, back) in pairs(&there).into_iter().zip(pairs(&back)) {
            prop_assert_eq!(there.is_some(), back.is_some());
            let (Some(there), Some(back)) = (there, back) else { continue };
            prop_assert!(near(there.difference, -back.difference) && near(there.low, -back.high));
            prop_assert!(near(there.high, -back.low));
            prop_assert!(there.low <= there.difference && there.difference <= there.high);
            let turned = match back.verdict {
                Verdict::Better => Verdict::Worse,
                Verdict::Worse => Verdict::Better,
                Verdict::NoDifferenceSeen => Verdict::NoDifferenceSeen,
            };
            prop_assert_eq!(there.verdict, turned);
        }
    }

    #[test]
    fn nothing_is_seen_between_a_revision_and_itself(mine in requests()) {
        let mine = sums(&mine);
        let comparison = compare(&mine, &mine);
        for one in [comparison.failures, comparison.first_byte, comparison.outcome].into_iter().flatten() {
            prop_assert_eq!(one.verdict, Verdict::NoDifferenceSeen);
        }
    }

    #[test]
    fn whoever_restarts_nothing_is_lost_and_nothing_counts_twice(
        words in prop::collection::vec((0..3_usize, any::<bool>(), 1..20_u64), 1..60)
    ) {
        let names: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
        let (mut ledger, mut told, mut all) = (Ledger::default(), [(0_u64, 0_u64); 3], 0);
        for (who, restarts, more) in words {
            let (run, counted) = &mut told[who];
            if restarts {
                (*run, *counted) = (*run + 1, 0);
            }
            (*counted, all) = (*counted + more, all + more);
            let before = ledger.now().map_or(0, |period| period.sums.gone);
            ledger.say(&names[who], Some(reading(*run, 7, *counted)));
            let now = ledger.now().unwrap().sums.gone;
            prop_assert!(before <= now);
            prop_assert_eq!(now, all);
        }
    }
}

/// Of a run that began in the millisecond of its number.
fn reading(run: u64, split: u64, gone: u64) -> Reading {
    Reading { run, split, began: at(run), sums: Sums { gone, ..Sums::default() } }
}

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(millis)
}

#[test]
fn scatter_is_seen_however_far_from_zero_it_is() {
    let far: Vec<f64> = (0..1_000).map(|number| 1e9 - 1.0 + f64::from(number % 3)).collect();
    let near = of(&far).variance().unwrap();
    assert!((0.66..0.68).contains(&near), "{near}");
}

#[test]
fn a_change_of_the_split_begins_anew_once_most_are_there() {
    let names: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
    let mut ledger = Ledger::default();
    names.iter().for_each(|name| ledger.say(name, Some(reading(1, 90, 100))));
    ledger.say(&names[0], Some(reading(2, 80, 5)));
    assert_eq!(ledger.now().map(|now| (now.split, now.sums.gone)), Some((90, 300)));
    ledger.say(&names[1], Some(reading(2, 80, 6)));
    assert_eq!(ledger.now().map(|now| (now.split, now.since, now.sums.gone)), Some((80, at(2), 11)));
    ledger.say(&names[2], Some(reading(2, 80, 7)));
    // What was at the shares of before is another time of day.
    names.iter().for_each(|name| ledger.say(name, Some(reading(3, 90, 1))));
    assert_eq!(ledger.now().map(|now| (now.split, now.since, now.sums.gone)), Some((90, at(3), 3)));
}

#[test]
fn what_an_activator_counted_that_is_gone_stays_until_the_split_changes() {
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let mut ledger = Ledger::default();
    ledger.say(&a, Some(reading(1, 90, 100)));
    ledger.forget(&a);
    assert_eq!(ledger.now().map(|now| now.sums.gone), Some(100));
    ledger.say(&b, Some(reading(9, 90, 1)));
    assert_eq!(ledger.now().map(|now| now.sums.gone), Some(101));
    ledger.say(&b, Some(reading(10, 50, 1)));
    assert_eq!(ledger.now().map(|now| now.sums.gone), Some(1));
    ledger.say(&b, None);
    assert_eq!(ledger.now(), None);
}

#[test]
fn a_split_has_one_name_whatever_the_order_and_another_one_for_other_shares() {
    let percent = |percent| Percent::new(percent).unwrap();
    let name = name_of_split([("v1", percent(90)), ("v2", percent(10))]);
    assert_eq!(name_of_split([("v2", percent(10)), ("v1", percent(90)), ("v3", percent(0))]), name);
    assert_eq!(name_of_split([("v1", percent(80)), ("v2", percent(10)), ("v1", percent(10))]), name);
    assert_ne!(name_of_split([("v1", percent(10)), ("v2", percent(90))]), name);
    assert_ne!(name_of_split([("v1", percent(90)), ("v20", percent(10))]), name);
}

#[test]
fn only_what_is_a_number_within_bounds_is_an_outcome() {
    for (text, number) in [("0.93", 0.93), (" -1e3 ", -1_000.0), ("1e9", 1e9), ("-0", 0.0)] {
        assert_eq!(outcome_of(text.as_bytes()), Some(number), "{text}");
    }
    for text in ["", "good", "NaN", "inf", "-infinity", "1.1e9", "0,93", "0.9 0.8", "\u{fffd}"] {
        assert_eq!(outcome_of(text.as_bytes()), None, "{text}");
    }
    assert_eq!(outcome_of(&[0xff]), None);
}

#[test]
fn nothing_is_said_of_few() {
    let few = |count| sums(&vec![(false, 1.0, 1.0); count]);
    assert_eq!(compare(&few(49), &few(1_000)).failures, None);
    assert_eq!(compare(&few(49), &few(1_000)).outcome, None);
    assert_eq!(compare(&few(1_000), &few(49)).first_byte, None);
    assert_eq!(compare(&few(50), &few(50)).outcome.map(|outcome| outcome.samples), Some((50, 50)));
}

#[test]
fn those_that_failed_and_those_that_were_refused_count_as_one_and_those_that_went_away_as_none() {
    let mut mine = Sums { refused: 2, gone: 5, ..Sums::default() };
    [200, 101, 304, 404, 500, 503, 999].into_iter().for_each(|status| mine.answered(status, None));
    assert_eq!(mine.answers, [2, 1, 1, 3]);
    assert_eq!((mine.tried(), mine.failed(), mine.requests()), (9, 5, 14));
}

/// Runs of an experiment in which somebody looks after every request, and in how many of them it was ever said that there
/// is a difference.
fn ever_seen(runs: u64, until: usize, mut one: impl FnMut(&mut Chance, bool) -> (bool, f64, f64)) -> (usize, usize) {
    let (mut wrong, mut outcomes) = (0, 0);
    for run in 0..runs {
        let mut chance = Chance(run << 20);
        let (mut candidate, mut other) = (Sums::default(), Sums::default());
        let (mut failures, mut outcome) = (false, false);
        for count in 0..until {
            // A fifth of it is the candidate's.
            let is_candidates = count % 5 == 0;
            let request = [one(&mut chance, is_candidates)];
            let side = if is_candidates { &mut candidate } else { &mut other };
            *side = side.and(&sums(&request));
            let now = compare(&candidate, &other);
            let seen = |one: Option<Compared>| one.is_some_and(|one| one.verdict != Verdict::NoDifferenceSeen);
            failures |= seen(now.failures);
            outcome |= seen(now.outcome) || seen(now.first_byte);
        }
        wrong += usize::from(failures);
        outcomes += usize::from(outcome);
    }
    (wrong, outcomes)
}

#[test]
fn who_looks_after_every_request_sees_no_difference_where_there_is_none() {
    for share in [0.005, 0.05, 0.5] {
        let alike = |chance: &mut Chance, _| (chance.hits(share), chance.time(), chance.normal());
        let (failures, means) = ever_seen(200, 3_000, alike);
        assert!(failures <= 10 && means <= 20, "{share}: {failures} and {means} of 200");
    }
}

#[test]
fn a_difference_that_is_there_is_seen() {
    let worse = |chance: &mut Chance, is_candidates: bool| {
        let (share, mean) = if is_candidates { (0.15, -0.5) } else { (0.02, 0.0) };
        (chance.hits(share), chance.time(), chance.normal() + mean)
    };
    let (failures, means) = ever_seen(50, 2_000, worse);
    assert_eq!((failures, means), (50, 50));
}

#[test]
fn intervals_hold_the_true_difference_at_every_look() {
    let (mut missed, mut widest) = (0, 0.0_f64);
    for run in 0..300_u64 {
        let mut chance = Chance(run << 24);
        let (mut candidate, mut other) = (Sums::default(), Sums::default());
        let mut is_missed = false;
        for _ in 0..1_000 {
            candidate = candidate.and(&sums(&[(chance.hits(0.10), 1.5 * chance.time(), 0.0)]));
            other = other.and(&sums(&[(chance.hits(0.03), chance.time(), 0.0)]));
            let now = compare(&candidate, &other);
            let holds = |one: Option<Compared>, truth: f64| one.is_none_or(|one| one.low <= truth && truth <= one.high);
            is_missed |= !holds(now.failures, 0.07) || !holds(now.first_byte, 0.5);
        }
        missed += usize::from(is_missed);
        let last = compare(&candidate, &other).failures.unwrap();
        widest = widest.max(last.high - last.low);
    }
    // Each of the two at 95 %, and neither so wide that it says nothing.
    assert!(missed <= 30, "{missed} of 300");
    assert!(widest <= 0.09, "{widest}");
}
