//! The steward over an API server that answers what it is asked, and a world that a test writes down.

use api::admin::{Endpoint, State};
use platform::Leadership;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::fake::{Call, answer, cluster, refusal};
use crate::objects::{Deployment, EndpointObject, Kept, OwnPod, Service, Sight, Slice, Watched};
use crate::picture::{Findings, RevisionFindings};

struct Stage {
    cluster: Cluster,
    asked: Arc<parking_lot::Mutex<Vec<Call>>>,
    leads: watch::Sender<Leadership>,
    told: Arc<parking_lot::Mutex<Option<Endpoint>>>,
    deployments: Arc<parking_lot::Mutex<Vec<Value>>>,
    running: JoinSet<anyhow::Result<Infallible>>,
}

fn key() -> EndpointKey {
    EndpointKey::new("shop", "recommender")
}

fn endpoint(name: &str, traffic: &Value) -> Value {
    json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": { "traffic": traffic },
    })
}

fn to_v1() -> Value {
    json!([{ "revision": "v1", "percent": 100 }])
}

fn deployment(name: &str, replicas: u32, manager: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "managedFields": [{
                "manager": manager, "operation": "Update", "time": "2026-01-02T03:04:06Z",
                "fieldsV1": { "f:spec": { "f:replicas": {} } },
            }],
        },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": [] } },
        },
    })
}

fn revision(name: &str, state: State, adopted: bool) -> Value {
    json!({
        "namespace": "shop", "name": name, "state": state, "path": "proxied", "mode": "stable", "because": "steady",
        "reason": null, "adopted": adopted, "desiredReplicas": 1, "readyReplicas": u32::from(state == State::Active),
        "startingReplicas": 0, "demand": { "metric": "concurrency", "stable": 0.0, "panic": 0.0, "target": 100.0 },
        "settings": {}, "replicas": [],
    })
}

/// What the API server says to whatever the steward asks.
fn reply(call: &Call, deployments: &[Value]) -> (u16, Value) {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", path) if path.ends_with("/deployments") => {
            let wanted = call.query.split("metadata.name%3D").nth(1).and_then(|rest| rest.split('&').next());
            let items: Vec<&Value> =
                deployments.iter().filter(|it| wanted.is_none_or(|name| it["metadata"]["name"] == name)).collect();
            (200, json!({ "kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": items }))
        }
        ("GET", path) if path.ends_with("/configmaps/rouse-revisions") => {
            let map = json!({
                "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "rouse-revisions" },
                "data": { "shop": "v1 v2 v3" },
            });
            (200, map)
        }
        ("PATCH", path) if path.ends_with("/configmaps/rouse-revisions") => (200, call.body.clone()),
        ("PATCH", path) if path.ends_with("/scale") => {
            let scale = json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": { "uid": "uid-v1", "resourceVersion": "8" },
                "spec": call.body["spec"],
            });
            (200, scale)
        }
        ("POST", _) => (201, call.body.clone()),
        ("PATCH", _) => (200, endpoint("recommender", &to_v1())),
        ("DELETE", _) => (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })),
        _ => (404, refusal(404, "there is no such thing")),
    }
}

impl Stage {
    /// One that leads, and knows the whole of an empty cluster.
    fn new() -> Self {
        let asked: Arc<parking_lot::Mutex<Vec<Call>>> = Arc::default();
        let deployments: Arc<parking_lot::Mutex<Vec<Value>>> = Arc::default();
        let (log, there) = (Arc::clone(&asked), Arc::clone(&deployments));
        let cluster = cluster(move |call| {
            let (code, body) = reply(&call, &there.lock());
            log.lock().push(call);
            Box::pin(async move { answer(code, &body) })
        });
        let leads = watch::Sender::new(Leadership::ALONE);
        let told: Arc<parking_lot::Mutex<Option<Endpoint>>> = Arc::default();
        let stage = Self { cluster, asked, leads, told, deployments, running: JoinSet::new() };
        stage.all::<OwnPod>(None, &[]);
        stage
    }

    fn sight(&self) -> Sight {
        Sight { now: self.cluster.clock.now(), live: true }
    }

