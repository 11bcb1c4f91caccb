use std::time::Duration;

use proptest::prelude::*;
use units::ReplicaCount;

use super::super::TargetBurstCapacity;
use super::super::annotations::PREFIX;
use super::*;

type Layer = &'static str;
type Texts = BTreeMap<String, String>;

const STRONG: Layer = "Deployment";
const WEAK: Layer = "Endpoint";

fn annotations(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
}

fn data(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(layers: &[(Layer, &Texts)], cluster: &Cluster, last: Option<&InForce<Layer>>) -> InForce<Layer> {
    read_limited(layers, cluster, ConcurrencyLimit::Unlimited, last)
}

fn read_limited(
    layers: &[(Layer, &Texts)],
    cluster: &Cluster,
    limit: ConcurrencyLimit,
    last: Option<&InForce<Layer>>,
) -> InForce<Layer> {
    let sources = Sources {
        layers,
        cluster,
        config_map: "config-autoscaler",
        built_in: "built in",
        container_concurrency: (limit, "containerConcurrency"),
        reachable: true,
    };
    InForce::read(&sources, last)
}

fn unconfigured() -> Cluster {
    Cluster::read(&Texts::new(), None)
}

fn told(refusals: &[Refusal<impl std::fmt::Display>]) -> Vec<String> {
    refusals.iter().map(ToString::to_string).collect()
}

fn shown(in_force: &InForce<Layer>, knob: &str) -> (String, Layer) {
    let setting = &in_force.settings[knob];
    (setting.value.clone(), setting.source)
}

#[test]
fn without_any_layer_the_defaults_of_knative_hold() {
    let in_force = read(&[], &unconfigured(), None);

    assert_eq!(in_force.class, Class::Kpa);
    assert_eq!((in_force.policy.target, in_force.policy.total), (70.0, 100.0));
    assert_eq!(in_force.policy.panic_window, Duration::from_secs(6));
    assert!(in_force.refusals.is_empty() && in_force.warnings.is_empty());
    assert!(in_force.settings.values().all(|setting| setting.source == "built in"));
}

#[test]
fn defaults_are_the_same_as_text_and_as_values() {
    let texts = ConfigKey::ALL.iter().map(|key| (key.name().to_owned(), key.default_text().to_owned())).collect();
    assert_eq!(Config::parse(&texts), Ok(Config::knative_defaults()));
}

#[test]
fn every_knob_is_shown_with_its_value_and_where_it_came_from() {
    let strong = annotations(&[("min-scale", "2"), ("metricAggregationAlgorithm", "weightedExponential")]);
    let weak = annotations(&[("min-scale", "1"), ("window", "2m")]);
    let cluster = Cluster::read(&data(&[("container-concurrency-target-percentage", "0.8"), ("max-scale", "9")]), None);

    let in_force = read(&[(STRONG, &strong), (WEAK, &weak)], &cluster, None);

    let lines: Vec<String> =
        in_force.settings.iter().map(|(knob, Setting { value, source })| format!("{knob}={value} {source}")).collect();
    assert_eq!(
        lines,
        [
            "activationReplicas=1 built in",
            "activatorCapacity=100 built in",
            "aggregation=weighted-exponential Deployment",
            "allowZeroInitialScale=false built in",
            "class=kpa.autoscaling.knative.dev built in",
            "enableScaleToZero=true built in",
            "initialReplicas=1 built in",
            "maxReplicas=9 config-autoscaler",
            "maxScaleDownRate=2 built in",
            "maxScaleLimit=0 built in",
            "maxScaleUpRate=1000 built in",
            "metric=concurrency built in",
            "minReplicas=2 Deployment",
            "panicThresholdPercentage=200 built in",
            "panicWindowPercentage=10 built in",
            "scaleDownDelay=0s built in",
            "scaleToZeroGracePeriod=30s built in",
            "scaleToZeroRetention=0s built in",
            "target=100 built in",
            "targetBurstCapacity=211 built in",
            "targetUtilizationPercentage=80 config-autoscaler",
            "window=2m Endpoint",
        ]
    );
}

#[test]
fn a_limit_of_the_container_is_the_target_unless_a_smaller_one_is_annotated() {
    let limit = ConcurrencyLimit::from_field(10);
    let of = |pairs: &[(&str, &str)]| {
        let layer = annotations(pairs);
        shown(&read_limited(&[(STRONG, &layer)], &unconfigured(), limit, None), "target")
    };
    assert_eq!(of(&[]), ("10".to_owned(), "containerConcurrency"));
    assert_eq!(of(&[("target", "50")]), ("10".to_owned(), "containerConcurrency"));
    assert_eq!(of(&[("target", "5.5")]), ("5.5".to_owned(), STRONG));
    assert_eq!(of(&[("metric", "rps")]), ("200".to_owned(), "built in"));
}

#[test]
fn a_bad_value_is_refused_with_its_bounds_and_the_next_layers_counts() {
    let strong = annotations(&[("window", "5s"), ("maxScale", "many"), ("target", "3")]);
    let weak = annotations(&[("window", "90s")]);

    let in_force = read(&[(STRONG, &strong), (WEAK, &weak)], &unconfigured(), None);

    assert_eq!(in_force.policy.stable_window, Duration::from_secs(90));
    assert_eq!((in_force.policy.max, in_force.policy.total), (None, 3.0));
    assert_eq!(
        told(&in_force.refusals),
        [
            "Deployment: autoscaling.knative.dev/window: \"5s\" is refused; allowed: 6s to 1h in whole seconds",
            "Deployment: autoscaling.knative.dev/maxScale: \"many\" is refused; allowed: a whole number from 0 to 2147483647",
        ]
    );
}

#[test]
fn the_last_good_value_stays_until_a_good_one_comes_or_the_key_goes() {
    let weak = annotations(&[("window", "30s")]);
    let cluster = unconfigured();
    let mut last = None;
    let windows = ["2m", "2 minutes", "soon", "3m"].map(|text| {
        let strong = annotations(&[("window", text)]);
        let in_force = read(&[(STRONG, &strong), (WEAK, &weak)], &cluster, last.as_ref());
        let window = in_force.policy.stable_window.as_secs();
        last = Some(in_force);
        window
    });
    assert_eq!(windows, [120, 120, 120, 180]);

    let in_force = read(&[(STRONG, &Texts::new()), (WEAK, &weak)], &cluster, last.as_ref());
    assert_eq!(in_force.policy.stable_window.as_secs(), 30);
}

#[test]
fn the_newcomer_of_two_that_contradict_each_other_is_refused() {
    let cluster = unconfigured();
    let before = annotations(&[("max-scale", "3")]);
    let after = annotations(&[("max-scale", "3"), ("min-scale", "5")]);
    let last = read(&[(STRONG, &before)], &cluster, None);

    let in_force = read(&[(STRONG, &after)], &cluster, Some(&last));

    assert_eq!(in_force.policy, last.policy);
    assert_eq!(
        told(&in_force.refusals),
        ["Deployment: autoscaling.knative.dev/min-scale: \"5\" is refused; \
             allowed: at most autoscaling.knative.dev/max-scale, which is 3"]
    );
}

#[test]
fn of_two_newcomers_that_contradict_each_other_the_weaker_layer_gives_way() {
    let min = annotations(&[("min-scale", "5")]);
    let max = annotations(&[("max-scale", "3")]);
    let cluster = unconfigured();

    let in_force = read(&[(STRONG, &min), (WEAK, &max)], &cluster, None);
    assert_eq!((in_force.policy.min, in_force.policy.max), (ReplicaCount(5), None));

    let in_force = read(&[(STRONG, &max), (WEAK, &min)], &cluster, None);
    assert_eq!((in_force.policy.min, in_force.policy.max), (ReplicaCount(0), Some(ReplicaCount(3))));
}

#[test]
fn of_two_newcomers_in_one_layer_neither_is_believed() {
    let both = annotations(&[("min-scale", "5"), ("max-scale", "3")]);
    let in_force = read(&[(STRONG, &both)], &unconfigured(), None);
    assert_eq!((in_force.policy.min, in_force.policy.max), (ReplicaCount(0), None));
    assert_eq!(
        told(&in_force.refusals),
        [
            "Deployment: autoscaling.knative.dev/min-scale: \"5\" is refused; \
             allowed: at most autoscaling.knative.dev/max-scale, which is 3",
            "Deployment: autoscaling.knative.dev/max-scale: \"3\" is refused; \
             allowed: at least autoscaling.knative.dev/min-scale, which is 5, or 0 for no limit",
        ]
    );
}

#[test]
fn a_minimum_of_a_revision_may_lie_above_the_maximum_of_all() {
    let cluster = Cluster::read(&data(&[("max-scale", "3")]), None);
    let layer = annotations(&[("min-scale", "5")]);
    let in_force = read(&[(STRONG, &layer)], &cluster, None);
    assert_eq!((in_force.policy.min, in_force.policy.max), (ReplicaCount(5), Some(ReplicaCount(3))));
    assert!(in_force.refusals.is_empty());
}

#[test]
fn what_knative_accepts_and_passes_over_is_refused_and_said() {
    let layer = annotations(&[("metric-aggregation-algorithm", "exponential"), ("initial-scale", "3000000000")]);
    let in_force = read(&[(STRONG, &layer)], &unconfigured(), None);
    assert_eq!(in_force.refusals.len(), 2);
    assert_eq!(in_force.policy.initial, ReplicaCount(1));
}

#[test]
fn a_slip_of_the_pen_is_ignored_and_the_nearest_key_is_named() {
    let layer = annotations(&[("min-scael", "1"), ("targetBurstCapcity", "0"), ("minScale", "2")]);
    let in_force = read(&[(STRONG, &layer)], &unconfigured(), None);
    let said: Vec<String> = in_force.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "Deployment: autoscaling.knative.dev/min-scael is not a setting and is ignored; \
             the nearest one is autoscaling.knative.dev/min-scale",
            "Deployment: autoscaling.knative.dev/targetBurstCapcity is not a setting and is ignored; \
             the nearest one is autoscaling.knative.dev/targetBurstCapacity",
        ]
    );
}

