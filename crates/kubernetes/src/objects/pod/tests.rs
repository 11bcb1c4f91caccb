use serde_json::{Value, json};
use units::Moment;

use super::*;
use crate::objects::Watched;

fn decoded(object: Value) -> Pod {
    serde_json::from_value::<Watched<Pod>>(object).unwrap().kept
}

/// As a real API server writes one: much of it is read by nobody.
fn real() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "recommender-v1-6d4c8b9f7-x2x9k", "generateName": "recommender-v1-6d4c8b9f7-", "namespace": "shop",
            "uid": "b0c5e7a2-8c5e-4a51-9a0e-2f0d1c1a77aa", "resourceVersion": "48213",
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": { "app": "recommender", "pod-template-hash": "6d4c8b9f7" },
            "annotations": { "kubectl.kubernetes.io/restartedAt": "2026-01-01T11:00:00Z" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "recommender-v1-6d4c8b9f7",
                "uid": "1", "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [{
                "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T12:00:04Z",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:status": { "f:podIP": {} } }, "subresource": "status",
            }],
        },
        "spec": {
            "nodeName": "gpu-1", "serviceAccountName": "default", "terminationGracePeriodSeconds": 315,
            "volumes": [{ "name": "kube-api-access", "projected": { "sources": [], "defaultMode": 420 } }],
            "initContainers": [{
                "name": "queue-proxy", "image": "rouse.dev/queue-proxy", "restartPolicy": "Always",
                "ports": [
                    { "name": "rouse-direct", "containerPort": 8012, "protocol": "TCP" },
                    { "name": "rouse-proxied", "containerPort": 8013, "protocol": "TCP" },
                    { "name": "rouse-admin", "containerPort": 8022, "protocol": "TCP" },
                ],
                "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8022, "scheme": "HTTP" }, "periodSeconds": 1 },
                "resources": { "requests": { "cpu": "10m" } },
            }],
            "containers": [{
                "name": "model", "image": "model:1", "command": ["serve"],
                "ports": [{ "name": "metrics", "containerPort": 9100 }, { "name": "h2c", "containerPort": 9000 }],
                "livenessProbe": { "exec": { "command": ["true"] } },
                "env": [{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
        },
        "status": {
            "phase": "Running", "hostIP": "192.168.0.4", "podIP": "10.1.2.3", "qosClass": "Burstable",
            "podIPs": [{ "ip": "10.1.2.3" }, { "ip": "fd00::3" }], "startTime": "2026-01-01T12:00:01Z",
            "conditions": [
                { "type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2026-01-01T12:00:02Z" },
                { "type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T12:00:02Z" },
                { "type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T12:00:04Z" },
                { "type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-01-01T12:00:04Z" },
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z" },
            ],
            "initContainerStatuses": [{
                "name": "queue-proxy", "ready": true, "started": true, "restartCount": 0, "lastState": {},
                "state": { "running": { "startedAt": "2026-01-01T12:00:02Z" } },
            }],
            "containerStatuses": [{
                "name": "model", "ready": true, "started": true, "restartCount": 0, "lastState": {},
                "state": { "running": { "startedAt": "2026-01-01T12:00:03Z" } },
            }],
        },
    })
}

fn at(text: &str) -> Moment {
    Stamp::said(Some(text)).moment
}

#[test]
fn a_real_pod_with_a_native_sidecar_is_understood() {
    let pod = decoded(real());
    let shape =
        Shape { sidecar: true, encrypted: false, model_port: 9000, speaks_h2c: true, only_platform_tells: false };
    assert_eq!(pod.shape, shape);
    assert_eq!(*pod.addresses, ["10.1.2.3".parse::<IpAddr>().unwrap(), "fd00::3".parse().unwrap()]);
    assert_eq!((pod.state, pod.since.moment), (ReplicaState::Ready, at("2026-01-01T12:00:04Z")));
    assert_eq!(pod.created.moment, at("2026-01-01T12:00:00Z"));
    assert_eq!(pod.spawned.unwrap().moment, at("2026-01-01T12:00:03Z"));
    assert_eq!((pod.ended, pod.crashes(), pod.trouble), (false, 0, None));
}

#[test]
fn a_sidecar_takes_tls_where_it_is_told_whom_to_believe() {
    let encrypted = |container: &str, variable: &str| {
        let mut object = real();
        let env = json!([{ "name": "UPSTREAM", "value": "127.0.0.1:8080" }, { "name": variable, "value": "PEM" }]);
        let init = json!([{ "name": "queue-proxy", "restartPolicy": "Always" }]);
        object["spec"]["initContainers"] = init;
        let (list, place) = if container == "queue-proxy" { ("initContainers", 0) } else { ("containers", 0) };
        object["spec"][list][place]["env"] = env;
        decoded(object).shape.encrypted
    };
    assert!(encrypted("queue-proxy", "AUTOSCALER_CA") && encrypted("queue-proxy", "PROXIED_TLS_CA"));
    assert!(!encrypted("queue-proxy", "AUTOSCALER") && !encrypted("model", "AUTOSCALER_CA"));
}

#[test]
fn a_sidecar_is_known_by_its_name_or_by_its_two_ports() {
    let shape = |container: Value| {
        let mut object = real();
        object["spec"]["initContainers"] = json!([]);
        object["spec"]["containers"].as_array_mut().unwrap().push(container);
        decoded(object).shape.sidecar
    };
    assert!(shape(json!({ "name": "queue-proxy" })));
    assert!(shape(json!({ "name": "mine", "ports": [{ "containerPort": 8013 }, { "containerPort": 8012 }] })));
    assert!(!shape(json!({ "name": "mine", "ports": [{ "containerPort": 8012 }] })));
}

#[test]
fn the_sidecar_is_never_taken_for_the_model() {
    let mut object = real();
    let sidecar = object["spec"]["initContainers"][0].clone();
    object["spec"]["initContainers"] = json!([]);
    object["spec"]["containers"].as_array_mut().unwrap().insert(0, sidecar);
    object["spec"]["containers"][0]["startupProbe"] = json!({ "exec": {} });
    let shape = decoded(object).shape;
    assert_eq!((shape.model_port, shape.only_platform_tells), (9000, false));
}

#[test]
fn a_container_that_says_no_port_listens_on_8080() {
    let mut object = real();
    object["spec"]["containers"][0]["ports"] = json!(null);
    assert_eq!(decoded(object.clone()).shape.model_port, 8080);
    for nonsense in [json!(0), json!(-1), json!(65_536)] {
        object["spec"]["containers"][0]["ports"] = json!([{ "containerPort": nonsense }]);
        assert_eq!(decoded(object.clone()).shape.model_port, 8080);
    }
}

#[test]
fn what_a_container_died_of_is_told_in_words() {
    let words = |terminated: Value| {
        let mut object = real();
        object["status"]["conditions"] = json!([]);
        object["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        object["status"]["containerStatuses"][0]["lastState"] = json!({ "terminated": terminated });
        decoded(object).trouble.map(|words| words.to_string())
    };
    assert_eq!(words(json!({ "exitCode": 1, "reason": "Error" })).as_deref(), Some("exit status 1"));
    assert_eq!(words(json!({ "exitCode": 137, "reason": "OOMKilled" })).as_deref(), Some("OOMKilled, exit status 137"));
    assert_eq!(words(json!({ "exitCode": 139, "signal": 11 })).as_deref(), Some("killed by signal 11"));
    let long = words(json!({ "exitCode": 1, "message": "ä".repeat(4_000) })).unwrap();
    assert!(long.chars().count() <= 301 && long.ends_with('…'), "{long}");
}

#[test]
fn a_sidecar_that_cannot_start_is_trouble_of_the_pod() {
    let mut object = real();
    object["status"]["conditions"] = json!([]);
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "not found" } });
    object["status"]["initContainerStatuses"][0]["state"] = waiting;
    assert_eq!(decoded(object).trouble.as_deref(), Some("ErrImagePull: not found"));
}

