//! Every knob by its name, its value as text, and where that was said: what a person is shown.

use std::collections::BTreeMap;

use units::ConcurrencyLimit;

use super::layers::{Cluster, InForce, Setting, Sources};
use super::resolve::{metric_of, total_of, utilization_of};
use super::{Annotation, Annotations, ConfigKey, Metric};

/// Knobs that an annotation sets for one revision and `config-autoscaler` for all.
const IN_BOTH: [(&str, Annotation, ConfigKey); 10] = [
    ("class", Annotation::Class, ConfigKey::Class),
    ("minReplicas", Annotation::MinScale, ConfigKey::MinScale),
    ("maxReplicas", Annotation::MaxScale, ConfigKey::MaxScale),
    ("initialReplicas", Annotation::InitialScale, ConfigKey::InitialScale),
    ("window", Annotation::Window, ConfigKey::StableWindow),
    ("panicWindowPercentage", Annotation::PanicWindow, ConfigKey::PanicWindow),
    ("panicThresholdPercentage", Annotation::PanicThreshold, ConfigKey::PanicThreshold),
    ("targetBurstCapacity", Annotation::BurstCapacity, ConfigKey::BurstCapacity),
    ("scaleDownDelay", Annotation::ScaleDownDelay, ConfigKey::ScaleDownDelay),
    ("scaleToZeroRetention", Annotation::Retention, ConfigKey::Retention),
];

/// Knobs that only an annotation sets, and what holds without one.
const ANNOTATED_ONLY: [(&str, Annotation, &str); 3] = [
    ("metric", Annotation::Metric, "concurrency"),
    ("aggregation", Annotation::Aggregation, "linear"),
    ("activationReplicas", Annotation::ActivationScale, "1"),
];

/// Knobs that only `config-autoscaler` sets. Its defaults for the target are shown as the target that they make.
const CONFIGURED_ONLY: [ConfigKey; 7] = [
    ConfigKey::EnableScaleToZero,
    ConfigKey::AllowZeroInitialScale,
    ConfigKey::MaxScaleLimit,
    ConfigKey::MaxScaleUpRate,
    ConfigKey::MaxScaleDownRate,
    ConfigKey::GracePeriod,
    ConfigKey::ActivatorCapacity,
];

/// What holds where nobody has said anything: each knob's value as text, by its name in camelCase.
pub fn built_in() -> BTreeMap<&'static str, String> {
    let cluster = Cluster::read(&BTreeMap::new(), None);
    let sources = Sources {
        layers: &[],
        cluster: &cluster,
        config_map: (),
        built_in: (),
        container_concurrency: (ConcurrencyLimit::Unlimited, ()),
        reachable: true,
    };
    InForce::read(&sources, None).settings.into_iter().map(|(name, setting)| (name, setting.value)).collect()
}

/// All of them. `annotation` tells the text of an annotation that counts, and its layer.
pub(super) fn settings<'a, L: Copy>(
    sources: &Sources<'_, L>,
    annotated: &Annotations,
    annotation: impl Fn(Annotation) -> Option<(&'a str, L)>,
) -> BTreeMap<&'static str, Setting<L>> {
    let annotated_text = |key| annotation(key).map(|(text, source)| Setting { value: text.to_owned(), source });
    let built_in = |text: &str| Setting { value: text.to_owned(), source: sources.built_in };
    let configured = |key| configured(sources, key);

    let mut all = BTreeMap::new();
    for (name, key, config_key) in IN_BOTH {
        all.insert(name, annotated_text(key).unwrap_or_else(|| configured(config_key)));
    }
    for (name, key, default) in ANNOTATED_ONLY {
        all.insert(name, annotated_text(key).unwrap_or_else(|| built_in(default)));
    }
    for key in CONFIGURED_ONLY {
        all.insert(key.camel(), configured(key));
    }
    // One of the two spellings of the one, and an empty text means the other.
    let aggregation = match annotated.aggregation.as_deref() {
        Some("weighted-exponential") => "weighted-exponential",
        _ => "linear",
    };
    all.entry("aggregation").and_modify(|setting| setting.value = aggregation.to_owned());
    all.insert("target", target(sources, annotated, annotated_text(Annotation::Target)));
    all.insert("targetUtilizationPercentage", utilization(sources, annotated, annotated_text(Annotation::Utilization)));
    all
}

fn configured<L: Copy>(sources: &Sources<'_, L>, key: ConfigKey) -> Setting<L> {
    let Sources { cluster, config_map, built_in, .. } = sources;
    let source = if cluster.text(key).is_some() { *config_map } else { *built_in };
    Setting { value: configured_text(cluster, key).to_owned(), source }
}

fn configured_text(cluster: &Cluster, key: ConfigKey) -> &str {
    cluster.text(key).unwrap_or(key.default_text()).trim()
}

/// The target before the utilisation; the container's own limit where that is what counts.
fn target<L: Copy>(sources: &Sources<'_, L>, annotated: &Annotations, written: Option<Setting<L>>) -> Setting<L> {
    let (limit, limited_by) = sources.container_concurrency;
    let limit_counts = match (metric_of(annotated), limit, annotated.target) {
        (Metric::Rps, ..) | (_, ConcurrencyLimit::Unlimited, _) => false,
        (Metric::Concurrency, ConcurrencyLimit::AtMost(_), None) => true,
        (Metric::Concurrency, ConcurrencyLimit::AtMost(limit), Some(target)) => f64::from(limit.get()) < target,
    };
    let default_key = match metric_of(annotated) {
        Metric::Concurrency => ConfigKey::ConcurrencyTarget,
        Metric::Rps => ConfigKey::RpsTarget,
    };
    match written {
        _ if limit_counts => {
            let value = total_of(annotated, &sources.cluster.config, limit).to_string();
            Setting { value, source: limited_by }
        }
        Some(written) => written,
        None => configured(sources, default_key),
    }
}

/// Always in percent: the ConfigMap may say it as a fraction.
fn utilization<L: Copy>(sources: &Sources<'_, L>, annotated: &Annotations, written: Option<Setting<L>>) -> Setting<L> {
    let percent = utilization_of(annotated, &sources.cluster.config) * 100.0;
    let value = ((percent * 1e6).round() / 1e6).to_string();
    let source = match metric_of(annotated) {
        Metric::Concurrency => configured(sources, ConfigKey::ConcurrencyUtilization).source,
        Metric::Rps => sources.built_in,
    };
    written.unwrap_or(Setting { value, source })
}
