use serde_json::json;

use super::*;
use crate::objects::Watched;

fn real() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "recommender-v1", "namespace": "shop", "uid": "d1", "resourceVersion": "901", "generation": 12,
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "annotations": {
                "deployment.kubernetes.io/revision": "3", "rouse.dev/adopt": "true",
                "autoscaling.knative.dev/target": "5", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
            "managedFields": [
                {
                    "manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-01-01T12:00:00Z",
                    "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {}, "f:template": {} } },
                },
                {
                    "manager": "rouse", "operation": "Update", "subresource": "scale", "time": "2026-01-01T12:05:00Z",
                    "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } },
                },
                {
                    "manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
                    "time": "2026-01-01T12:06:00Z", "fieldsV1": { "f:status": { "f:replicas": {} } },
                },
            ],
        },
        "spec": {
            "replicas": 2, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "selector": { "matchLabels": { "app": "recommender" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": 0 } },
            "template": {
                "metadata": { "creationTimestamp": null, "labels": { "app": "recommender" }, "annotations": {
                    "autoscaling.knative.dev/window": "30s", "prometheus.io/scrape": "true",
                } },
                "spec": { "containers": [{ "name": "model", "ports": [{ "containerPort": 9000 }] }] },
            },
        },
        "status": {
            "observedGeneration": 12, "replicas": 2, "readyReplicas": 2,
            "conditions": [
                { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable" },
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "done" },
            ],
        },
    })
}

fn decoded(object: Value) -> Deployment {
    serde_json::from_value::<Watched<Deployment>>(object).unwrap().kept
}

#[test]
fn a_real_deployment_is_understood() {
    let deployment = decoded(real());
    assert_eq!((deployment.replicas, deployment.recreates, &deployment.failing), (2, false, &None));
    assert_eq!(deployment.shape.model_port, 9000);
    let wanted = BTreeMap::from([(Arc::from("app"), Arc::from("recommender"))]);
    assert_eq!(deployment.match_labels(), Some(&wanted));
    let keys = |annotations: &BTreeMap<String, String>| annotations.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&deployment.annotations), ["autoscaling.knative.dev/target", "rouse.dev/adopt"]);
    assert_eq!(keys(&deployment.template_annotations), ["autoscaling.knative.dev/window"]);
}

#[test]
fn who_wrote_replicas_last_is_known_and_status_does_not_count() {
    let (by, _) = decoded(real()).replicas_by.unwrap();
    assert_eq!(&*by, "rouse");
}

#[test]
fn a_deployment_that_says_no_number_has_one_replica() {
    let mut object = real();
    object["spec"]["replicas"] = json!(null);
    assert_eq!(decoded(object).replicas, 1);
}

#[test]
fn one_that_made_no_progress_in_time_says_so() {
    let mut object = real();
    object["status"]["conditions"][1] = json!({
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out progressing.",
    });
    assert_eq!(decoded(object).failing.as_deref(), Some("has timed out progressing."));
}

#[test]
fn one_that_selects_by_expressions_too_cannot_be_selected_by_a_service() {
    let mut object = real();
    object["spec"]["selector"]["matchExpressions"] = json!([{ "key": "tier", "operator": "Exists" }]);
    assert_eq!(decoded(object).match_labels(), None);
}

#[test]
fn equal_templates_have_equal_generations_however_their_fields_are_ordered() {
    let mut object = real();
    let generation = decoded(object.clone()).template_generation;
    object["status"] = json!({});
    object["metadata"]["annotations"] = json!({});
    assert_eq!(decoded(object.clone()).template_generation, generation);
    object["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("now");
    assert_ne!(decoded(object).template_generation, generation);
}
