//! From settings to what is decided by: `target_test.go`, `decider_test.go`, `metric_test.go`, `pa_lifecycle_test.go`.

use kpa::policy::Config;
use kpa::{Because, Bounds, Policy, TargetBurstCapacity};
use units::ReplicaCount;

use crate::{config, policy, resolve, resolved, seconds};

#[test]
fn an_annotation_beats_the_cluster_in_every_field() {
    let cluster = config(&[
        ("panic-threshold-percentage", "300"),
        ("target-burst-capacity", "7"),
        ("scale-down-delay", "20s"),
        ("stable-window", "30s"),
        ("initial-scale", "4"),
        ("max-scale-up-rate", "5"),
        ("max-scale-down-rate", "6"),
        ("activator-capacity", "50"),
    ])
    .unwrap();
    let fields = |policy: &Policy| {
        let Policy { panic_threshold, burst, scale_down_delay, stable_window, initial, .. } = *policy;
        (panic_threshold, burst, scale_down_delay, stable_window, initial)
    };
    let of_all = resolved(&[], &cluster);
    assert_eq!(fields(&of_all), (3.0, TargetBurstCapacity::Of(7.0), seconds(20), seconds(30), ReplicaCount(4)));
    assert_eq!((of_all.max_scale_up_rate, of_all.max_scale_down_rate, of_all.activator_capacity), (5.0, 6.0, 50.0));
    assert_eq!(of_all.activation, None);
    let annotated = resolved(
        &[
            ("panic-threshold-percentage", "150"),
            ("target-burst-capacity", "-1"),
            ("scale-down-delay", "1m"),
            ("window", "10s"),
            ("initial-scale", "9"),
            ("activation-scale", "3"),
        ],
        &cluster,
    );
    assert_eq!(fields(&annotated), (1.5, TargetBurstCapacity::Unlimited, seconds(60), seconds(10), ReplicaCount(9)));
    assert_eq!(annotated.activation.map(std::num::NonZeroU32::get), Some(3));
}

#[test]
fn to_begin_with_nothing_needs_leave_of_the_cluster() {
    assert!(resolve(&[("initial-scale", "0")], &Config::knative_defaults()).is_err());
    let allowing = config(&[("allow-zero-initial-scale", "true"), ("initial-scale", "2")]).unwrap();
    assert_eq!(resolved(&[("initial-scale", "0")], &allowing).initial, ReplicaCount(0));
    assert_eq!(resolved(&[], &allowing).initial, ReplicaCount(2));
}

#[test]
fn a_panic_window_is_a_share_in_whole_seconds() {
    for (window, share, whole) in [("60s", "51", 31), ("10s", "10", 1), ("6s", "1", 1), ("60s", "10", 6)] {
        let policy = resolved(&[("window", window), ("panic-window-percentage", share)], &Config::knative_defaults());
        assert_eq!(policy.panic_window, seconds(whole), "{share} % of {window}");
    }
    assert_eq!(resolved(&[], &config(&[("panic-window-percentage", "20")]).unwrap()).panic_window, seconds(12));
}

#[test]
fn bounds_come_from_either_place_and_what_nothing_reaches_has_no_minimum() {
    let cluster = config(&[("min-scale", "1"), ("max-scale", "10")]).unwrap();
    let of = |policy: &Policy| {
        let bounds = Bounds::of(policy, true);
        (bounds.min.0, bounds.max.map(|max| max.0))
    };
    assert_eq!(of(&resolved(&[], &cluster)), (1, Some(10)));
    assert_eq!(of(&resolved(&[("min-scale", "3"), ("max-scale", "0")], &cluster)), (3, None));
    let unreached = Policy { reachable: false, ..resolved(&[("min-scale", "3")], &cluster) };
    assert_eq!(of(&unreached), (0, Some(10)));
}

#[test]
fn a_minimum_above_the_maximum_wins() {
    let bounds = Bounds { min: ReplicaCount(5), because: Because::Minimum, max: Some(ReplicaCount(3)) };
    assert_eq!([0, 4, 9].map(|count| bounds.apply(ReplicaCount(count)).0), [5, 5, 3]);
}

#[test]
fn the_initial_scale_is_a_floor_until_it_was_reached() {
    let initial = Policy { initial: ReplicaCount(2), ..policy(10.0) };
    let floor = |policy: &Policy, initialized| Bounds::of(policy, initialized).apply(ReplicaCount(1)).0;
    assert_eq!((floor(&initial, false), floor(&initial, true)), (2, 1));
    let unreached = Policy { reachable: false, ..initial };
    assert_eq!(Bounds::of(&unreached, false).apply(ReplicaCount::ZERO), ReplicaCount::ZERO);
}
