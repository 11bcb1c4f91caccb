use proptest::prelude::*;

use super::super::annotations::PREFIX;
use super::super::{Annotation, TargetBurstCapacity};
use super::*;

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
}

fn resolved(pairs: &[(&str, &str)]) -> Result<Resolved, Vec<Refusal<Place>>> {
    resolve(&texts(pairs), &Config::knative_defaults(), ConcurrencyLimit::Unlimited, true)
}

fn policy(pairs: &[(&str, &str)], container_concurrency: u32) -> Policy {
    let limit = ConcurrencyLimit::from_field(container_concurrency);
    match resolve(&texts(pairs), &Config::knative_defaults(), limit, true) {
        Ok(Resolved::Ours(policy)) => policy,
        other => panic!("{pairs:?}: {other:?}"),
    }
}

#[test]
fn each_annotation_is_accepted_at_its_bounds_and_refused_just_beyond() {
    for (key, good, bad) in [
        ("class", &["kpa.autoscaling.knative.dev", "kpa", ""][..], &["x.knative.dev", ".knative.dev"][..]),
        ("metric", &["concurrency", "rps"], &["", "cpu", "RPS", " rps"]),
        ("target", &["0.01", "0x1p4"], &["0.00999999", "-1", "Inf", "50 "]),
        ("target-utilization-percentage", &["1", "100"], &["0.999", "100.0001", "NaN"]),
        ("target-burst-capacity", &["-1", "0", "0.5"], &["-0.5", "-1.0000001", "Inf"]),
        ("window", &["6s", "1h", ".5m"], &["5s", "6.5s", "1h1s", "60", "-6s"]),
        ("panic-window-percentage", &["1", "100"], &["0.999", "100.0001"]),
        ("panic-threshold-percentage", &["110", "1000"], &["109.999", "1000.1"]),
        ("scale-down-delay", &["0", "0s", "1h"], &["1.5s", "1h1s", "-1s"]),
        ("scale-to-zero-pod-retention-period", &["0s", "1.5s", "1h"], &["1h1ns", "-1ns"]),
        ("min-scale", &["0", "+1", "2147483647"], &["-1", "2147483648", "1.0", ""]),
        ("max-scale", &["0", "007", "2147483647"], &["-1", "2147483648", "1_0"]),
        ("initial-scale", &["1", "2147483648"], &["0", "-1", "99999999999999999999"]),
        ("activation-scale", &["2", "2147483647"], &["1", "0", "2147483648"]),
    ] {
        for text in good {
            assert!(resolved(&[(key, text)]).is_ok(), "{key}: {text:?} should be accepted");
        }
        for text in bad {
            let refusals = resolved(&[(key, text)]).expect_err(text);
            assert!(
                matches!(&refusals[..], [one] if one.value == *text && one.key.ends_with(key)),
                "{key}: {refusals:?}"
            );
        }
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let refusals = resolved(&[("target", "no"), ("window", "1s"), ("min-scale", "3"), ("max-scale", "2")]).unwrap_err();
    let told: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "annotations: autoscaling.knative.dev/target: \"no\" is refused; allowed: a number, at least 0.01",
            "annotations: autoscaling.knative.dev/window: \"1s\" is refused; allowed: 6s to 1h in whole seconds",
            "annotations: autoscaling.knative.dev/min-scale: \"3\" is refused; \
             allowed: at most autoscaling.knative.dev/max-scale, which is 2",
            "annotations: autoscaling.knative.dev/max-scale: \"2\" is refused; \
             allowed: at least autoscaling.knative.dev/min-scale, which is 3, or 0 for no limit",
        ]
    );
}

#[test]
fn the_three_scales_stand_in_order_and_may_be_equal() {
    assert!(resolved(&[("min-scale", "3"), ("activation-scale", "3"), ("max-scale", "3")]).is_ok());
    assert!(resolved(&[("min-scale", "3"), ("activation-scale", "3"), ("max-scale", "0")]).is_ok());
    for pair in [
        [("min-scale", "4"), ("max-scale", "3")],
        [("min-scale", "4"), ("activation-scale", "3")],
        [("activation-scale", "4"), ("max-scale", "3")],
    ] {
        assert_eq!(resolved(&pair).unwrap_err().len(), 2, "{pair:?}");
    }
}

