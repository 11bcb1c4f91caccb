use std::sync::Arc;

use platform::{PathPolicy, Route, Source, Workload};
use serde_json::{Value, json};
use units::{ConcurrencyLimit, ReplicaCount};

use super::stage::*;
use crate::objects::{Deployment, EndpointObject, InferenceService, OwnPod, Service, Slice};
use crate::picture::{Findings, RevisionFindings};

/// The InferenceService `iris`, as a person writes it for Rouse.
fn iris(predictor: Value) -> Value {
    json!({
        "metadata": { "name": "iris", "namespace": "shop", "uid": "uid-of-iris", "annotations": {
            "serving.kserve.io/autoscalerClass": "external", "serving.kserve.io/deploymentMode": "Standard",
        } },
        "spec": { "predictor": predictor },
    })
}

fn annotated(name: &str, word: &str) -> Value {
    with(iris(json!({})), &format!("/metadata/annotations/serving.kserve.io~1{name}"), json!(word))
}

/// A Deployment with KServe's labels.
fn of_kserve(name: &str) -> Value {
    let labels = json!({ "serving.kserve.io/inferenceservice": "iris", "component": "predictor" });
    with(deployment(name), "/metadata/labels", labels)
}

fn service_of_kserve(name: &str, address: &str) -> Value {
    let labels = json!({ "serving.kserve.io/inferenceservice": "iris", "component": "predictor" });
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "labels": labels },
        "spec": { "clusterIP": address, "selector": { "app": name } },
    })
}

fn traffic(entries: Value) -> Value {
    with(endpoint("m", &["v1"]), "/spec/traffic", entries)
}

impl Stage {
    /// The endpoint `m` before `iris`, for which KServe has made everything under a name that nobody could guess.
    fn kserve() -> Self {
        let stage = Self::shop();
        stage.put::<InferenceService>(iris(json!({})));
        stage.put::<Deployment>(of_kserve("iris-made"));
        stage.put::<Service>(service_of_kserve("iris-made", "10.96.0.7"));
        stage.put::<Service>(service_of("m", json!({})));
        stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
        stage.put::<Slice>(slice_of("m", &["10.9.0.1"], 20_001));
        stage.put::<EndpointObject>(traffic(json!([{ "inferenceService": "iris" }])));
        stage
    }

    fn m(&mut self) -> (Findings, RevisionFindings) {
        let shop = self.draw();
        let found = shop.findings("m").clone();
        let of_revision = found.revisions.values().next().unwrap().clone();
        (found, of_revision)
    }
}

#[test]
fn its_deployment_is_found_by_kserves_labels_whatever_it_is_called() {
    let mut stage = Stage::kserve();
    let shop = stage.draw();
    assert_eq!(&*shop.endpoint("m").unwrap().targets[0].revision.name, "iris-made");
    assert_eq!(shop.revision("iris-made").scale().unwrap().replicas, ReplicaCount(1));
    let found = &shop.findings("m").revisions["iris-made"];
    assert_eq!((found.is_missing, &found.why_missing), (false, &None));
}

#[test]
fn of_several_the_stable_one_is_taken_and_a_transformer_is_none() {
    let mut stage = Stage::kserve();
    stage.remove::<Deployment>(of_kserve("iris-made"));
    let transformer = with(of_kserve("iris-transformer"), "/metadata/labels/component", json!("transformer"));
    stage.put::<Deployment>(transformer);
    for name in ["iris-b-predictor", "iris-predictor"] {
        stage.put::<Deployment>(of_kserve(name));
    }
    assert_eq!(&*stage.draw().endpoint("m").unwrap().targets[0].revision.name, "iris-predictor");
    stage.put::<InferenceService>(iris(json!({ "name": "b" })));
    assert_eq!(&*stage.draw().endpoint("m").unwrap().targets[0].revision.name, "iris-b-predictor");
}

#[test]
fn one_without_a_deployment_is_not_taken_for_a_deployment_of_its_name() {
    let mut stage = Stage::kserve();
    stage.remove::<Deployment>(of_kserve("iris-made"));
    stage.put::<Deployment>(deployment("iris"));
    let (_, found) = stage.m();
    assert!(found.is_missing);
    assert!(found.why_missing.unwrap().contains("KServe's controller makes it"));
    assert_eq!(stage.draw().0.revisions.iter().filter(|it| it.workload != Workload::Missing).count(), 1);
}