#[test]
fn keys_of_others_are_none_of_our_business() {
    let layer = data(&[("example.com/min-scale", "x"), ("serving.knative.dev/target", "x"), ("min-scale", "x")]);
    let in_force = read(&[(STRONG, &layer)], &unconfigured(), None);
    assert!(in_force.warnings.is_empty() && in_force.refusals.is_empty());
}

#[test]
fn a_bad_key_of_the_config_map_costs_only_itself() {
    let good = data(&[("stable-window", "2m"), ("max-scale", "4")]);
    let last = Cluster::read(&good, None);
    let bad = data(&[("stable-window", "1s"), ("max-scale", "5"), ("tick-interval", "2s"), ("_example", "")]);

    let cluster = Cluster::read(&bad, Some(&last));

    assert_eq!(cluster.config.stable_window, Duration::from_secs(120));
    assert_eq!(cluster.config.max_scale, 5);
    assert_eq!(
        told(&cluster.refusals),
        ["config-autoscaler: stable-window: \"1s\" is refused; allowed: 6s to 1h in whole seconds"]
    );
    assert_eq!(cluster.warnings.len(), 1);
}

#[test]
fn a_limit_without_a_maximum_is_refused_because_no_maximum_is_no_limit() {
    let cluster = Cluster::read(&data(&[("max-scale-limit", "5")]), None);
    assert_eq!(cluster.config.max_scale_limit, 0);
    assert_eq!(
        told(&cluster.refusals),
        ["config-autoscaler: max-scale-limit: \"5\" is refused; allowed: 0 while max-scale is 0, which is no limit"]
    );
}

