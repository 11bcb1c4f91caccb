use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::objects::{Deployment, OwnPod, Pod, Sight, Watched};
use crate::world::World;

fn decoded<K: Kept>(object: Value) -> Watched<K> {
    serde_json::from_value(object).unwrap()
}

#[test]
fn an_endpoint_is_understood_also_as_an_item_of_a_list() {
    let object = json!({
        "metadata": {
            "name": "m", "namespace": "shop", "uid": "e", "generation": 4, "creationTimestamp": "2026-01-01T12:00:00Z",
            "annotations": { "adopted.rouse.dev/v1": "true", "rouse.dev/adopt": "true", "example.com/x": "y" },
        },
        "spec": { "traffic": [{ "revision": "v1", "percent": 100 }] },
        "status": { "activatorPort": 20_001, "conditions": [], "ofALaterVersion": 1 },
    });
    let Watched { name, namespace, kept, .. } = decoded::<EndpointObject>(object);
    assert_eq!((&*namespace, &*name, kept.generation), ("shop", "m", 4));
    assert_eq!(kept.spec.unwrap().traffic[0].revision, "v1");
    assert_eq!(kept.status.activator_port, Some(20_001));
    assert_eq!(kept.annotations.len(), 2);
}

#[test]
fn an_endpoint_that_is_not_understood_is_kept_with_every_fault() {
    let object = json!({ "metadata": { "name": "m", "namespace": "shop" }, "spec": { "traffic": 7, "shadow": 7 } });
    let kept = decoded::<EndpointObject>(object).kept;
    assert!(1 < kept.spec.unwrap_err().0.len());
}

#[test]
fn a_service_is_an_endpoints_by_its_owner() {
    let with =
        |owner: Value| json!({ "metadata": { "ownerReferences": [owner] }, "spec": { "clusterIP": "10.96.0.7" } });
    let owner = json!({ "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "uid": "e", "name": "m" });
    let service = decoded::<Service>(with(owner)).kept;
    assert_eq!((service.owner.as_deref(), service.cluster_ip), (Some("e"), "10.96.0.7".parse().ok()));
    let other = json!({ "apiVersion": "example.com/v1", "kind": "ModelEndpoint", "uid": "e" });
    assert_eq!(decoded::<Service>(with(other)).kept.owner, None);
    assert_eq!(decoded::<Service>(json!({ "spec": { "clusterIP": "None" } })).kept.cluster_ip, None);
}

#[test]
fn a_slice_without_anybody_is_written_with_nulls() {
    let slice = decoded::<Slice>(json!({
        "metadata": { "labels": { "kubernetes.io/service-name": "m" } }, "endpoints": null, "ports": null,
    }));
    assert_eq!(slice.kept, Slice { service: "m".into(), addresses: vec![], port: None, beside_for: None });
}

/// Names that mean something somewhere, so that what is made comes deep into what is read.
fn words() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "metadata",
        "name",
        "namespace",
        "uid",
        "labels",
        "annotations",
        "ownerReferences",
        "managedFields",
        "fieldsV1",
        "f:spec",
        "f:replicas",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "spec",
        "status",
        "replicas",
        "selector",
        "matchLabels",
        "matchExpressions",
        "template",
        "strategy",
        "type",
        "containers",
        "initContainers",
        "ports",
        "containerPort",
        "readinessProbe",
        "startupProbe",
        "exec",
        "podIP",
        "podIPs",
        "ip",
        "conditions",
        "containerStatuses",
        "restartCount",
        "state",
        "lastState",
        "waiting",
        "running",
        "terminated",
        "reason",
        "message",
        "startedAt",
        "exitCode",
        "signal",
        "phase",
        "traffic",
        "revision",
        "percent",
        "hosts",
        "data",
        "endpoints",
        "addresses",
        "scaleTargetRef",
        "kind",
        "apiVersion",
        "activatorPort",
        "clusterIP",
    ];
    prop_oneof![4 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&["Ready", "True", "10.0.0.1", "2026-01-01T12:00:00Z", "-9999-01-01T00:00:00Z"][..])
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Reads it as one kind and, if that is possible, lets the world settle it.
fn read<K: Kept>(object: &Value) {
    let world = World::new();
    let now = units::Moment::from_unix_millis(1_767_268_800_000);
    for live in [false, true] {
        if let Ok(thing) = serde_json::from_value::<Watched<K>>(object.clone()) {
            world.put(thing, Sight { now, live });
        }
    }
}

proptest! {
    #[test]
    fn no_object_breaks_a_reader(object in values()) {
        read::<EndpointObject>(&object);
        read::<Deployment>(&object);
        read::<Pod>(&object);
        read::<OwnPod>(&object);
        read::<Service>(&object);
        read::<Slice>(&object);
        read::<Autoscaled>(&object);
        read::<ConfigMap>(&object);
    }

    /// One odd object must not blind a watch for all others: what people can write is always read.
    #[test]
    fn whatever_stands_in_an_endpoints_spec_and_status_it_is_kept(spec in values(), status in values()) {
        let object = json!({ "metadata": { "name": "m", "namespace": "shop" }, "spec": spec, "status": status });
        let read = serde_json::from_value::<Watched<EndpointObject>>(object);
        prop_assert!(read.is_ok_and(|read| &*read.name == "m"));
    }
}
