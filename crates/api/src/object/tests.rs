use serde_json::json;

use super::*;
use crate::fault::Fault;

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "rouse.dev/v1alpha1",
        "kind": "ModelEndpoint",
        "metadata": {
            "name": "m", "namespace": "shop", "uid": "1", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": { "a": "b" }, "finalizers": [], "ownerReferences": [],
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}" },
            "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
        },
        "spec": spec,
        "status": { "observedGeneration": 1, "conditions": [] },
    })
}

#[test]
fn an_object_says_what_the_same_file_says() {
    let spec = json!({
        "hosts": ["m.example.com"],
        "ports": [{ "name": "http", "port": 80, "containerPort": 9000, "protocol": "h2c" }],
        "traffic": [{ "revision": "v1", "percent": 90 }, { "revision": "v2", "percent": 10, "tag": "new" }],
        "match": [
            { "header": { "name": "X-Beta", "exact": "1" }, "path": { "prefix": "/v2/" }, "to": "v2" },
            { "cookie": { "name": "beta", "regex": "on|1" }, "method": "POST", "to": "v1" },
        ],
        "sticky": { "cookie": "session", "setCookie": true },
        "path": "proxied",
        "containerConcurrency": 4,
        "timeouts": { "request": "60s", "idle": "0s" },
        "queue": { "maxRequests": 5, "maxBytes": 1_048_576, "maxWait": "1m30s" },
        "autoscaling": { "metric": "rps", "target": 1.5, "minReplicas": 1, "window": "90s" },
        "answerHeaders": false,
    });
    let object = object(&spec);
    let from_object = ModelEndpoint::from_object(&object).unwrap();
    let from_file = crate::read(&[("f.yaml", object.to_string())]).documents.endpoints.remove(0).value;
    assert_eq!(from_object, from_file);
    assert_eq!(from_object.queue.max_bytes, 1 << 20);
    let leads_to: Vec<usize> = from_object.matches.iter().map(|one| one.to).collect();
    assert_eq!(leads_to, [1, 0], "positions in `traffic`");
}

#[test]
fn what_is_null_is_left_out() {
    let spec = json!({ "traffic": [{ "revision": "v1", "percent": null }], "hosts": null, "queue": null });
    let expected = ModelEndpoint::new(units::EndpointKey::new("shop", "m"), "v1");
    assert_eq!(ModelEndpoint::from_object(&object(&spec)).unwrap(), expected);
}

#[test]
fn all_faults_are_told_at_once_with_their_paths() {
    let spec = json!({
        "traffic": [{ "revision": "v1", "percent": "90" }, { "revison": "v2" }],
        "rollout": {},
        "path": "direct",
    });
    let Faults(faults) = ModelEndpoint::from_object(&object(&spec)).unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "spec.rollout: {}: NotYetSupported: rollouts are not served; change `traffic` instead; leave it out",
            "spec.traffic[0].percent: 90: a whole number from 0 to 100",
            "spec.traffic[1].revision: missing: the name of a Deployment, or inferenceService",
            "spec.traffic[1].revison: v2: unknown field; the nearest known one is revision",
            "spec.path: direct: auto or proxied",
        ]
    );
    let not_yet: Vec<bool> = faults.iter().map(Fault::is_not_yet_supported).collect();
    assert_eq!(not_yet, [true, false, false, false, false]);
}

#[test]
fn what_is_no_endpoint_is_refused() {
    for other in [json!(null), json!([]), json!({}), json!({ "kind": "Service", "apiVersion": "v1", "metadata": {} })] {
        let Faults(faults) = ModelEndpoint::from_object(&other).unwrap_err();
        assert!(!faults.is_empty(), "{other}");
    }
    let mut newer = object(&json!({ "traffic": [{ "revision": "v1" }] }));
    newer["apiVersion"] = "rouse.dev/v9".into();
    let faults = ModelEndpoint::from_object(&newer).unwrap_err();
    assert_eq!(faults.to_string(), "apiVersion: rouse.dev/v9: rouse.dev/v1alpha1");
}

proptest::proptest! {
    #[test]
    fn no_object_makes_it_panic(at in 0usize..600, cut in 0usize..30, put in r#"[ :,\-\[\]{}0-9a-z"]{0,12}"#) {
        let spec = json!({
            "hosts": ["m.example.com"], "ports": [{ "port": 80 }], "traffic": [{ "revision": "v1", "percent": 100, "tag": "a" }],
            "timeouts": { "request": "60s" }, "queue": { "maxBytes": "1Mi" }, "autoscaling": { "target": 1.5, "window": "90s" },
        });
        let text = object(&spec).to_string();
        let start = at.min(text.len());
        let end = (start + cut).min(text.len());
        // Text that is no JSON never gets so far.
        if let Ok(object) = serde_json::from_str::<Value>(&format!("{}{put}{}", &text[..start], &text[end..]))
            && let Err(Faults(faults)) = ModelEndpoint::from_object(&object)
        {
            proptest::prop_assert!(!faults.is_empty());
            for fault in &faults {
                proptest::prop_assert!(!fault.to_string().contains('\n'), "{fault}");
            }
        }
    }
}

fn traffic(entries: &serde_json::Value) -> Result<Vec<crate::TrafficTarget>, Vec<String>> {
    let object = json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "name": "m", "namespace": "shop" },
        "spec": { "traffic": entries },
    });
    let read = ModelEndpoint::from_object(&object);
    read.map(|endpoint| endpoint.traffic).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

#[test]
fn an_inference_service_is_named_in_place_of_a_revision_and_its_deployment_is_not_known_yet() {
    let read =
        traffic(&json!([{ "inferenceService": "iris", "percent": 60 }, { "revision": "v1", "percent": 40 }])).unwrap();
    assert_eq!((read[0].name(), read[0].is_unknown()), ("iris", true));
    assert_ne!(read[0].revision, "iris", "there may be a Deployment of that name, and it is another's");
    assert_eq!((read[1].name(), read[1].is_unknown(), read[1].inference_service.as_deref()), ("v1", false, None));
}

#[test]
fn an_entry_names_one_thing_and_a_name_stands_once() {
    let both = traffic(&json!([{ "inferenceService": "iris", "revision": "v1" }])).unwrap_err();
    assert_eq!(both, ["spec.traffic[0].revision: v1: exactly one of revision (a Deployment) and inferenceService"]);
    let twice = traffic(&json!([{ "inferenceService": "iris", "percent": 60 }, { "revision": "iris", "percent": 40 }]));
    assert_eq!(
        twice.unwrap_err(),
        ["spec.traffic[1].revision: iris: each revision once; spec.traffic[0].inferenceService has this one already"]
    );
}

#[test]
fn a_match_leads_to_an_inference_service_too() {
    let object = json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "name": "m", "namespace": "shop" },
        "spec": {
            "traffic": [{ "revision": "v1", "percent": 100 }, { "inferenceService": "iris", "percent": 0 }],
            "match": [{ "path": { "prefix": "/" }, "to": "iris" }],
        },
    });
    assert_eq!(ModelEndpoint::from_object(&object).unwrap().matches[0].to, 1);
}
