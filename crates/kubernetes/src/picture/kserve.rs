//! What an InferenceService means for an endpoint that names one: which Deployment it is, what its fields say, and what
//! stands in the way. Pure.
//!
//! KServe in its mode Standard makes a Deployment and a Service for the predictor and finds them again by name; here they
//! are found by its labels, since their names change with a canary. Its controller owns both. What it does with replicas
//! depends on one annotation, and only `external` leaves them to somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use platform::{Layer, Source};
use units::{ConcurrencyLimit, RevisionKey};

use super::within;
use crate::objects::{Deployment, InferenceService, Service};
use crate::world::Seen;

/// Of each InferenceService of a namespace, the Deployments that have its labels.
#[derive(Default)]
pub(super) struct Predictors<'a>(BTreeMap<&'a str, Vec<(&'a RevisionKey, &'a Deployment)>>);

impl<'a> Predictors<'a> {
    pub(super) fn of(seen: &'a Seen, namespace: &Arc<str>) -> Self {
        let mut predictors: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (key, deployment) in within(&seen.deployments, namespace) {
            if let Some(name) = &deployment.predicts_for {
                predictors.entry(&**name).or_default().push((key, &**deployment));
            }
        }
        Self(predictors)
    }

    /// The one that serves everybody: there can be others, of canaries and of workers.
    fn stable(&self, name: &str, predictor: Option<&str>) -> Option<&'a RevisionKey> {
        let all = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        stable(name, predictor, all.iter().map(|(key, _)| *key), |key| &key.name)
    }
}

/// Of the Deployments with the labels of an InferenceService's predictor, the one that serves everybody: by its name, if
/// there are several. `predictor`: the name that the InferenceService gives it.
pub(crate) fn stable<T: Copy>(
    name: &str,
    predictor: Option<&str>,
    mut deployments: impl ExactSizeIterator<Item = T>,
    name_of: impl Fn(&T) -> &str,
) -> Option<T> {
    if deployments.len() < 2 {
        return deployments.next();
    }
    let named = predictor.map_or_else(String::new, |predictor| format!("{predictor}-"));
    let stable = format!("{name}-{named}predictor");
    deployments.find(|deployment| name_of(deployment) == stable)
}

/// The InferenceService of an entry of `traffic`.
pub(super) fn named<'a>(
    seen: &'a Seen,
    namespace: &Arc<str>,
    target: &api::TrafficTarget,
) -> Option<&'a InferenceService> {
    let name = target.inference_service.as_deref()?;
    seen.inference_services.get(&(Arc::clone(namespace), Arc::from(name))).map(|service| &**service)
}

/// The spec with the Deployments of the InferenceServices that it names, as far as they are known, and with what these say
/// where the endpoint itself says nothing. `None` if it names none.
pub(super) fn resolved(
    seen: &Seen,
    namespace: &Arc<str>,
    predictors: &Predictors<'_>,
    spec: &api::ModelEndpoint,
) -> Option<api::ModelEndpoint> {
    if spec.traffic.iter().all(|target| target.inference_service.is_none()) {
        return None;
    }
    let mut resolved = spec.clone();
    // One Deployment is one revision: who names it second has none.
    let plain = spec.traffic.iter().filter(|target| target.inference_service.is_none());
    let mut taken: BTreeSet<String> = plain.map(|target| target.revision.clone()).collect();
    for target in &mut resolved.traffic {
        let Some(name) = target.inference_service.clone() else { continue };
        let service = named(seen, namespace, target);
        // What another mode of KServe has made has the labels too, and is scaled by Knative.
        if service.is_none_or(|service| other_mode(service).is_some()) {
            continue;
        }
        let predictor = service.and_then(|service| service.predictor.as_deref());
        if let Some(key) = predictors.stable(&name, predictor)
            && taken.insert(key.name.to_string())
        {
            target.revision = key.name.to_string();
        }
    }
    // What turns out to be a target gets no copies.
    resolved.shadows.retain(|shadow| !taken.contains(&shadow.target.revision));
    // Limits are the endpoint's, so the one that every replica keeps.
    let services = || spec.traffic.iter().filter_map(|target| named(seen, namespace, target));
    if !spec.said.container_concurrency
        && let Some(limit) = services().filter_map(limit_of).filter(|it| *it != 0).min()
    {
        resolved.container_concurrency = ConcurrencyLimit::from_field(limit);
    }
    if !spec.said.request_timeout
        && let Some(seconds) = services().filter_map(seconds_of).max().filter(|it| *it != 0)
    {
        resolved.timeouts.request = Some(Duration::from_secs(seconds));
    }
    Some(resolved)
}

/// `containerConcurrency`, if an endpoint could say it too.
fn limit_of(service: &InferenceService) -> Option<u32> {
    service.container_concurrency.filter(|limit| api::CONCURRENCY.contains(&u64::from(*limit)))
}

/// `timeout`, if an endpoint could say it too.
fn seconds_of(service: &InferenceService) -> Option<u64> {
    service.timeout_seconds.filter(|seconds| api::TIMEOUT.contains(&Duration::from_secs(*seconds)))
}

/// The mode, where it is not the one in which there is a plain Deployment.
pub(crate) fn other_mode(service: &InferenceService) -> Option<&str> {
    service.mode.as_deref().filter(|mode| !matches!(*mode, "Standard" | "RawDeployment"))
}