    /// A watch has told everything of a kind.
    fn all<K: Kept>(&self, namespace: Option<&str>, objects: &[Value]) {
        let objects = objects.iter().map(|it| serde_json::from_value::<Watched<K>>(it.clone()).unwrap()).collect();
        self.cluster.world.all(namespace.map(Arc::from).as_ref(), objects, self.sight());
    }

    fn endpoints(&self, objects: &[Value]) {
        self.all::<EndpointObject>(None, objects);
    }

    fn services(&self, objects: &[Value]) {
        self.all::<Service>(Some("shop"), objects);
    }

    /// What was found, as if a picture had been drawn.
    fn finds(&self, name: &str, revisions: &[(&str, RevisionFindings)]) {
        let revisions = revisions.iter().map(|(name, found)| (Arc::from(*name), found.clone())).collect();
        let findings = Findings { revisions, ..Findings::default() };
        self.cluster.world.set_findings(&"shop".into(), [(EndpointKey::new("shop", name), findings)].into());
    }

    fn tells(&self, revisions: &[Value]) {
        let told = json!({
            "namespace": "shop", "name": "recommender", "url": null, "hosts": [], "state": "zero",
            "traffic": [{ "revision": "v1", "percent": 100, "tag": null }],
            "revisions": revisions,
        });
        *self.told.lock() = Some(serde_json::from_value(told).unwrap());
    }

    /// The usual: one endpoint whose Deployment is there, at zero.
    fn usual() -> Self {
        let stage = Self::new();
        stage.services(&[]);
        stage.endpoints(&[endpoint("recommender", &to_v1())]);
        stage.all::<Deployment>(Some("shop"), &[deployment("v1", 0, "rouse")]);
        stage.finds("recommender", &[("v1", RevisionFindings::default())]);
        stage.tells(&[revision("v1", State::Zero, false)]);
        stage
    }

    fn begin(&mut self) {
        let (cluster, leadership, told) = (self.cluster.clone(), self.leads.subscribe(), Arc::clone(&self.told));
        self.running.spawn(async move { cluster.steward(leadership, move |_| told.lock().clone()).await });
    }

    /// What was asked of things whose path ends so.
    fn asked(&self, method: &str, end: &str) -> Vec<Value> {
        let asked = self.asked.lock();
        let these = asked.iter().filter(|call| call.method == method && call.path.ends_with(end));
        these.map(|call| call.body.clone()).collect()
    }

    /// The API server has the last status that was written.
    fn sees_what_was_written(&self) {
        let written = self.asked("PATCH", "/recommender/status").pop().unwrap();
        let mut object = endpoint("recommender", &to_v1());
        object["status"] = written["status"].clone();
        self.endpoints(&[object]);
    }
}

fn condition<'a>(patch: &'a Value, kind: &str) -> &'a Value {
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

