//! What is accepted: `config_test.go` and `annotation_validation_test.go`.

use kpa::policy::{Config, Resolved};

use crate::{config, resolve, seconds};

fn defaults() -> Config {
    Config::knative_defaults()
}

/// Keys that are refused, without their prefix.
fn refused(pairs: &[(&str, &str)], config: &Config) -> Vec<String> {
    let keys = resolve(pairs, config).err().unwrap_or_default();
    keys.iter().map(|key| key.trim_start_matches("autoscaling.knative.dev/").to_owned()).collect()
}

#[test]
fn a_share_is_a_percentage_above_one_and_has_bounds() {
    let share =
        |text| config(&[("container-concurrency-target-percentage", text)]).map(|it| it.concurrency_utilization);
    assert_eq!((share("55"), share("0.55"), share("1")), (Ok(0.55), Ok(0.55), Ok(1.0)));
    for bad in ["-42", "0", "100.01"] {
        assert!(share(bad).is_err(), "{bad}");
    }
    let product = [("container-concurrency-target-percentage", "5"), ("container-concurrency-target-default", "0.1")];
    assert_eq!(config(&product).unwrap_err().len(), 2, "of 0.005");
}

#[test]
fn rates_are_above_one() {
    for key in ["max-scale-up-rate", "max-scale-down-rate"] {
        assert!(config(&[(key, "1.0")]).is_err(), "{key}");
        assert!(config(&[(key, "1.01")]).is_ok(), "{key}");
    }
}

#[test]
fn a_stable_window_is_6_s_to_an_hour_in_whole_seconds() {
    let ok = |text| config(&[("stable-window", text)]).is_ok();
    assert_eq!(["6s", "1h"].map(ok), [true, true]);
    assert_eq!(["5s", "1h1s", "61984ms"].map(ok), [false, false, false]);
}

#[test]
fn a_panic_window_is_1_to_100_percent() {
    let ok = |text| config(&[("panic-window-percentage", text)]).is_ok();
    assert_eq!(["1", "100", "0.5", "110"].map(ok), [true, true, false, false]);
}

#[test]
fn under_a_limit_the_default_maximum_is_one_too() {
    let ok = |pairs: &[_]| config(pairs).is_ok();
    assert!(!ok(&[("max-scale", "11"), ("max-scale-limit", "10")]));
    assert!(!ok(&[("max-scale", "0"), ("max-scale-limit", "10")]));
    assert!(!ok(&[("max-scale", "1"), ("min-scale", "2")]));
    assert!(ok(&[("max-scale", "10"), ("min-scale", "2"), ("max-scale-limit", "10")]));
}

#[test]
fn to_begin_with_nothing_needs_its_switch_whose_case_is_free() {
    assert!(config(&[("initial-scale", "0")]).is_err());
    assert!(config(&[("initial-scale", "0"), ("allow-zero-initial-scale", "false")]).is_err());
    for yes in ["true", "TRUE", "True"] {
        assert!(config(&[("initial-scale", "0"), ("allow-zero-initial-scale", yes)]).is_ok(), "{yes}");
    }
}

#[test]
fn a_maximum_below_the_minimum_is_refused_unless_it_is_none() {
    assert_eq!(refused(&[("min-scale", "5"), ("max-scale", "2")], &defaults()), ["min-scale", "max-scale"]);
    assert!(refused(&[("min-scale", "5"), ("max-scale", "0")], &defaults()).is_empty());
    assert!(refused(&[("min-scale", "0"), ("max-scale", "0")], &defaults()).is_empty());
}

#[test]
fn under_a_limit_nobody_is_unlimited() {
    let limited = config(&[("max-scale", "4"), ("max-scale-limit", "5")]).unwrap();
    assert_eq!(refused(&[("max-scale", "0")], &limited), ["max-scale"]);
    assert_eq!(refused(&[("max-scale", "6")], &limited), ["max-scale"]);
    assert!(refused(&[("max-scale", "5")], &limited).is_empty());
}

#[test]
fn the_activation_scale_lies_between_the_bounds() {
    assert!(!refused(&[("min-scale", "3"), ("activation-scale", "2")], &defaults()).is_empty());
    assert!(!refused(&[("max-scale", "3"), ("activation-scale", "4")], &defaults()).is_empty());
    assert!(refused(&[("min-scale", "2"), ("activation-scale", "3"), ("max-scale", "4")], &defaults()).is_empty());
}

#[test]
fn some_durations_are_whole_seconds_and_some_are_not() {
    assert_eq!(refused(&[("window", "6.5s")], &defaults()), ["window"]);
    assert_eq!(refused(&[("scale-down-delay", "2500ms")], &defaults()), ["scale-down-delay"]);
    let policy = crate::resolved(&[("scale-to-zero-pod-retention-period", "21m31.5s")], &defaults());
    assert_eq!(policy.retention, seconds(1291) + std::time::Duration::from_millis(500));
}

#[test]
fn the_average_is_checked_of_our_own_class_only() {
    let algorithm = |class| refused(&[("class", class), ("metric-aggregation-algorithm", "random")], &defaults());
    assert_eq!(algorithm("kpa.autoscaling.knative.dev"), ["metric-aggregation-algorithm"]);
    assert!(algorithm("sandwich.example.com").is_empty());
}

#[test]
fn other_classes_pass_unless_they_are_said_to_be_knatives() {
    assert!(matches!(resolve(&[("class", "sandwich.example.com")], &defaults()), Ok(Resolved::Theirs { .. })));
    assert_eq!(refused(&[("class", "sandwich.knative.dev")], &defaults()), ["class"]);
}

#[test]
fn every_fault_is_told() {
    let all = [("min-scale", "foo"), ("max-scale", "-1"), ("window", "jerry"), ("target", "-3"), ("metric", "bar")];
    assert_eq!(refused(&all, &defaults()).len(), 5);
}

#[test]
fn a_panic_threshold_has_bounds_as_an_annotation_only() {
    for bad in ["109", "109.9", "10000"] {
        assert_eq!(refused(&[("panic-threshold-percentage", bad)], &defaults()), ["panic-threshold-percentage"]);
        assert!(config(&[("panic-threshold-percentage", bad)]).is_ok(), "{bad}");
    }
}