#[test]
fn a_lowered_limit_reaches_maxima_that_were_good_before() {
    let layer = annotations(&[("max-scale", "8")]);
    let wide = Cluster::read(&data(&[("max-scale-limit", "10"), ("max-scale", "2")]), None);
    let narrow = Cluster::read(&data(&[("max-scale-limit", "5"), ("max-scale", "2")]), Some(&wide));
    let last = read(&[(STRONG, &layer)], &wide, None);
    assert_eq!(last.policy.max, Some(ReplicaCount(8)));

    let in_force = read(&[(STRONG, &layer)], &narrow, Some(&last));

    assert_eq!(in_force.policy.max, Some(ReplicaCount(2)));
    assert_eq!(
        told(&in_force.refusals),
        ["Deployment: autoscaling.knative.dev/max-scale: \"8\" is refused; \
             allowed: a whole number from 1 to 5, the max-scale-limit of config-autoscaler"]
    );
}

#[test]
fn what_was_good_under_a_wider_limit_does_not_stay() {
    let wide = Cluster::read(&data(&[("max-scale-limit", "10"), ("max-scale", "2")]), None);
    let narrow = Cluster::read(&data(&[("max-scale-limit", "5"), ("max-scale", "2")]), Some(&wide));
    let last = read(&[(STRONG, &annotations(&[("max-scale", "8")]))], &wide, None);

    let in_force = read(&[(STRONG, &annotations(&[("max-scale", "many")]))], &narrow, Some(&last));

    assert_eq!(in_force.policy.max, Some(ReplicaCount(2)));
    assert_eq!(shown(&in_force, "maxReplicas").1, "config-autoscaler");
}

