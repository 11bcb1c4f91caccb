use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_700_000_000_000 + millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One that has learned that a start takes 20 s.
fn learned() -> Pace {
    let mut pace = Pace::unknown();
    pace.shut(at(0));
    pace.opened(at(20_000));
    pace
}

#[test]
fn who_is_sent_away_during_a_start_comes_back_when_it_is_usually_over() {
    let mut pace = learned();
    pace.shut(at(100_000));
    pace.shut(at(105_000));
    assert_eq!(pace.come_back(at(108_000), 7, s(8)), s(12));
    assert_eq!(pace.come_back(at(119_900), 7, s(20)), SOONEST, "it is nearly over");
    assert_eq!(pace.come_back(at(130_000), 7, s(30)), s(10), "it is late by 10 s, and may be so by 10 more");
    assert_eq!(pace.come_back(at(900_000), 7, s(30)), LATEST);
}

#[test]
fn a_first_start_is_expected_to_last_as_long_again() {
    let mut pace = Pace::unknown();
    pace.shut(at(0));
    assert_eq!(pace.come_back(at(300), 1, s(0)), SOONEST);
    assert_eq!(pace.come_back(at(8_000), 1, s(8)), s(8));
}

#[test]
fn a_longer_start_is_believed_at_once_and_a_shorter_one_bit_by_bit() {
    let mut pace = learned();
    pace.shut(at(100_000));
    pace.opened(at(140_000));
    assert_eq!(pace.start(), Some(s(40)));
    pace.shut(at(200_000));
    pace.opened(at(204_000));
    assert_eq!(pace.start(), Some(s(31)));
}

#[test]
fn nothing_is_learned_of_a_start_that_nobody_waited_for_to_its_end() {
    let mut pace = learned();
    pace.shut(at(100_000));
    pace.deserted();
    pace.opened(at(900_000));
    assert_eq!(pace.start(), Some(s(20)));
}

#[test]
fn who_finds_the_line_full_comes_back_when_it_has_drained() {
    let mut pace = Pace::unknown();
    // Five a second, for twenty seconds.
    (0..100).for_each(|n| pace.went(at(n * 200)));
    let after = pace.come_back(at(20_000), 50, s(10)).as_secs_f64();
    assert!((9.0..11.0).contains(&after), "{after}");
    let stalled = pace.come_back(at(50_000), 50, s(40));
    assert_eq!(stalled, LATEST, "nobody has gone for half a minute");
}

#[test]
fn a_drain_that_has_just_begun_is_not_taken_for_a_slow_one() {
    let mut pace = Pace::unknown();
    (0..20).for_each(|n| pace.went(at(n * 100)));
    let after = pace.come_back(at(2_000), 100, s(2)).as_secs_f64();
    assert!((9.0..11.5).contains(&after), "{after}");
}

#[test]
fn before_anyone_has_gone_the_oldest_wait_is_all_that_is_known() {
    assert_eq!(Pace::unknown().come_back(at(0), 9, s(7)), s(7));
}

#[test]
fn what_is_told_lies_within_a_fifth_and_is_never_nothing() {
    assert_eq!([0.0, 0.5, 1.0].map(|random| spread(s(10), random)), [8, 10, 12]);
    assert_eq!(spread(Duration::from_millis(1), 0.0), 1);
    assert_eq!(spread(s(3), f64::NAN).max(1), spread(s(3), f64::NAN));
}

#[derive(Clone, Debug)]
enum Op {
    Shut,
    Opened,
    Deserted,
    Went,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => Just(Op::Shut),
        1 => Just(Op::Opened),
        1 => Just(Op::Deserted),
        3 => Just(Op::Went),
        2 => (0_u64..100_000).prop_map(Op::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_was_seen_it_is_a_second_to_a_minute_and_never_a_panic(
        ops in prop::collection::vec(op(), 0..60), waiting: u32, oldest_s in 0_u64..1 << 40,
    ) {
        let (mut pace, mut now) = (Pace::unknown(), at(0));
        for op in ops {
            match op {
                Op::Shut => pace.shut(now),
                Op::Opened => pace.opened(now),
                Op::Deserted => pace.deserted(),
                Op::Went => pace.went(now),
                Op::Pass(millis) => now = now.plus(Duration::from_millis(millis)),
            }
            let after = pace.come_back(now, waiting, s(oldest_s));
            prop_assert!((SOONEST..=LATEST).contains(&after), "{after:?}");
        }
    }

    /// The longer the line, the later.
    #[test]
    fn a_longer_line_never_asks_back_sooner(gaps in prop::collection::vec(0_u64..3_000, 1..50), a: u16, b: u16) {
        let (mut pace, mut now) = (Pace::unknown(), at(0));
        for gap in gaps {
            now = now.plus(Duration::from_millis(gap));
            pace.went(now);
        }
        let after = |waiting: u16| pace.come_back(now, waiting.into(), s(1));
        prop_assert!(after(a.min(b)) <= after(a.max(b)));
    }
}