#[test]
fn one_that_is_not_there_or_in_another_mode_says_so() {
    let mut stage = Stage::kserve();
    stage.put::<InferenceService>(annotated("deploymentMode", "Knative"));
    let (found, revision) = stage.m();
    assert!(revision.why_missing.unwrap().contains("mode Knative"));
    assert_eq!(found.beside, []);
    stage.put::<InferenceService>(annotated("deploymentMode", "RawDeployment"));
    assert_eq!(stage.m().1.why_missing, None);
    stage.remove::<InferenceService>(iris(json!({})));
    assert!(stage.m().1.why_missing.unwrap().contains("there is no InferenceService iris"));
}

#[test]
fn one_that_is_stopped_is_not_woken_though_its_deployment_is_still_there() {
    let mut stage = Stage::kserve();
    stage.put::<InferenceService>(annotated("stop", "true"));
    assert_eq!(stage.draw().revision("iris-made").workload, Workload::Missing);
    let (found, revision) = stage.m();
    assert!(revision.why_missing.unwrap().contains("is stopped"));
    assert_eq!((revision.is_missing, found.beside), (true, vec![]));
}

#[test]
fn what_it_says_is_weaker_than_what_the_endpoint_says_and_its_annotations_are_stronger() {
    let mut stage = Stage::kserve();
    let said = json!({ "minReplicas": 0, "maxReplicas": 4, "scaleMetric": "rps", "scaleTarget": 7 });
    let said = with(iris(said), "/metadata/annotations/autoscaling.knative.dev~1window", json!("20s"));
    stage.put::<InferenceService>(said);
    let shop = stage.draw();
    let layers = &shop.revision("iris-made").layers;
    let sources: Vec<Source> = layers.iter().map(|layer| layer.source).collect();
    let strongest_first = [
        Source::Deployment,
        Source::PodTemplate,
        Source::InferenceService,
        Source::Traffic,
        Source::Endpoint,
        Source::KServe,
    ];
    assert_eq!(sources, strongest_first);
    assert_eq!(layers[2].values["autoscaling.knative.dev/window"], "20s");
    let fields = [("min-scale", "0"), ("max-scale", "4"), ("metric", "rps"), ("target", "7")];
    let of_fields = fields.map(|(name, value)| (format!("autoscaling.knative.dev/{name}"), value.to_owned())).into();
    assert_eq!(layers[5].values, of_fields);
}

#[test]
fn a_target_of_processor_time_is_no_number_of_requests() {
    let mut stage = Stage::kserve();
    stage.put::<InferenceService>(iris(json!({ "scaleMetric": "cpu", "scaleTarget": 80, "maxReplicas": 2 })));
    let shop = stage.draw();
    let layers = &shop.revision("iris-made").layers;
    assert_eq!(layers[5].values.keys().collect::<Vec<_>>(), ["autoscaling.knative.dev/max-scale"]);
    assert!(stage.m().1.passed_over.unwrap().contains("scaleMetric cpu"));
}

#[test]
fn its_limits_hold_where_the_endpoint_gives_none() {
    let mut stage = Stage::kserve();
    stage.put::<InferenceService>(iris(json!({ "containerConcurrency": 3, "timeout": 90 })));
    let shop = stage.draw();
    let drawn = shop.endpoint("m").unwrap();
    assert_eq!(drawn.container_concurrency, ConcurrencyLimit::from_field(3));
    assert_eq!(drawn.timeouts.request.map(|it| it.as_secs()), Some(90));
    let revision = shop.revision("iris-made");
    assert_eq!(revision.container_concurrency, ConcurrencyLimit::from_field(3));
    assert_eq!(revision.container_concurrency_from, Source::KServe);
    let says = with(traffic(json!([{ "inferenceService": "iris" }])), "/spec/containerConcurrency", json!(0));
    stage.put::<EndpointObject>(with(says, "/spec/timeouts", json!({ "request": "300s" })));
    let shop = stage.draw();
    assert_eq!(shop.revision("iris-made").container_concurrency_from, Source::Endpoint);
    let drawn = shop.endpoint("m").unwrap().clone();
    assert_eq!(drawn.container_concurrency, ConcurrencyLimit::Unlimited);
    assert_eq!(drawn.timeouts.request.map(|it| it.as_secs()), Some(300));
}

#[test]
fn each_class_but_external_is_a_rival_and_says_what_to_write() {
    let mut stage = Stage::kserve();
    assert_eq!(stage.m().1.rival, None);
    let without = with(iris(json!({})), "/metadata/annotations", json!({}));
    let classes = ["hpa", "keda", "none", "kpa"].map(|class| (class, annotated("autoscalerClass", class)));
    let hints = ["HorizontalPodAutoscaler", "ScaledObject", "back to minReplicas", "does not know"];
    for ((class, object), hint) in classes.into_iter().zip(hints).chain([(("hpa", without), "no annotation")]) {
        stage.put::<InferenceService>(object);
        let rival = stage.m().1.rival.expect(class);
        assert!(rival.contains(hint) && rival.contains("autoscalerClass: external"), "{class}: {rival}");
    }
}

