//! KServe's InferenceServices: what of their JSON is kept. Of a predictor, which alone is a revision here; not of
//! transformers and explainers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::InferenceService;
use super::deployment::settings;
use super::envelope::{Kept, Meta, or_default};
use crate::world::{Key, Kind, Seen};

const AUTOSCALER_CLASS: &str = "serving.kserve.io/autoscalerClass";
const DEPLOYMENT_MODE: &str = "serving.kserve.io/deploymentMode";
const STOP: &str = "serving.kserve.io/stop";

/// An InferenceService in JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Wire {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    predictor: Predictor,
}

/// Numbers as they stand, so that one of an odd kind does not blind the watch for all others.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predictor {
    #[serde(default)]
    name: Value,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    min_replicas: Value,
    #[serde(default)]
    max_replicas: Value,
    #[serde(default)]
    scale_target: Value,
    #[serde(default)]
    scale_metric: Value,
    #[serde(default)]
    container_concurrency: Value,
    #[serde(default)]
    timeout: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    deployment_mode: Value,
}

fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().filter(|text| !text.is_empty()).map(Into::into)
}

impl Kept for InferenceService {
    type Wire = Wire;
    type Key = Key;

    const GROUP: &'static str = "serving.kserve.io";
    const VERSION: &'static str = "v1beta1";
    const KIND: &'static str = "InferenceService";
    const PLURAL: &'static str = "inferenceservices";
    const WHAT: Kind = Kind::InferenceServices;

    fn keep(wire: Wire) -> (Meta, Self) {
        let Wire { mut metadata, spec: Spec { predictor }, status } = wire;
        // KServe writes both on the predictor's objects, and those of the predictor win.
        let mut annotations = std::mem::take(&mut metadata.annotations);
        annotations.extend(predictor.annotations);
        let word = |key: &str| annotations.get(key).map(|word| word.as_str().into());
        let kept = Self {
            class: word(AUTOSCALER_CLASS),
            mode: text(&status.deployment_mode).or_else(|| word(DEPLOYMENT_MODE)),
            // As KServe reads it.
            stopped: annotations.get(STOP).is_some_and(|word| word.eq_ignore_ascii_case("true")),
            predictor: text(&predictor.name),
            min_replicas: predictor.min_replicas.as_i64(),
            // 0 is what KServe writes where nothing was said.
            max_replicas: predictor.max_replicas.as_i64().filter(|most| *most != 0),
            scale_target: predictor.scale_target.as_i64(),
            scale_metric: text(&predictor.scale_metric),
            container_concurrency: predictor.container_concurrency.as_i64().and_then(|most| u32::try_from(most).ok()),
            timeout_seconds: predictor.timeout.as_u64(),
            annotations: settings(annotations),
        };
        (metadata, kept)
    }

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Key {
        (Arc::clone(namespace), Arc::clone(name))
    }

    fn namespace_of(key: &Key) -> Option<&Arc<str>> {
        Some(&key.0)
    }

    fn slots(seen: &mut Seen) -> &mut BTreeMap<Key, Arc<Self>> {
        &mut seen.inference_services
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::Watched;

    fn decoded(object: Value) -> InferenceService {
        serde_json::from_value::<Watched<InferenceService>>(object).unwrap().kept
    }

    #[test]
    fn what_a_predictor_says_is_kept_and_its_annotations_win() {
        let kept = decoded(json!({
            "metadata": { "name": "iris", "namespace": "shop", "annotations": {
                "serving.kserve.io/autoscalerClass": "hpa", "autoscaling.knative.dev/window": "20s", "example.com/x": "y",
            } },
            "spec": { "predictor": {
                "name": "b", "minReplicas": 0, "maxReplicas": 4, "scaleMetric": "rps", "scaleTarget": 7,
                "containerConcurrency": 3, "timeout": 90,
                "annotations": { "serving.kserve.io/autoscalerClass": "external" },
                "model": { "modelFormat": { "name": "sklearn" } },
            } },
            "status": { "deploymentMode": "Standard" },
        }));
        assert_eq!((kept.class.as_deref(), kept.mode.as_deref()), (Some("external"), Some("Standard")));
        assert_eq!((kept.predictor.as_deref(), kept.stopped), (Some("b"), false));
        assert_eq!((kept.min_replicas, kept.max_replicas, kept.scale_target), (Some(0), Some(4), Some(7)));
        assert_eq!(
            (kept.scale_metric.as_deref(), kept.container_concurrency, kept.timeout_seconds),
            (Some("rps"), Some(3), Some(90))
        );
        assert_eq!(kept.annotations, BTreeMap::from([("autoscaling.knative.dev/window".into(), "20s".into())]));
    }

    #[test]
    fn it_is_stopped_as_kserve_reads_it_and_no_maximum_is_written_as_0() {
        for (word, stopped) in [("true", true), ("True", true), ("false", false), ("yes", false)] {
            let annotations = json!({ "serving.kserve.io/stop": word });
            let kept = decoded(
                json!({ "metadata": { "annotations": annotations }, "spec": { "predictor": { "maxReplicas": 0 } } }),
            );
            assert_eq!((kept.stopped, kept.max_replicas), (stopped, None), "{word}");
        }
    }

    #[test]
    fn one_that_makes_no_sense_is_kept_without_it() {
        let kept =
            decoded(json!({ "spec": { "predictor": { "minReplicas": "two", "scaleMetric": 5, "timeout": -1 } } }));
        assert_eq!((kept.min_replicas, kept.scale_metric, kept.timeout_seconds), (None, None, None));
    }
}
