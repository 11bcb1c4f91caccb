//! A namespace to be drawn, made of objects as an API server gives them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use platform::{Endpoint, Revision};
use serde_json::{Value, json};
use units::{EndpointKey, Moment, RevisionKey};

use crate::objects::{Deployment, EndpointObject, Kept, OwnPod, Service, Sight, Watched};
use crate::picture::claims::Claims;
use crate::picture::{Around, Drawn, Findings, Memory, draw, own};
use crate::world::World;

/// 2026-01-01T12:00:00Z.
pub(super) const NOON: Moment = Moment::from_unix_millis(1_767_268_800_000);

pub(super) struct Stage {
    pub(super) world: World,
    memory: Memory,
}

/// What was drawn of the namespace `shop`.
pub(super) struct Shop(pub(super) Drawn);

impl Stage {
    /// The endpoint `recommender` with the Deployment `v1`, of which nothing runs.
    pub(super) fn shop() -> Self {
        let stage = Self { world: World::new(), memory: Memory::default() };
        stage.put::<EndpointObject>(endpoint("recommender", &["v1"]));
        stage.put::<Deployment>(deployment("v1"));
        stage
    }

    /// The same, with sidecars and an activator, and its Service.
    pub(super) fn shop_with_sidecars() -> Self {
        let stage = Self::shop();
        stage.put::<Deployment>(with_sidecar(deployment("v1"), "/spec/template/spec"));
        stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
        stage.put::<Service>(service_of("recommender", json!({})));
        stage
    }

    pub(super) fn put<K: Kept>(&self, object: Value) {
        self.put_at::<K>(object, Sight { now: NOON, live: false });
    }

    pub(super) fn put_at<K: Kept>(&self, object: Value, sight: Sight) {
        self.world.put(decoded::<K>(object), sight);
    }

    pub(super) fn remove<K: Kept>(&self, object: Value) {
        self.world.gone(&decoded::<K>(object));
    }

    pub(super) fn draw(&mut self) -> Shop {
        self.world.look(|seen| {
            let claims = Claims::of(seen, &Claims::default());
            let activators = own::addresses(seen);
            let listen = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let around = Around { seen, claims: &claims, activators: &activators, listen };
            Shop(draw(around, &Arc::from("shop"), &mut self.memory))
        })
    }

    /// The revision `v1` as it is drawn now.
    pub(super) fn v1(&mut self) -> Revision {
        self.draw().revision("v1").clone()
    }

    /// The endpoint `recommender` as it is drawn now.
    pub(super) fn recommender(&mut self) -> Endpoint {
        self.draw().endpoint("recommender").unwrap().clone()
    }
}

impl Shop {
    pub(super) fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.0.endpoints.iter().map(|(_, endpoint)| endpoint).find(|endpoint| &*endpoint.key.name == name)
    }

    pub(super) fn revision(&self, name: &str) -> &Revision {
        let key = RevisionKey::new("shop", name);
        self.0.revisions.iter().find(|revision| revision.key == key).expect("it is on the boards")
    }

    pub(super) fn findings(&self, name: &str) -> &Findings {
        &self.0.findings[&EndpointKey::new("shop", name)]
    }
}

pub(super) fn decoded<K: Kept>(object: Value) -> Watched<K> {
    serde_json::from_value(object).unwrap()
}

/// Changes one place of an object.
pub(super) fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, last) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        parent => parent[last.replace("~1", "/")] = value,
    }
    object
}

/// An endpoint that shares its requests equally; made at noon.
pub(super) fn endpoint(name: &str, revisions: &[&str]) -> Value {
    let share = 100 / revisions.len();
    let traffic: Vec<Value> =
        revisions.iter().map(|revision| json!({ "revision": revision, "percent": share })).collect();
    json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "generation": 3,
            "creationTimestamp": "2026-01-01T12:00:00Z", "annotations": {},
        },
        "spec": { "traffic": traffic },
        "status": { "activatorPort": 20_001 },
    })
}

pub(super) fn deployment(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "resourceVersion": "77", "annotations": {},
        },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name, "team": "vision" }, "annotations": {} },
                "spec": { "containers": [
                    { "name": "model", "ports": [{ "containerPort": 7000 }, { "name": "http", "containerPort": 9000 }] },
                ] },
            },
        },
        "status": { "conditions": [] },
    })
}

/// A pod of a Deployment that was made at noon, and became ready two seconds later.
pub(super) fn pod(name: &str, app: &str, address: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
            "labels": { "app": app, "pod-template-hash": "5" }, "creationTimestamp": "2026-01-01T11:59:00Z",
        },
        "spec": { "containers": [
            { "name": "model", "ports": [{ "containerPort": 7000 }, { "name": "http", "containerPort": 9000 }] },
        ] },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "startTime": "2026-01-01T11:59:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:02Z" }],
            "containerStatuses": [{
                "name": "model", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T11:59:01Z" } },
            }],
        },
    })
}

/// The same, which has yet to become ready.
pub(super) fn starting_pod(name: &str, app: &str, address: &str) -> Value {
    let ready = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:59:00Z" }]);
    with(pod(name, app, address), "/status/conditions", ready)
}

/// Puts a native sidecar into the pod spec at that path.
pub(super) fn with_sidecar(object: Value, path: &str) -> Value {
    let sidecar = json!([{
        "name": "queue-proxy", "restartPolicy": "Always",
        "ports": [{ "containerPort": 8012 }, { "containerPort": 8013 }, { "containerPort": 8022 }],
    }]);
    with(object, &format!("{path}/initContainers"), sidecar)
}

pub(super) fn activator(name: &str, address: &str) -> Value {
    let labels = json!({ "app.kubernetes.io/part-of": "rouse", "app.kubernetes.io/component": "activator" });
    let pod = with(pod(name, "activator", address), "/metadata/labels", labels);
    with(pod, "/metadata/namespace", "rouse".into())
}

/// A Service that belongs to an endpoint.
pub(super) fn service_of(endpoint: &str, selector: Value) -> Value {
    json!({
        "metadata": { "name": endpoint, "namespace": "shop", "uid": "service", "ownerReferences": [
            { "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "uid": format!("uid-of-{endpoint}"), "controller": true },
        ] },
        "spec": { "clusterIP": "10.96.0.9", "selector": selector },
    })
}

/// Our slice behind a Service.
pub(super) fn slice_of(service: &str, addresses: &[&str], port: u16) -> Value {
    let endpoints: Vec<Value> = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
    json!({
        "metadata": {
            "name": format!("{service}-rouse-v4"), "namespace": "shop",
            "labels": { "kubernetes.io/service-name": service },
        },
        "endpoints": endpoints,
        "ports": [{ "port": port }],
    })
}
