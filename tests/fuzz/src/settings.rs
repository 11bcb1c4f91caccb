//! Annotations and `config-autoscaler`.

use std::collections::BTreeMap;
use std::time::Duration;

use kpa::policy::{Annotation, Cluster, Config, ConfigKey, InForce, Refusal, Sources};
use kpa::{Policy, TargetBurstCapacity};
use units::ConcurrencyLimit;

/// Kubernetes allows no longer name, with its prefix.
const MOST_BYTES: usize = 63 + kpa::policy::annotations::PREFIX.len();

/// More than there are settings.
const MOST_LINES: usize = 24;

type Values = BTreeMap<String, String>;

/// Where values stand, strongest first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layer {
    Deployment,
    Endpoint,
    ConfigMap,
    BuiltIn,
}

/// The input is lines `WHERE KEY: VALUE`: WHERE is `d` (the workload), `e` (the endpoint) or anything else (the
/// ConfigMap); KEY is short for an annotation's name. An empty line begins the next reading of the same revision.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut last: Option<(Cluster, InForce<Layer>)> = None;
    for reading in text.split("\n\n").take(3) {
        let [deployment, endpoint, config] = values(reading);
        let (before, in_force_before) = match &last {
            Some((cluster, in_force)) => (Some(cluster), Some(in_force)),
            None => (None, None),
        };
        let cluster = Cluster::read(&config, before);
        is_in_bounds_for_all(&cluster.config);
        knative_agrees(&config, before.is_none().then_some(&cluster));
        let limit = ConcurrencyLimit::from_field(u32::try_from(reading.len() % 7).unwrap_or(0));
        let read = |deployment: &Values, endpoint: &Values, cluster: &Cluster, last: Option<&InForce<Layer>>| {
            let sources = Sources {
                layers: &[(Layer::Deployment, deployment), (Layer::Endpoint, endpoint)],
                cluster,
                config_map: Layer::ConfigMap,
                built_in: Layer::BuiltIn,
                container_concurrency: (limit, Layer::Endpoint),
                reachable: true,
            };
            InForce::read(&sources, last)
        };
        let in_force = read(&deployment, &endpoint, &cluster, in_force_before);
        is_in_bounds(&in_force.policy);
        if last.is_none() {
            // What is refused counts for nothing: without it everything is as it is with it.
            let good_config = Cluster::read(&without(&config, &cluster.refusals, |_| true, config_names), None);
            assert!(good_config.refusals.is_empty(), "{:?}", good_config.refusals);
            assert_eq!(good_config.config, cluster.config);
            let good = |values, layer| without(values, &in_force.refusals, |at| *at == layer, annotation_names);
            let good = read(&good(&deployment, Layer::Deployment), &good(&endpoint, Layer::Endpoint), &cluster, None);
            assert!(good.refusals.is_empty(), "{:?}", good.refusals);
            assert_eq!((good.policy, good.settings), (in_force.policy.clone(), in_force.settings.clone()));
        }
        // Said twice it means the same.
        let same = read(&deployment, &endpoint, &cluster, Some(&in_force));
        assert_eq!((same.policy, same.settings), (in_force.policy.clone(), in_force.settings.clone()));
        last = Some((cluster, in_force));
    }
}

fn values(text: &str) -> [Values; 3] {
    let mut all = [Values::new(), Values::new(), Values::new()];
    let mut strangers = 0;
    for line in text.lines().take(MOST_LINES) {
        let Some((layer, (key, value))) =
            line.split_once(' ').and_then(|(at, rest)| Some((at, rest.split_once(": ")?)))
        else {
            continue;
        };
        let (place, key) = match layer {
            "d" => (0, format!("{}{key}", kpa::policy::annotations::PREFIX)),
            "e" => (1, format!("{}{key}", kpa::policy::annotations::PREFIX)),
            _ => (2, key.to_owned()),
        };
        if annotation_names(&key).is_empty() && config_names(&key).is_empty() {
            // Which known key it looks like takes most of the time, and one shows as much as ten.
            strangers += 1;
            if MOST_BYTES < key.len() || 1 < strangers {
                continue;
            }
        }
        all[place].insert(key, value.to_owned());
    }
    all
}

/// Every way in which a refused key may be spelt, so that taking out one does not bring in the other.
fn annotation_names(key: &str) -> Vec<&'static str> {
    let known = Annotation::ALL.iter().map(|known| (known.name(), known.alias()));
    let mut spelt = known.filter(|(name, alias)| *name == key || *alias == Some(key));
    spelt.next().map_or_else(Vec::new, |(name, alias)| std::iter::once(name).chain(alias).collect())
}

fn config_names(key: &str) -> Vec<&'static str> {
    let mut spelt = ConfigKey::ALL.iter().filter(|known| known.name() == key || known.camel() == key);
    spelt.next().map_or_else(Vec::new, |known| vec![known.name(), known.camel()])
}

fn without<L: std::fmt::Debug>(
    values: &Values,
    refusals: &[Refusal<L>],
    is_here: impl Fn(&L) -> bool,
    names: impl Fn(&str) -> Vec<&'static str>,
) -> Values {
    let mut good = values.clone();
    for refusal in refusals.iter().filter(|refusal| is_here(&refusal.layer)) {
        assert!(!refusal.allowed.is_empty(), "{refusal:?} does not say what is allowed");
        assert_eq!(values.get(refusal.key), Some(&refusal.value), "what is refused was written");
        for name in names(refusal.key) {
            good.remove(name);
        }
    }
    good
}

/// As a whole the ConfigMap is taken exactly if no part of it is refused.
fn knative_agrees(data: &Values, read: Option<&Cluster>) {
    let Some(read) = read else { return };
    match Config::parse(data) {
        Ok(config) => assert_eq!((&config, &read.refusals[..]), (&read.config, &[][..])),
        Err(refusals) => {
            assert!(!refusals.is_empty());
            assert!(!read.refusals.is_empty(), "refused as a whole, and in no part: {refusals:?}");
        }
    }
}

fn is_in_bounds_for_all(config: &Config) {
    let percent = 0.0..=1.0;
    assert!(percent.contains(&config.concurrency_utilization));
    assert!(1.0 < config.max_scale_up_rate && 1.0 < config.max_scale_down_rate);
    assert!(config.max_scale_up_rate.is_finite() && config.max_scale_down_rate.is_finite());
    is_window(config.stable_window);
    assert!(config.max_scale_limit == 0 || config.max_scale <= config.max_scale_limit);
}

fn is_in_bounds(policy: &Policy) {
    assert!(policy.target.is_finite() && 0.01 <= policy.target, "a target of {}", policy.target);
    assert!(policy.total.is_finite() && 0.0 < policy.total, "a total of {}", policy.total);
    // config-autoscaler may set it to any number, as in Knative.
    assert!(policy.panic_threshold.is_finite());
    is_window(policy.stable_window);
    assert!(Duration::from_secs(1) <= policy.panic_window && policy.panic_window <= policy.stable_window);
    if let TargetBurstCapacity::Of(room) = policy.burst {
        assert!(room.is_finite() && 0.0 <= room);
    }
}

fn is_window(window: Duration) {
    assert!((Duration::from_secs(6)..=Duration::from_secs(3_600)).contains(&window) && window.subsec_nanos() == 0);
}