#[test]
fn a_pod_that_was_evicted_has_ended() {
    let mut object = real();
    object["status"] = json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory." });
    let pod = decoded(object);
    assert!(pod.ended);
    assert_eq!(pod.trouble.as_deref(), Some("Evicted: The node was low on memory."));
}

#[test]
fn nulls_and_what_is_missing_are_the_same() {
    let null =
        json!({ "metadata": { "name": "a", "labels": null, "managedFields": null }, "spec": null, "status": null });
    let missing = json!({ "metadata": { "name": "a" } });
    assert_eq!(decoded(null), decoded(missing));
}

#[test]
fn a_pod_is_kept_in_half_a_kilobyte() {
    let pod = decoded(real());
    // The tree's own share of an entry: a key of two names, of which the namespace is the watch's, and a pointer.
    let of_entry = size_of::<Key>() + size_of::<Arc<Pod>>() + "recommender-v1-6d4c8b9f7-x2x9k".len() + 16;
    let kept = size_of::<Pod>() + 16 + pod.uid.len() + 16 + size_of_val(&*pod.addresses);
    assert!(of_entry + kept <= 512, "{} bytes", of_entry + kept);
}

#[test]
fn readiness_is_kubernetes_to_say_where_nobody_else_can_ask() {
    let only_platform = |probe: &str, how: Value| {
        let mut object = real();
        object["spec"]["containers"][0][probe] = how;
        decoded(object).shape.only_platform_tells
    };
    let get = |scheme: &str| json!({ "httpGet": { "path": "/", "port": 8080, "scheme": scheme } });
    assert!(only_platform("readinessProbe", json!({ "exec": { "command": ["ready"] } })));
    assert!(only_platform("readinessProbe", get("HTTPS")) && only_platform("startupProbe", get("HTTP")));
    assert!(!only_platform("readinessProbe", get("HTTP")));
    assert!(!only_platform("readinessProbe", json!({ "tcpSocket": { "port": 8080 } })));
}
