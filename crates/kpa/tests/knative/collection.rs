//! From readings to averages: `metrics/collector_test.go` and `sample_size_test.go`.
//!
//! Nothing is scraped here: whoever counts tells it. What is proved is the same.

use kpa::{
    ActivatorReading, Aggregation, Metric, PathState, Policy, Rules, Scaler, Series, SidecarReading, Stat, World,
    sample_size, stand_for_all,
};
use units::{Incarnation, ReplicaCount};

use crate::{at, policy, seconds};

fn world(ready: u32) -> World {
    World {
        ready: ReplicaCount(ready),
        starting: ReplicaCount::ZERO,
        scale: ReplicaCount(ready),
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

/// After so many seconds of so many in flight, and as many requests a second.
fn activator(second: u64, in_flight: u64, requests: u64) -> ActivatorReading {
    ActivatorReading {
        incarnation: Incarnation(1),
        elapsed_us: second * 1_000_000,
        requests: second * requests,
        concurrency_us: second * in_flight * 1_000_000,
        in_flight: in_flight as u32,
    }
}

fn sidecar(second: u64, in_flight: u64, proxied: u64) -> SidecarReading {
    SidecarReading {
        incarnation: Incarnation(1),
        elapsed_us: second * 1_000_000,
        requests: second * in_flight,
        proxied_requests: second * proxied,
        concurrency_us: second * in_flight * 1_000_000,
        proxied_concurrency_us: second * proxied * 1_000_000,
        in_flight: in_flight as u32,
    }
}

fn scaler(policy: Policy) -> Scaler {
    Scaler::new(policy, Rules::knative(), at(0), ReplicaCount(1))
}

fn stable(scaler: &mut Scaler, second: u64) -> Option<f64> {
    scaler.decide(at(second), &world(1)).decision.seen.stable
}

#[test]
fn what_several_tell_of_one_second_adds_up() {
    let mut scaler = scaler(policy(10.0));
    for second in 1..=10 {
        scaler.activator(at(second), "a", activator(second, 3, 1));
        scaler.activator(at(second), "b", activator(second, 4, 1));
    }
    assert_eq!(stable(&mut scaler, 10), Some(7.0));
}

#[test]
fn what_came_through_an_activator_is_not_counted_twice() {
    for (metric, told) in [(Metric::Concurrency, 20.0 + 30.0 - 20.0), (Metric::Rps, 7.0 + 30.0 - 20.0)] {
        let mut scaler = scaler(Policy { metric, ..policy(10.0) });
        for second in 1..=10 {
            scaler.activator(at(second), "a", activator(second, 20, 7));
            scaler.sidecar(at(second), "r", sidecar(second, 30, 20));
        }
        assert_eq!(stable(&mut scaler, 10), Some(told), "{metric:?}");
    }
}

#[test]
fn requests_a_second_are_scaled_by_as_concurrency_is() {
    let mut scaler = scaler(Policy { metric: Metric::Rps, ..policy(10.0) });
    let _ = scaler.decide(at(0), &world(1));
    for second in 1..=20 {
        scaler.activator(at(second), "a", activator(second, 1, 50));
    }
    let decision = scaler.decide(at(20), &world(5)).decision;
    assert_eq!(decision.want, Some(ReplicaCount(5)));
    // Room: 5 * 13.33 - 100 - 50 = -83.33.
    assert_eq!(decision.burst_room.0, -84, "from requests a second too");
}

#[test]
fn each_window_averages_its_own_seconds() {
    let windows = Policy { stable_window: seconds(6), panic_window: seconds(2), ..policy(10.0) };
    let mut series = Series::new(&windows);
    for second in 0..10 {
        series.record(at(second), second as f64 + 5.0);
    }
    let load = series.load(at(9));
    assert_eq!((load.stable, load.panic), (11.5, 13.5));
}

#[test]
fn a_window_is_empty_one_window_after_its_last_value_and_zero_just_before() {
    let mut series = Series::new(&policy(10.0));
    assert!(series.is_empty(at(0)));
    series.record(at(0), 5.0);
    assert_eq!((series.is_empty(at(60)), series.load(at(60)).stable), (false, 0.0));
    assert!(series.is_empty(at(61)));
}

#[test]
fn how_seconds_are_averaged_is_taken_from_the_settings() {
    let weighted = Policy { aggregation: Aggregation::WeightedExponential, ..policy(10.0) };
    let loads = [policy(10.0), weighted].map(|policy| {
        let mut series = Series::new(&policy);
        series.record(at(0), 10.0);
        series.load(at(0)).stable
    });
    assert_eq!(loads[0], 10.0);
    assert!((loads[1] - 2.0).abs() < 1e-9, "{}", loads[1]);
}

#[test]
fn so_many_of_so_many_stand_for_all() {
    let populations = [0, 1, 2, 3, 4, 5, 10, 11, 25, 30, 100, 1000];
    assert_eq!(populations.map(sample_size), [0, 1, 2, 3, 4, 4, 7, 7, 10, 11, 14, 16]);
}

#[test]
fn a_sample_is_stretched_to_all_and_nobody_is_nothing() {
    let one =
        Stat { average_concurrency: 4.0, average_proxied_concurrency: 1.0, request_count: 8.0, proxied_count: 2.0 };
    let two = Stat { average_concurrency: 2.0, ..one };
    let all = stand_for_all(&[one, two], 10).unwrap();
    assert_eq!((all.average_concurrency, all.request_count, all.proxied_count), (30.0, 80.0, 20.0));
    assert_eq!(stand_for_all(&[], 10), None);
}