#[test]
fn rouse_stands_behind_kserves_service_too_until_the_path_is_direct() {
    let mut stage = Stage::kserve();
    let route = |stage: &mut Stage| stage.draw().endpoint("m").unwrap().route.clone();
    assert_eq!(stage.m().0.beside, [Arc::from("iris-made")]);
    let a = || Arc::from([Arc::from("uid-of-activator-a")]);
    assert_eq!(route(&mut stage), Route::Changing { through: a() }, "its callers wake nobody yet");
    stage.put::<Slice>(slice_of("iris-made", &["10.9.0.1"], 20_001));
    assert_eq!(route(&mut stage), Route::Proxied { through: a() });
    stage.put::<Service>(service_of("m", json!({ "app": "iris-made" })));
    stage.remove::<Slice>(slice_of("m", &[], 20_001));
    assert_eq!(route(&mut stage), Route::Changing { through: a() });
    stage.remove::<Slice>(slice_of("iris-made", &[], 20_001));
    assert_eq!(route(&mut stage), Route::Direct);
}

#[test]
fn behind_a_headless_service_or_for_several_revisions_rouse_does_not_stand() {
    let mut stage = Stage::kserve();
    stage.put::<Service>(service_of_kserve("iris-made", "None"));
    assert_eq!(stage.m().0.beside, []);
    stage.put::<Service>(service_of_kserve("iris-made", "10.96.0.7"));
    let several = json!([{ "inferenceService": "iris", "percent": 90 }, { "revision": "v2", "percent": 10 }]);
    stage.put::<EndpointObject>(traffic(several));
    assert_eq!(stage.m().0.beside, [], "who calls iris by KServe's name would be answered by v2 now and then");
}

#[test]
fn with_sidecars_it_may_go_direct_as_any_other() {
    let mut stage = Stage::kserve();
    stage.put::<Deployment>(with_sidecar(of_kserve("iris-made"), "/spec/template/spec"));
    assert_eq!(stage.draw().endpoint("m").unwrap().path, PathPolicy::Auto);
    stage.put::<InferenceService>(annotated("stop", "true"));
    assert_eq!(stage.draw().endpoint("m").unwrap().path, PathPolicy::Proxied);
}

#[test]
fn a_fault_leaves_the_last_good_spec_in_force_with_the_deployment_that_it_leads_to() {
    let mut stage = Stage::kserve();
    let before = stage.draw().revision("iris-made").clone();
    let faulty = with(traffic(json!([{ "inferenceService": "iris" }])), "/spec/path", json!("sideways"));
    stage.put::<EndpointObject>(with(faulty, "/metadata/generation", json!(9)));
    let shop = stage.draw();
    assert_eq!(shop.revision("iris-made"), &before);
    assert!(shop.findings("m").keeps_last_good);
}

#[test]
fn a_deployment_is_one_revision_however_often_it_is_named() {
    let mut stage = Stage::kserve();
    for entries in [
        json!([{ "inferenceService": "iris", "percent": 60 }, { "revision": "iris-made", "percent": 40 }]),
        json!([{ "revision": "iris-made", "percent": 60 }, { "inferenceService": "iris", "percent": 40 }]),
    ] {
        stage.put::<EndpointObject>(traffic(entries));
        let shop = stage.draw();
        let of_it = shop.0.revisions.iter().filter(|revision| &*revision.key.name == "iris-made");
        assert_eq!(of_it.count(), 1);
        let missing = shop.findings("m").revisions.values().filter_map(|found| found.why_missing.clone());
        let missing: Vec<_> = missing.collect();
        assert!(missing.len() == 1 && missing[0].contains("another entry of traffic"), "{missing:?}");
    }
}

#[test]
fn limits_that_no_endpoint_could_have_are_passed_over_and_it_is_said() {
    let mut stage = Stage::kserve();
    stage.put::<InferenceService>(iris(json!({ "containerConcurrency": 200_000, "timeout": 1_000_000 })));
    let drawn = stage.draw().endpoint("m").unwrap().clone();
    assert_eq!(drawn.container_concurrency, ConcurrencyLimit::Unlimited);
    assert_eq!(drawn.timeouts.request.map(|it| it.as_secs()), Some(300));
    let (_, found) = stage.m();
    let said = found.passed_over.unwrap();
    assert!(said.contains("containerConcurrency 200000") && said.contains("timeout 1000000"), "{said}");
}
