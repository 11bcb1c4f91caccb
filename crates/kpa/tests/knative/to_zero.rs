//! The way to zero: `kpa/scaler_test.go`, and `TestCanFailActivation`.

use std::time::Duration;

use kpa::{Bounds, Policy, Status, Unwanted, Way, threshold, way};
use units::ReplicaCount;

use crate::{config, policy, resolved, seconds};

const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(630);
const ACTIVATING: Status = Status::Activating { queued: true };
const INACTIVE: Status = Status::Inactive { timed_out: false };

/// Answered by activators that have been in the path for so long.
fn next(status: Status, for_seconds: u64, proxied_for: Option<u64>, policy: &Policy) -> Way {
    let unwanted = Unwanted {
        status,
        status_for: seconds(for_seconds),
        activation_timeout: ACTIVATION_TIMEOUT,
        proxied_for: proxied_for.map(seconds),
    };
    way(&unwanted, policy, true)
}

fn retained(seconds_kept: u64) -> Policy {
    Policy { retention: seconds(seconds_kept), ..policy(10.0) }
}

#[test]
fn in_use_one_is_kept_until_the_window_has_passed() {
    assert_eq!(next(Status::Active, 59, None, &policy(10.0)), Way::One(Some(seconds(1))));
    let longer = Policy { stable_window: seconds(120), ..policy(10.0) };
    assert_eq!(next(Status::Active, 60, None, &longer), Way::One(Some(seconds(60))));
}

#[test]
fn after_the_window_it_falls_out_of_use_and_keeps_its_replicas() {
    for proxied_for in [None, Some(3600)] {
        assert_eq!(next(Status::Active, 60, proxied_for, &policy(10.0)), Way::Deactivate);
    }
}

#[test]
fn a_retention_of_none_is_a_setting_too() {
    let cluster = config(&[("scale-to-zero-pod-retention-period", "10m")]).unwrap();
    let annotated = resolved(&[("scale-to-zero-pod-retention-period", "0s")], &cluster);
    assert_eq!(next(INACTIVE, 30, Some(30), &annotated), Way::Zero);
    assert_eq!(next(INACTIVE, 30, Some(30), &resolved(&[], &cluster)), Way::Retain(seconds(570)));
}

#[test]
fn the_last_replica_is_kept_for_the_rest_of_the_retention() {
    assert_eq!(next(INACTIVE, 60, Some(60), &retained(100)), Way::Retain(seconds(40)));
    assert_eq!(next(INACTIVE, 100, Some(100), &retained(100)), Way::Zero);
}

#[test]
fn activators_that_were_in_the_path_all_along_spare_the_grace() {
    assert_eq!(next(INACTIVE, 5, Some(30), &policy(10.0)), Way::Zero);
    assert_eq!(next(INACTIVE, 5, Some(30), &retained(5)), Way::Zero);
}

#[test]
fn a_path_that_was_switched_gets_the_rest_of_its_grace() {
    assert_eq!(next(INACTIVE, 20, Some(20), &policy(10.0)), Way::Grace(seconds(10)));
    assert_eq!(next(INACTIVE, 29, Some(29), &policy(10.0)), Way::Grace(seconds(1)));
}

#[test]
fn without_an_answer_of_the_activators_nothing_goes() {
    let unwanted = Unwanted {
        status: INACTIVE,
        status_for: seconds(3600),
        activation_timeout: ACTIVATION_TIMEOUT,
        proxied_for: Some(seconds(3600)),
    };
    assert_eq!(way(&unwanted, &policy(10.0), false), Way::AskActivators);
}

#[test]
fn on_its_way_up_it_is_left_alone_until_its_time_is_over() {
    assert_eq!(next(ACTIVATING, 630, None, &policy(10.0)), Way::Leave(ACTIVATION_TIMEOUT));
    assert_eq!(next(ACTIVATING, 631, None, &policy(10.0)), Way::Zero);
    for other in [Status::Active, INACTIVE] {
        assert_ne!(next(other, 631, None, &retained(3600)), Way::Zero, "only a start can fail: {other:?}");
    }
}

#[test]
fn what_nothing_reaches_has_no_retention_and_all_of_its_grace() {
    let unreached = Policy { reachable: false, ..retained(600) };
    assert_eq!(next(INACTIVE, 30, Some(30), &unreached), Way::Zero);
    assert_eq!(next(INACTIVE, 10, Some(10), &unreached), Way::Grace(seconds(20)));
}

#[test]
fn without_scaling_to_zero_one_is_kept_and_a_minimum_is_more() {
    let kept = Policy { scale_to_zero: false, ..policy(10.0) };
    for status in [ACTIVATING, Status::Active, INACTIVE] {
        assert_eq!(next(status, 3600, Some(3600), &kept), Way::One(None));
    }
    let two = Policy { min: ReplicaCount(2), ..kept };
    assert_eq!(Bounds::of(&two, true).apply(ReplicaCount::ZERO), ReplicaCount(2));
}

#[test]
fn a_revision_that_begins_with_nothing_is_out_of_use_at_once() {
    let none = ReplicaCount::ZERO;
    let up = threshold(none, none, false);
    let status = Status::Activating { queued: false }.after(None, none, up);
    assert_eq!(status, INACTIVE);
    assert_eq!(next(status, 0, Some(0), &policy(10.0)), Way::Grace(seconds(30)));
}