#[test]
fn somebody_elses_class_is_told_and_not_guessed() {
    let layer = annotations(&[("class", "hpa.autoscaling.knative.dev"), ("metric", "cpu")]);
    let in_force = read(&[(STRONG, &layer)], &unconfigured(), None);
    assert_eq!(in_force.class, Class::Hpa);
    assert!(in_force.refusals.is_empty());

    let layer = annotations(&[("class", "kpa.knative.dev")]);
    let in_force = read(&[(STRONG, &layer)], &unconfigured(), None);
    assert_eq!((in_force.class, in_force.refusals.len()), (Class::Kpa, 1));
}

/// Texts that are good for some key and bad for others, small so that they meet.
fn text() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "0",
        "1",
        "2",
        "3",
        "5",
        "8",
        "50",
        "100",
        "150",
        "-1",
        "0.5",
        "1e400",
        "NaN",
        "6s",
        "60s",
        "1h",
        "2h",
        "1.5s",
        "concurrency",
        "rps",
        "linear",
        "weightedExponential",
        "true",
        "kpa.autoscaling.knative.dev",
        "x.knative.dev",
        "somebody.example",
        "3000000000",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => ".{0,6}"]
}

/// Often one of the three that can contradict each other.
fn annotation() -> impl Strategy<Value = Annotation> {
    use Annotation::{ActivationScale, MaxScale, MinScale};
    let any = prop::sample::select(Annotation::ALL.to_vec());
    prop_oneof![any, prop::sample::select(vec![MinScale, MaxScale, ActivationScale])]
}

fn layer() -> impl Strategy<Value = Texts> {
    prop::collection::btree_map(annotation().prop_map(|key| key.name().to_owned()), text(), 0..8)
}

fn config() -> impl Strategy<Value = Texts> {
    let key = prop::sample::select(ConfigKey::ALL.to_vec()).prop_map(|key| key.name().to_owned());
    prop::collection::btree_map(key, text(), 0..8)
}