/// Why an InferenceService has no Deployment that could be woken, in a sentence.
pub(super) fn hindrance(name: &str, service: Option<&InferenceService>, has_deployment: bool) -> Option<Arc<str>> {
    let Some(service) = service else {
        return Some(format!("there is no InferenceService {name} in this namespace").into());
    };
    let sentence = if service.stopped {
        format!(
            "InferenceService {name} is stopped: KServe deletes what serves it, and no request wakes it. Take its annotation \
             serving.kserve.io/stop away to have it served"
        )
    } else if let Some(mode) = other_mode(service) {
        format!(
            "InferenceService {name} is served in KServe's mode {mode}, in which there is no plain Deployment to scale. Give it \
             the annotation serving.kserve.io/deploymentMode: Standard"
        )
    } else if !has_deployment {
        format!(
            "InferenceService {name} has no Deployment with the labels serving.kserve.io/inferenceservice: {name} and \
             component: predictor yet, or it is another entry of traffic already. KServe's controller makes it; its \
             conditions say what it waits for"
        )
    } else {
        return None;
    };
    Some(sentence.into())
}

/// Who writes `replicas` beside Rouse by an InferenceService's annotation, and what to do: a sentence. `None` if it is
/// nobody.
pub(super) fn rival(name: &str, service: &InferenceService) -> Option<Arc<str>> {
    let class = service.class.as_deref();
    let (who, then) = match class {
        Some("external") => return None,
        None | Some("hpa") => (
            "so that KServe makes a HorizontalPodAutoscaler which never goes below 1",
            "KServe deletes its HorizontalPodAutoscaler then",
        ),
        Some("keda") => (
            "so that KServe makes a ScaledObject, and KEDA writes replicas",
            "KServe leaves its ScaledObject there; delete it",
        ),
        Some("none") => (
            "which says that nobody scales it: KServe sets replicas back to minReplicas, or to 1, whenever it looks",
            "KServe leaves replicas alone then",
        ),
        Some(_) => ("which KServe does not know", "KServe leaves replicas alone then"),
    };
    let has = match class {
        None => "has no annotation serving.kserve.io/autoscalerClass, which means hpa".to_owned(),
        Some(class) => format!("has the annotation serving.kserve.io/autoscalerClass: {class}"),
    };
    let sentence = format!(
        "InferenceService {name} {has}, {who}. Rouse would be corrected by it, so it writes no replicas and wakes nothing. \
         Write serving.kserve.io/autoscalerClass: external; {then}"
    );
    Some(sentence.into())
}

/// Settings of an InferenceService: of its annotations and of its scaling fields, with where they stand.
pub(super) fn layers(service: &InferenceService) -> [Layer; 2] {
    let mut values = BTreeMap::new();
    let mut say = |knob: api::Knob, value: Option<String>| values.extend(value.map(|value| (knob.annotation(), value)));
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    say(api::Knob::MinReplicas, number(service.min_replicas));
    say(api::Knob::MaxReplicas, number(service.max_replicas));
    // A target of another metric is no number of requests.
    if measures_requests(service) {
        say(api::Knob::Metric, service.scale_metric.as_deref().map(str::to_owned));
        say(api::Knob::Target, number(service.scale_target));
    }
    [
        Layer { source: Source::InferenceService, values: service.annotations.clone() },
        Layer { source: Source::KServe, values },
    ]
}

/// Without a metric it is Rouse's own: requests in flight.
fn measures_requests(service: &InferenceService) -> bool {
    service.scale_metric.as_deref().is_none_or(|metric| matches!(metric, "concurrency" | "rps"))
}

/// What of an InferenceService Rouse cannot do, in sentences.
pub(super) fn passed_over(name: &str, service: &InferenceService) -> Option<Arc<str>> {
    let metric = service.scale_metric.as_deref().filter(|_| !measures_requests(service)).map(|metric| {
        format!(
            "scaleMetric {metric} of InferenceService {name} is passed over, and scaleTarget with it: Rouse scales by \
             concurrency or rps"
        )
    });
    let limit = service.container_concurrency.filter(|_| limit_of(service).is_none()).map(|limit| {
        let most = api::CONCURRENCY.end();
        format!("containerConcurrency {limit} of InferenceService {name} is passed over: at most {most} is allowed")
    });
    let timeout = service.timeout_seconds.filter(|_| seconds_of(service).is_none()).map(|seconds| {
        let most = api::TIMEOUT.end().as_secs();
        format!("timeout {seconds} of InferenceService {name} is passed over: at most {most} seconds are allowed")
    });
    let all: Vec<String> = [metric, limit, timeout].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; ").into())
}

/// The Service of KServe's by which an InferenceService is called, if requests to it can wake this Deployment.
pub(super) fn service_of<'a>(
    seen: &'a Seen,
    namespace: &Arc<str>,
    name: &str,
    deployment: &Deployment,
) -> Option<(&'a Arc<str>, &'a Service)> {
    let mut services = within(&seen.services, namespace).map(|((_, name), service)| (name, &**service));
    services.find(|(_, service)| {
        // A headless one has no address but those of its pods, at their own ports.
        service.predicts_for.as_deref() == Some(name)
            && service.cluster_ip.is_some()
            && !service.selector.is_empty()
            && Some(&service.selector) == deployment.match_labels()
    })
}
