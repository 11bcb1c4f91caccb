use proptest::prelude::*;

use super::*;

const START_S: u64 = 1_700_000_000;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(START_S * 1000 + millis)
}

/// Counters of a sidecar that is as old as the observation, after `millis`, with so many request-seconds.
fn counted(millis: u64, request_seconds: u64) -> Counters {
    Counters {
        incarnation: Incarnation(1),
        elapsed_us: millis * 1000,
        requests: request_seconds,
        proxied_requests: 0,
        concurrency_us: request_seconds * 1_000_000,
        proxied_concurrency_us: 0,
    }
}

/// From which second to which, counted from the start, and the concurrency of each.
fn told(seconds: Option<Seconds>) -> Option<(u64, u64, f64)> {
    seconds.map(|seconds| (seconds.first - START_S, seconds.last - START_S, seconds.each.average_concurrency))
}

fn sidecar(reporter: &mut Reporter, millis: u64, counters: Counters) -> Option<(u64, u64, f64)> {
    reporter.note(at(millis));
    told(reporter.read(at(millis), at(0), counters, 0))
}

#[test]
fn jitter_leaves_no_second_out_and_tells_none_twice() {
    let mut reporter = Reporter::new(at(0));
    assert_eq!(sidecar(&mut reporter, 950, counted(950, 0)), Some((0, 0, 0.0)));
    assert_eq!(sidecar(&mut reporter, 2_100, counted(1_950, 10)), Some((1, 2, 10.0)));
    assert_eq!(sidecar(&mut reporter, 2_950, counted(2_950, 20)), None, "this second has its value");
    assert_eq!(sidecar(&mut reporter, 3_950, counted(3_950, 30)), Some((3, 3, 10.0)), "for both");
}

#[test]
fn a_reading_makes_up_for_those_that_were_lost() {
    let mut reporter = Reporter::new(at(0));
    let _ = sidecar(&mut reporter, 1_000, counted(1_000, 0));
    assert_eq!(sidecar(&mut reporter, 6_000, counted(6_000, 50)), Some((2, 6, 10.0)));
}

#[test]
fn a_part_that_grows_by_more_than_its_whole_is_the_whole() {
    let mut reporter = Reporter::new(at(0));
    let _ = sidecar(&mut reporter, 1_000, counted(1_000, 100));
    let sly = Counters { proxied_requests: 110, proxied_concurrency_us: 110_000_000, ..counted(2_000, 110) };
    let each = reporter.read(at(2_000), at(0), sly, 0).unwrap().each;
    assert_eq!((each.request_count, each.proxied_count), (10.0, 10.0));
    assert_eq!((each.average_concurrency, each.average_proxied_concurrency), (10.0, 10.0));
}

#[test]
fn a_restart_is_counted_from_its_birth() {
    let mut reporter = Reporter::new(at(0));
    let _ = sidecar(&mut reporter, 5_000, counted(5_000, 500));
    let reborn = Counters { incarnation: Incarnation(2), ..counted(2_000, 6) };
    assert_eq!(sidecar(&mut reporter, 10_000, reborn), Some((9, 10, 3.0)));
}

#[test]
fn what_was_counted_before_the_observation_is_not_taken_for_new() {
    let mut reporter = Reporter::new(at(1_000));
    let old = Counters { elapsed_us: 3_600_000_000, ..counted(0, 9_999) };
    reporter.note(at(1_500));
    let seconds = reporter.read(at(1_500), at(1_000), old, 3);
    assert_eq!(told(seconds), Some((1, 1, 3.0)), "no more than what is in flight");
}

#[test]
fn a_burst_after_idle_frames_is_not_spread_over_them() {
    let mut reporter = Reporter::new(at(0));
    let _ = reporter.hear(at(1_000));
    let _ = reporter.read(at(1_000), at(0), counted(1_000, 5), 0);
    let idle: Vec<_> = (2..=9).filter_map(|second| told(reporter.hear(at(second * 1000)))).collect();
    assert_eq!(idle.first(), Some(&(2, 2, 0.0)));
    assert_eq!(idle.last(), Some(&(8, 8, 0.0)));
    assert_eq!(told(reporter.hear(at(10_000))), Some((9, 9, 0.0)));
    assert_eq!(told(reporter.read(at(10_000), at(0), counted(10_000, 25), 0)), Some((10, 10, 20.0)));
}

#[test]
fn an_activator_that_is_silent_is_not_taken_for_idle() {
    let mut reporter = Reporter::new(at(0));
    let _ = reporter.hear(at(1_000));
    let _ = reporter.read(at(1_000), at(0), counted(1_000, 5), 5);
    assert_eq!(told(reporter.hear(at(9_000))), None, "nothing is known of the gap yet");
    assert_eq!(told(reporter.read(at(9_000), at(0), counted(9_000, 45), 5)), Some((2, 9, 5.0)));
}

#[test]
fn numbers_beyond_reason_are_bounded() {
    let mut reporter = Reporter::new(at(0));
    let absurd = Counters { concurrency_us: u64::MAX, requests: u64::MAX, ..counted(1_000, 0) };
    let (_, _, concurrency) = sidecar(&mut reporter, 1_000, absurd).unwrap();
    assert_eq!(concurrency, BEYOND_REASON);
    assert_eq!(sidecar(&mut reporter, 2_000, counted(2_000, 0)), Some((2, 2, 0.0)), "a counter that went back");
}

proptest! {
    /// Whatever the pauses between readings: each second is told exactly once, and no request is lost.
    #[test]
    fn every_second_once_and_every_request(pauses in prop::collection::vec((1_u64..4_000, 0_u64..50), 1..60)) {
        let mut reporter = Reporter::new(at(0));
        let (mut millis, mut requests, mut told_requests) = (0, 0, 0.0);
        let mut next = None;
        for (pause, more) in pauses {
            millis += pause;
            requests += more;
            reporter.note(at(millis));
            if let Some(seconds) = reporter.read(at(millis), at(0), counted(millis, requests), 0) {
                prop_assert!(next.is_none_or(|next| seconds.first == next), "{seconds:?} after {next:?}");
                next = Some(seconds.last + 1);
                told_requests += seconds.each.request_count * seconds.count();
            }
        }
        millis += 1_000;
        reporter.note(at(millis));
        let last = reporter.read(at(millis), at(0), counted(millis, requests), 0).unwrap();
        told_requests += last.each.request_count * last.count();
        prop_assert!((told_requests - requests as f64).abs() < 1e-6, "{told_requests} of {requests}");
    }
}