proptest! {
    #[test]
    fn whatever_is_written_the_policy_lies_within_its_bounds(
        strong in layer(), weak in layer(), data in config(), limit in 0..20_u32,
    ) {
        let cluster = Cluster::read(&data, None);
        let limit = ConcurrencyLimit::from_field(limit);
        let policy = read_limited(&[(STRONG, &strong), (WEAK, &weak)], &cluster, limit, None).policy;

        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        prop_assert!(0.01 <= policy.target && policy.target.is_finite());
        prop_assert!(policy.total.is_finite() && policy.panic_threshold.is_finite());
        prop_assert!(6 * second <= policy.stable_window && policy.stable_window <= hour);
        prop_assert!(second <= policy.panic_window && policy.panic_window <= policy.stable_window);
        prop_assert_eq!(policy.stable_window.subsec_nanos() + policy.panic_window.subsec_nanos(), 0);
        prop_assert_eq!(policy.scale_down_delay.subsec_nanos(), 0);
        prop_assert!(!policy.grace.is_zero());
        prop_assert!(1.0 < policy.max_scale_up_rate && 1.0 < policy.max_scale_down_rate);
        prop_assert!(1.0 <= policy.activator_capacity);
        prop_assert!(policy.max.is_none_or(|max| !max.is_zero()));
        prop_assert!(policy.activation.is_none_or(|activation| 2 <= activation.get()));
        match policy.burst {
            TargetBurstCapacity::Unlimited => {}
            TargetBurstCapacity::Of(capacity) => prop_assert!(0.0 <= capacity && capacity.is_finite()),
        }
        let limit = cluster.config.max_scale_limit;
        prop_assert!(limit == 0 || policy.max.is_some_and(|max| max.0 <= limit));
        prop_assert!(cluster.config.allow_zero_initial_scale || !policy.initial.is_zero());
    }

    #[test]
    fn the_strongest_value_that_is_valid_wins(texts in prop::collection::vec(prop::option::of(text()), 4)) {
        const NAMES: [Layer; 4] = ["first", "second", "third", "fourth"];
        let layers: Vec<Texts> = texts
            .iter()
            .map(|text| text.iter().map(|text| (format!("{PREFIX}window"), text.clone())).collect())
            .collect();
        let named: Vec<(Layer, &Texts)> = NAMES.into_iter().zip(&layers).collect();

        let in_force = read(&named, &unconfigured(), None);

        let is_valid = |text: &Option<String>| matches!(text.as_deref(), Some("6s" | "60s" | "1h"));
        let expected = match texts.iter().position(is_valid) {
            Some(rank) => (texts[rank].clone().unwrap_or_default(), NAMES[rank]),
            None => ("60s".to_owned(), "built in"),
        };
        prop_assert_eq!(shown(&in_force, "window"), expected);
    }

    #[test]
    fn reading_the_same_again_changes_nothing(strong in layer(), weak in layer(), data in config()) {
        let cluster = Cluster::read(&data, None);
        let again = Cluster::read(&data, Some(&cluster));
        prop_assert_eq!(&again.config, &cluster.config);
        prop_assert_eq!(&again.refusals, &cluster.refusals);

        let layers = [(STRONG, &strong), (WEAK, &weak)];
        let first = read(&layers, &cluster, None);
        let second = read(&layers, &again, Some(&first));
        prop_assert_eq!(first.policy, second.policy);
        prop_assert_eq!(first.settings, second.settings);
        prop_assert_eq!(first.refusals, second.refusals);
    }

    #[test]
    fn a_value_that_is_refused_changes_nothing(
        strong in layer(), weak in layer(), data in config(),
        key in annotation(), text in text(), into_strong in any::<bool>(),
    ) {
        let cluster = Cluster::read(&data, None);
        let before = read(&[(STRONG, &strong), (WEAK, &weak)], &cluster, None);
        let (mut strong, mut weak) = (strong, weak);
        let layer = if into_strong { STRONG } else { WEAK };
        // To take back one of two that contradict each other is not to add a bad one: the other may count from then on.
        let was_refused = |refusal: &Refusal<Layer>| refusal.key == key.name() && refusal.layer == layer;
        if before.refusals.iter().any(was_refused) {
            return Ok(());
        }
        let values = if into_strong { &mut strong } else { &mut weak };
        values.insert(key.name().to_owned(), text.clone());

        let after = read(&[(STRONG, &strong), (WEAK, &weak)], &cluster, Some(&before));

        let is_it = |refusal: &Refusal<Layer>| {
            refusal.key == key.name() && refusal.value == text && refusal.layer == layer
        };
        if after.refusals.iter().any(is_it) {
            prop_assert_eq!(before.policy, after.policy);
        }
    }
}