#[test]
fn under_a_limit_a_maximum_must_be_one() {
    let config = Config { max_scale_limit: 8, max_scale: 8, ..Config::knative_defaults() };
    let accepted = |max| resolve(&texts(&[("max-scale", max)]), &config, ConcurrencyLimit::Unlimited, true).is_ok();
    assert_eq!(["0", "1", "8", "9"].map(accepted), [false, true, true, false]);
}

#[test]
fn a_value_that_could_not_be_read_contradicts_nobody() {
    let data = [("max-scale", "x"), ("max-scale-limit", "5")];
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let refusals = Config::parse(&data).unwrap_err();
    assert_eq!(refusals.iter().map(|refusal| refusal.key).collect::<Vec<_>>(), ["max-scale"]);
}

#[test]
fn the_other_spelling_is_not_even_looked_at_beside_the_first() {
    assert_eq!(policy(&[("max-scale", "5"), ("maxScale", "x")], 0).max, Some(ReplicaCount(5)));
    assert_eq!(policy(&[("maxScale", "4")], 0).max, Some(ReplicaCount(4)));
    assert!(resolved(&[("max-scale", "x"), ("maxScale", "5")]).is_err());
    assert_eq!(Annotation::ALL.iter().filter(|key| key.alias().is_some()).count(), 10);
}

#[test]
fn the_target_is_what_a_replica_holds_times_the_utilization() {
    let of = |pairs: &[(&str, &str)], container_concurrency| {
        let policy = policy(pairs, container_concurrency);
        (policy.target, policy.total)
    };
    assert_eq!(of(&[], 0), (70.0, 100.0));
    assert_eq!(of(&[("target-utilization-percentage", "80")], 1), (0.8, 1.0));
    assert_eq!(of(&[("target", "10"), ("target-utilization-percentage", "100")], 1), (1.0, 1.0));
    assert_eq!(of(&[("target", "500"), ("targetUtilizationPercentage", "50")], 0), (250.0, 500.0));
    assert_eq!(of(&[("metric", "rps")], 10), (140.0, 200.0));
    assert_eq!(of(&[("target", "0.01"), ("target-utilization-percentage", "1")], 0), (0.01, 0.01));
}

#[test]
fn the_panic_window_is_rounded_to_the_nearest_second_and_never_none() {
    let seconds = |window: &str, percent: &str| {
        policy(&[("window", window), ("panic-window-percentage", percent)], 0).panic_window.as_secs()
    };
    assert_eq!(seconds("60s", "10"), 6);
    assert_eq!(seconds("15s", "10"), 2);
    assert_eq!(seconds("14s", "10"), 1);
    assert_eq!(seconds("6s", "1"), 1);
    assert_eq!(seconds("1h", "100"), 3_600);
}

#[test]
fn an_unreachable_revision_has_no_minimum_and_no_retention() {
    let texts = texts(&[("min-scale", "3"), ("scale-to-zero-pod-retention-period", "5m")]);
    let of = |reachable| match resolve(&texts, &Config::knative_defaults(), ConcurrencyLimit::Unlimited, reachable) {
        Ok(Resolved::Ours(policy)) => (policy.min, policy.retention),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(true), (ReplicaCount(3), Duration::from_secs(300)));
    assert_eq!(of(false), (ReplicaCount(0), Duration::ZERO));
}

#[test]
fn unlimited_burst_has_a_word_of_its_own() {
    assert_eq!(policy(&[("target-burst-capacity", "-1")], 0).burst, TargetBurstCapacity::Unlimited);
    assert_eq!(policy(&[("target-burst-capacity", "0")], 0).burst, TargetBurstCapacity::Of(0.0));
}

proptest! {
    #[test]
    fn no_annotation_makes_it_panic(values in prop::collection::btree_map(
        prop::sample::select(Annotation::ALL.to_vec()).prop_map(|key| key.name().to_owned()), ".{0,12}", 0..6,
    )) {
        let _ = resolve(&values, &Config::knative_defaults(), ConcurrencyLimit::Unlimited, true);
    }
}