fn service(name: &str, owner: Option<&str>) -> Value {
    let owners: Vec<Value> = owner
        .map(|uid| {
            json!({ "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "name": "m", "uid": uid, "controller": true })
        })
        .into_iter()
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "ownerReferences": owners },
        "spec": { "clusterIP": "10.96.0.7", "ports": [{ "name": "http", "port": 80 }] },
    })
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_a_port_and_a_service_at_once() {
    let mut stage = Stage::usual();
    stage.begin();
    sleep(Duration::from_millis(500)).await;
    let created = stage.asked("POST", "/namespaces/shop/services");
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["metadata"]["name"], "recommender");
    assert_eq!(created[0]["metadata"]["ownerReferences"][0]["uid"], "uid-recommender");
    let written = stage.asked("PATCH", "/recommender/status");
    assert_eq!(written.len(), 1);
    let port = written[0]["status"]["activatorPort"].as_u64().unwrap();
    assert!((20_000..=29_999).contains(&port));
    assert_eq!(written[0]["metadata"]["uid"], "uid-recommender");
    assert_eq!(written[0]["status"]["url"], "http://recommender.shop.svc.cluster.local");
    assert_eq!(condition(&written[0], "RoutesReady")["reason"], "Creating");
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_once_in_five_seconds_and_not_at_all_while_nothing_changes() {
    let mut stage = Stage::usual();
    stage.begin();
    seconds(1).await;
    stage.sees_what_was_written();
    stage.services(&[service("recommender", Some("uid-recommender"))]);
    seconds(3).await;
    assert_eq!(stage.asked("PATCH", "/recommender/status").len(), 1);
    seconds(4).await;
    let written = stage.asked("PATCH", "/recommender/status");
    assert_eq!(written.len(), 2);
    assert_eq!(condition(&written[1], "RoutesReady")["reason"], "NotSeenYet");
    stage.sees_what_was_written();
    seconds(600).await;
    assert_eq!(stage.asked("PATCH", "/recommender/status").len(), 2);
    assert_eq!(stage.asked("POST", "/namespaces/shop/services").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_does_nothing() {
    let mut stage = Stage::usual();
    stage.leads.send_replace(Leadership::Following);
    stage.begin();
    seconds(60).await;
    assert_eq!(*stage.asked.lock(), []);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_somebody_else_is_not_touched_and_named() {
    let mut stage = Stage::usual();
    stage.services(&[service("recommender", None)]);
    stage.begin();
    seconds(20).await;
    assert!(stage.asked.lock().iter().all(|call| !call.path.contains("/services")));
    let written = stage.asked("PATCH", "/recommender/status");
    assert_eq!(condition(&written[0], "Ready")["reason"], "NameTaken");
    let taken = condition(&written[0], "NameTaken");
    assert_eq!(taken["status"], "True");
    assert!(
        taken["message"].as_str().unwrap().contains("Service recommender in namespace shop is not Rouse's"),
        "{taken}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_tag_has_a_service_and_that_of_one_that_is_gone_goes() {
    let mut stage = Stage::usual();
    let tagged = json!([{ "revision": "v1", "percent": 100, "tag": "new" }]);
    stage.endpoints(&[endpoint("recommender", &tagged)]);
    let own = Some("uid-recommender");
    stage.services(&[service("recommender", own), service("old-recommender", own), service("other", None)]);
    stage.begin();
    seconds(1).await;
    let created = stage.asked("POST", "/services");
    assert_eq!(created.iter().map(|service| &service["metadata"]["name"]).collect::<Vec<_>>(), ["new-recommender"]);
    let deleted = stage.asked("DELETE", "/services/old-recommender");
    assert_eq!(deleted[0]["preconditions"]["uid"], "uid-of-old-recommender");
    assert_eq!(stage.asked("DELETE", "/services/other"), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_port_the_endpoint_says_otherwise_is_given_the_new_one() {
    let mut stage = Stage::usual();
    let mut object = endpoint("recommender", &to_v1());
    object["spec"]["ports"] = json!([{ "name": "grpc", "port": 8081, "protocol": "h2c" }]);
    stage.endpoints(&[object]);
    stage.services(&[service("recommender", Some("uid-recommender"))]);
    stage.begin();
    seconds(1).await;
    let patched = stage.asked("PATCH", "/services/recommender");
    assert_eq!((patched.len(), &patched[0]["spec"]["ports"][0]["port"]), (1, &8081.into()));
}

#[tokio::test(start_paused = true)]
async fn that_a_revision_is_adopted_is_written_down_once_and_forgotten_with_the_revision() {
    let mut stage = Stage::usual();
    stage.tells(&[revision("v1", State::Active, true)]);
    let mut object = endpoint("recommender", &to_v1());
    object["metadata"]["annotations"] = json!({ "adopted.rouse.dev/v0": "true" });
    stage.endpoints(&[object.clone()]);
    stage.begin();
    seconds(4).await;
    let patched = stage.asked("PATCH", "/modelendpoints/recommender");
    let annotations = &patched[0]["metadata"]["annotations"];
    assert_eq!(*annotations, json!({ "adopted.rouse.dev/v0": null, "adopted.rouse.dev/v1": "true" }));
    object["metadata"]["annotations"] = json!({ "adopted.rouse.dev/v1": "true" });
    stage.endpoints(&[object]);
    let so_far = stage.asked("PATCH", "/modelendpoints/recommender").len();
    seconds(60).await;
    assert_eq!(stage.asked("PATCH", "/modelendpoints/recommender").len(), so_far);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_let_go_of_at_zero_is_raised() {
    let mut stage = Stage::usual();
    stage.begin();
    seconds(10).await;
    *stage.deployments.lock() = vec![deployment("v1", 0, "rouse")];
    stage.endpoints(&[]);
    seconds(3).await;
    assert_eq!(stage.asked("PATCH", "/deployments/v1/scale"), [Value::Null; 0]);
    seconds(4).await;
    let raised = stage.asked("PATCH", "/deployments/v1/scale");
    assert_eq!(raised.len(), 1);
    assert_eq!((&raised[0]["spec"]["replicas"], &raised[0]["metadata"]["uid"]), (&1.into(), &"uid-v1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_was_let_go_of_while_nobody_led_is_raised_by_the_next_leader() {
    let mut stage = Stage::new();
    // The record names the first three.
    let at = |name, replicas| deployment(name, replicas, "rouse");
    *stage.deployments.lock() = vec![at("v1", 0), at("v2", 0), at("v3", 2), at("put-to-rest", 0)];
    stage.endpoints(&[]);
    stage.begin();
    seconds(2).await;
    assert!(stage.asked("PATCH", "/scale").is_empty(), "it may be named again in a moment");
    seconds(10).await;
    let asked = stage.asked.lock();
    let scaled = asked.iter().filter(|call| call.method == "PATCH" && call.path.ends_with("/scale"));
    let scaled: Vec<&str> = scaled.filter_map(|call| call.path.split('/').nth_back(1)).collect();
    assert_eq!(scaled, ["v1", "v2"]);
}

#[tokio::test(start_paused = true)]
async fn what_endpoints_name_is_recorded_and_what_was_raised_is_not_any_more() {
    let mut stage = Stage::usual();
    *stage.deployments.lock() = vec![deployment("v1", 0, "rouse")];
    stage.begin();
    seconds(20).await;
    let recorded = || stage.asked("PATCH", "/configmaps/rouse-revisions");
    // Those that the record had besides were let go of before; they are not there any more.
    assert_eq!(recorded().last().unwrap()["data"], json!({ "shop": "v1" }));
    let so_far = recorded().len();
    seconds(600).await;
    assert_eq!(recorded().len(), so_far);
    stage.endpoints(&[]);
    seconds(20).await;
    assert_eq!(recorded().last().unwrap()["data"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn who_was_late_to_renew_and_leads_again_reads_again_what_was_let_go_of() {
    let mut stage = Stage::usual();
    stage.begin();
    seconds(20).await;
    let read = || stage.asked("GET", "/configmaps/rouse-revisions").len();
    let so_far = read();
    stage.leads.send_modify(|leads| {
        if let Leadership::Leading { until, .. } = leads {
            *until = stage.cluster.clock.now();
        }
    });
    seconds(3).await;
    assert_eq!(read(), so_far, "who does not lead reads nothing");
    // What was under way was given up: nobody knows whether it was done.
    stage.leads.send_replace(Leadership::ALONE);
    seconds(20).await;
    assert_eq!(read(), so_far + 1);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_an_endpoint_names_is_left_at_zero() {
    let mut stage = Stage::usual();
    *stage.deployments.lock() = vec![deployment("v1", 0, "rouse")];
    stage.begin();
    seconds(20).await;
    assert_eq!(stage.asked("PATCH", "/deployments/v1/scale"), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_revisions_state_is_an_event() {
    let mut stage = Stage::usual();
    stage.begin();
    seconds(3).await;
    stage.tells(&[revision("v1", State::Waking, true)]);
    seconds(3).await;
    stage.tells(&[revision("v1", State::Active, true)]);
    seconds(30).await;
    let events = stage.asked("POST", "/events");
    let of_it = events.iter().filter(|event| event["note"].as_str().unwrap().starts_with("v1 "));
    assert_eq!(of_it.map(|event| &event["reason"]).collect::<Vec<_>>(), ["Waking", "Active"]);
    assert!(events.iter().all(|event| event["regarding"]["name"] == "recommender"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn who_writes_replicas_again_and_again_is_named() {
    let mut stage = Stage::usual();
    stage.begin();
    for (second, manager) in [(10, "argocd"), (20, "rouse"), (30, "argocd"), (40, "rouse"), (50, "argocd")] {
        seconds(10).await;
        let mut object = deployment("v1", 2, manager);
        object["metadata"]["managedFields"][0]["time"] = json!(format!("2026-01-02T03:05:{second:02}Z"));
        stage.all::<Deployment>(Some("shop"), &[object]);
    }
    seconds(10).await;
    let restraint = stage.cluster.world.restraint(&RevisionKey::new("shop", "v1"));
    assert_eq!(restraint, Some(Restraint::OnlyRaise { writer: Some("argocd".into()) }));
    let written = stage.asked("PATCH", "/recommender/status").pop().unwrap();
    let conflict = condition(&written, "ScaleConflict");
    assert!(
        conflict["message"].as_str().unwrap().starts_with("v1: its replicas are written by argocd too"),
        "{conflict}"
    );
    let status: api::status::Status = serde_json::from_value(written["status"].clone()).unwrap();
    assert!(status::names_conflict(&status, &RevisionKey::new("shop", "v1")));
    let _ = key();
}

/// An endpoint before the InferenceService `iris`, as it is drawn once its Deployment is found.
fn before_iris() -> (Value, Findings) {
    let object = endpoint("recommender", &json!([{ "inferenceService": "iris" }]));
    let mut spec = api::ModelEndpoint::from_object(&object).unwrap();
    spec.traffic[0].revision = "v1".to_owned();
    let revisions = [("v1".into(), RevisionFindings::default())].into();
    let beside = vec!["iris-predictor".into()];
    (object, Findings { resolved: Some(Arc::new(spec)), beside, revisions, ..Findings::default() })
}

#[tokio::test(start_paused = true)]
async fn the_deployment_of_an_inference_service_is_named_though_no_spec_says_its_name() {
    let mut stage = Stage::usual();
    let (object, found) = before_iris();
    stage.endpoints(&[object]);
    *stage.deployments.lock() = vec![deployment("v1", 0, "rouse")];
    stage.cluster.world.set_findings(&"shop".into(), BTreeMap::new());
    stage.begin();
    // The record names it, and nobody has looked yet which Deployment the InferenceService has.
    seconds(20).await;
    assert_eq!(stage.asked("PATCH", "/deployments/v1/scale"), [Value::Null; 0]);
    stage.cluster.world.set_findings(&"shop".into(), [(key(), found)].into());
    stage.tells(&[revision("v1", State::Zero, true)]);
    seconds(20).await;
    assert_eq!(stage.asked("PATCH", "/deployments/v1/scale"), [Value::Null; 0]);
    let recorded = stage.asked("PATCH", "/configmaps/rouse-revisions");
    assert_eq!(recorded.last().unwrap()["data"], json!({ "shop": "v1" }));
    let written = stage.asked("PATCH", "/recommender/status").pop().unwrap();
    let said = &written["status"]["revisions"][0];
    assert_eq!((&said["name"], &said["deployment"], &said["state"]), (&json!("iris"), &json!("v1"), &json!("zero")));
    assert_eq!(written["status"]["traffic"][0]["revision"], "iris");
    let adopted = &stage.asked("PATCH", "/modelendpoints/recommender")[0];
    assert_eq!(adopted["metadata"]["annotations"], json!({ "adopted.rouse.dev/v1": "true" }));
}

#[tokio::test(start_paused = true)]
async fn a_slice_behind_a_service_of_kserve_goes_when_the_endpoint_has_no_more_to_do_with_it() {
    let mut stage = Stage::usual();
    let slice = |service: &str, endpoint: &str| {
        let labels = json!({ "kubernetes.io/service-name": service, "rouse.dev/endpoint": endpoint });
        json!({ "metadata": { "name": format!("{service}-rouse-v4"), "namespace": "shop", "labels": labels } })
    };
    stage.all::<Slice>(
        None,
        &[slice("iris-predictor", "recommender"), slice("old", "recommender"), slice("x", "another")],
    );
    let (object, found) = before_iris();
    stage.endpoints(&[object]);
    stage.cluster.world.set_findings(&"shop".into(), [(key(), found)].into());
    stage.begin();
    seconds(4).await;
    let deleted: Vec<String> = stage
        .asked
        .lock()
        .iter()
        .filter(|call| call.method == "DELETE")
        .map(|call| call.path.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert!(!deleted.is_empty() && deleted.iter().all(|name| name == "old-rouse-v4"), "{deleted:?}");
}
