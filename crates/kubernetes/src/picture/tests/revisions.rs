use std::net::SocketAddr;
use std::time::Duration;

use platform::{ReplicaState, Scale, Source, Trouble, Workload};
use serde_json::{Value, json};
use units::ReplicaCount;

use super::stage::*;
use crate::names::scale_version;
use crate::objects::{Deployment, EndpointObject, Pod, Sight};

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn what_a_deployment_says_is_what_the_revision_says() {
    let mut stage = Stage::shop();
    stage.put::<Deployment>(with(deployment("v1"), "/spec/progressDeadlineSeconds", json!(90)));
    let revision = stage.v1();
    let replicas = ReplicaCount(1);
    let scale = Scale { replicas, version: scale_version("uid-of-v1", "77", replicas) };
    assert_eq!(revision.scale(), Some(&scale));
    assert_eq!(revision.progress_deadline, Duration::from_secs(90));
    assert!(revision.reachable && revision.replicas.is_empty() && revision.trouble.is_none());
}

#[test]
fn a_deployment_that_is_not_there_is_a_missing_workload() {
    let mut stage = Stage::shop();
    stage.remove::<Deployment>(deployment("v1"));
    assert_eq!(stage.v1().workload, Workload::Missing);
    assert!(stage.draw().findings("recommender").revisions["v1"].is_missing);
}

#[test]
fn its_generation_changes_with_what_it_runs_and_not_with_how_many() {
    let mut stage = Stage::shop();
    let generation = |stage: &mut Stage| match stage.v1().workload {
        Workload::Present { generation, .. } => generation,
        Workload::Missing => panic!("it is there"),
    };
    let first = generation(&mut stage);
    let more = with(deployment("v1"), "/spec/replicas", json!(5));
    stage.put::<Deployment>(with(more, "/metadata/generation", json!(9)));
    assert_eq!(generation(&mut stage), first);
    stage.put::<Deployment>(with(deployment("v1"), "/spec/template/spec/containers/0/image", json!("model:2")));
    assert_ne!(generation(&mut stage), first);
}

#[test]
fn settings_stand_in_the_order_of_their_strength() {
    let mut stage = Stage::shop();
    let key = "autoscaling.knative.dev/target";
    let both = with(deployment("v1"), "/metadata/annotations", json!({ key: "1", "note": "x".repeat(9) }));
    stage.put::<Deployment>(with(both, "/spec/template/metadata/annotations", json!({ key: "2" })));
    let traffic = json!([{ "revision": "v1", "percent": 100, "autoscaling": { "target": 3 } }]);
    let object = with(endpoint("recommender", &["v1"]), "/spec/traffic", traffic);
    stage.put::<EndpointObject>(with(object, "/spec/autoscaling", json!({ "target": 4 })));
    let layers = stage.v1().layers;
    let told: Vec<_> = layers.iter().map(|layer| (layer.source, &*layer.values[key])).collect();
    let expected =
        [(Source::Deployment, "1"), (Source::PodTemplate, "2"), (Source::Traffic, "3"), (Source::Endpoint, "4")];
    assert_eq!(told, expected);
    assert_eq!(layers[0].values.len(), 1, "what no rule reads is not kept");
}

#[test]
fn a_pod_without_sidecar_is_reached_at_the_models_port_and_with_one_at_the_sidecars() {
    let mut stage = Stage::shop();
    stage.put::<Pod>(pod("v1-a", "v1", "10.0.0.5"));
    stage.put::<Pod>(with_sidecar(pod("v1-b", "v1", "10.0.0.6"), "/spec"));
    let addresses: Vec<_> = stage.v1().replicas.iter().map(|replica| replica.address).collect();
    assert_eq!(addresses, [address("10.0.0.5:9000"), address("10.0.0.6:8013")]);
    let ports = json!([{ "name": "http", "port": 80, "containerPort": 7000 }]);
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/spec/ports", ports));
    assert_eq!(stage.v1().replicas[0].address, address("10.0.0.5:7000"));
}

#[test]
fn a_pod_is_taken_by_the_deployment_that_selects_it_and_by_no_other() {
    let mut stage = Stage::shop();
    stage.put::<EndpointObject>(endpoint("recommender", &["v1", "v2"]));
    stage.put::<Deployment>(deployment("v2"));
    stage.put::<Pod>(pod("v1-a", "v1", "10.0.0.5"));
    stage.put::<Pod>(pod("v2-a", "v2", "10.0.0.6"));
    stage.put::<Pod>(pod("other-a", "other", "10.0.0.7"));
    let shop = stage.draw();
    let names = |revision| shop.revision(revision).replicas.iter().map(|r| r.name.to_string()).collect::<Vec<_>>();
    assert_eq!((names("v1"), names("v2")), (vec!["v1-a".to_owned()], vec!["v2-a".to_owned()]));
}

#[test]
fn the_pods_of_a_deployment_that_selects_by_expressions_are_found_too() {
    let mut stage = Stage::shop();
    let expressions = json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["v1"] }] });
    stage.put::<Deployment>(with(deployment("v1"), "/spec/selector", expressions));
    stage.put::<Pod>(pod("v1-a", "v1", "10.0.0.5"));
    stage.put::<Pod>(pod("other-a", "other", "10.0.0.7"));
    assert_eq!(stage.v1().replicas.len(), 1);
}

#[test]
fn a_pod_that_is_not_ready_yet_has_an_address_unless_only_kubernetes_can_tell() {
    let mut stage = Stage::shop();
    let starting = starting_pod("v1-a", "v1", "10.0.0.5");
    stage.put::<Pod>(starting.clone());
    assert_eq!(stage.v1().replicas[0].address, address("10.0.0.5:9000"));
    for probe in ["startupProbe", "readinessProbe"] {
        let path = format!("/spec/containers/0/{probe}");
        stage.put::<Pod>(with(starting.clone(), &path, json!({ "exec": { "command": ["true"] } })));
        assert_eq!(stage.v1().replicas[0].address, None, "{probe}");
        stage.put::<Pod>(with(pod("v1-a", "v1", "10.0.0.5"), &path, json!({ "exec": { "command": ["true"] } })));
        assert_eq!(stage.v1().replicas[0].address, address("10.0.0.5:9000"), "{probe}");
    }
}

#[test]
fn an_http_readiness_probe_leaves_the_probing_to_rouse() {
    let mut stage = Stage::shop();
    let probe = json!({ "httpGet": { "path": "/", "port": "http" } });
    stage.put::<Pod>(with(starting_pod("v1-a", "v1", "10.0.0.5"), "/spec/containers/0/readinessProbe", probe));
    assert_eq!(stage.v1().replicas[0].address, address("10.0.0.5:9000"));
}

#[test]
fn how_far_a_pod_is_shows_in_its_state() {
    let state = |pod: Value| {
        let mut stage = Stage::shop();
        stage.put::<Pod>(pod);
        let replica = stage.v1().replicas[0].clone();
        (replica.state, NOON.since(replica.since).as_secs())
    };
    let made = || pod("v1-a", "v1", "10.0.0.5");
    assert_eq!(state(starting_pod("v1-a", "v1", "10.0.0.5")), (ReplicaState::Starting, 60));
    assert_eq!(state(made()), (ReplicaState::Ready, 58));
    let unready = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:59:40Z" }]);
    assert_eq!(state(with(made(), "/status/conditions", unready)), (ReplicaState::Unready, 20));
    let leaving = with(made(), "/metadata/deletionTimestamp", json!("2026-01-01T12:00:20Z"));
    let leaving = with(leaving, "/metadata/deletionGracePeriodSeconds", json!(30));
    assert_eq!(state(leaving), (ReplicaState::Leaving, 10));
    assert_eq!(state(with(made(), "/status", json!({}))), (ReplicaState::Starting, 60));
}

#[test]
fn a_pod_that_was_seen_ready_is_unready_afterwards_and_not_starting() {
    let mut stage = Stage::shop();
    stage.put::<Pod>(pod("v1-a", "v1", "10.0.0.5"));
    let now = NOON.plus(Duration::from_millis(5_250));
    stage.put_at::<Pod>(starting_pod("v1-a", "v1", "10.0.0.5"), Sight { now, live: true });
    let replica = stage.v1().replicas[0].clone();
    assert_eq!((replica.state, replica.since), (ReplicaState::Unready, now));
}

#[test]
fn what_was_seen_to_happen_has_the_moment_at_which_it_was_seen() {
    let mut stage = Stage::shop();
    let at = |millis| NOON.plus(Duration::from_millis(millis));
    let sight = |millis| Sight { now: at(millis), live: true };
    let bare = with(starting_pod("v1-a", "v1", "10.0.0.5"), "/status/containerStatuses", json!([]));
    stage.put_at::<Pod>(bare, sight(10));
    stage.put_at::<Pod>(starting_pod("v1-a", "v1", "10.0.0.5"), sight(750));
    stage.put_at::<Pod>(pod("v1-a", "v1", "10.0.0.5"), sight(2_125));
    stage.put_at::<Pod>(with(pod("v1-a", "v1", "10.0.0.5"), "/metadata/labels/x", json!("y")), sight(9_000));
    let replica = stage.v1().replicas[0].clone();
    assert_eq!((replica.created, replica.spawned, replica.since), (at(10), Some(at(750)), at(2_125)));
}

#[test]
fn replicas_stand_oldest_first_and_without_those_that_have_ended() {
    let mut stage = Stage::shop();
    stage.put::<Pod>(with(pod("v1-b", "v1", "10.0.0.5"), "/metadata/creationTimestamp", json!("2026-01-01T11:00:00Z")));
    stage.put::<Pod>(pod("v1-a", "v1", "10.0.0.6"));
    stage.put::<Pod>(with(pod("v1-c", "v1", "10.0.0.7"), "/status/phase", json!("Failed")));
    let names: Vec<_> = stage.v1().replicas.iter().map(|replica| replica.name.to_string()).collect();
    assert_eq!(names, ["v1-b", "v1-a"]);
}

#[test]
fn sidecars_are_there_only_if_the_template_and_every_pod_have_one() {
    let mut stage = Stage::shop();
    assert!(!stage.v1().sidecars);
    let mut stage = Stage::shop_with_sidecars();
    assert!(stage.v1().sidecars);
    stage.put::<Pod>(pod("v1-old", "v1", "10.0.0.5"));
    assert!(!stage.v1().sidecars, "an old pod counts nothing and bounds nothing");
}

#[test]
fn pods_that_are_injected_when_they_are_made_say_themselves_whether_they_were() {
    let mut stage = Stage::shop();
    let labels = json!({ "app": "v1", "rouse.dev/inject": "true" });
    stage.put::<Deployment>(with(deployment("v1"), "/spec/template/metadata/labels", labels));
    assert!(stage.v1().sidecars, "at zero nothing speaks against it");
    stage.put::<Pod>(with_sidecar(pod("v1-a", "v1", "10.0.0.5"), "/spec"));
    assert!(stage.v1().sidecars);
    stage.put::<Pod>(pod("v1-b", "v1", "10.0.0.6"));
    assert!(!stage.v1().sidecars, "the webhook was not there for that one");
}

fn crashed(restarts: u32) -> Value {
    let status = json!([{
        "name": "model", "restartCount": restarts,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container" } },
        "lastState": { "terminated": {
            "exitCode": 3, "reason": "Error", "message": "no such weights\n", "startedAt": "2026-01-01T11:59:10Z",
        } },
    }]);
    with(starting_pod("v1-a", "v1", "10.0.0.5"), "/status/containerStatuses", status)
}

#[test]
fn a_model_that_crashes_is_trouble_with_its_last_words() {
    let mut stage = Stage::shop();
    stage.put::<Pod>(crashed(4));
    let words = "exit status 3: no such weights".into();
    assert_eq!(stage.v1().trouble, Some(Trouble { crashes_in_a_row: 5, last_words: words }));
    assert_eq!(NOON.since(stage.v1().replicas[0].spawned.unwrap()).as_secs(), 50);
}

#[test]
fn crashes_before_it_was_last_ready_are_not_counted() {
    let mut stage = Stage::shop();
    let restarted = with(pod("v1-a", "v1", "10.0.0.5"), "/status/containerStatuses/0/restartCount", json!(7));
    stage.put::<Pod>(restarted);
    assert_eq!(stage.v1().trouble, None);
    stage.put_at::<Pod>(crashed(8), Sight { now: NOON, live: true });
    assert_eq!(stage.v1().trouble.unwrap().crashes_in_a_row, 2);
}

#[test]
fn one_that_is_ready_or_nobody_wanted_is_no_trouble() {
    let mut stage = Stage::shop();
    stage.put::<Pod>(crashed(4));
    stage.put::<Deployment>(with(deployment("v1"), "/spec/replicas", json!(0)));
    assert_eq!(stage.v1().trouble, None);
    stage.put::<Deployment>(deployment("v1"));
    assert!(stage.v1().trouble.is_some());
    stage.put::<Pod>(pod("v1-b", "v1", "10.0.0.6"));
    assert_eq!(stage.v1().trouble, None);
}

#[test]
fn an_image_that_cannot_be_had_and_a_node_that_cannot_be_found_are_trouble_without_a_crash() {
    let of = |path: &str, value: Value| {
        let mut stage = Stage::shop();
        stage.put::<Pod>(with(starting_pod("v1-a", "v1", "10.0.0.5"), path, value));
        stage.v1().trouble.map(|trouble| (trouble.crashes_in_a_row, trouble.last_words.to_string()))
    };
    let waiting =
        |reason: &str| json!([{ "name": "model", "state": { "waiting": { "reason": reason, "message": "m" } } }]);
    let statuses = "/status/containerStatuses";
    assert_eq!(of(statuses, waiting("ImagePullBackOff")), Some((0, "ImagePullBackOff: m".to_owned())));
    assert_eq!(of(statuses, waiting("ContainerCreating")), None);
    let unscheduled =
        json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU" }]);
    assert_eq!(of("/status/conditions", unscheduled), Some((0, "Unschedulable: no GPU".to_owned())));
}

#[test]
fn a_deployment_that_cannot_make_pods_says_why() {
    let mut stage = Stage::shop();
    let failing = json!([{ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" }]);
    stage.put::<Deployment>(with(deployment("v1"), "/status/conditions", failing));
    assert_eq!(stage.v1().trouble, Some(Trouble { crashes_in_a_row: 0, last_words: "exceeded quota".into() }));
}

#[test]
fn a_deployment_that_serves_is_not_adopted_until_somebody_says_so() {
    let mut stage = Stage::shop();
    assert!(!stage.v1().adopted);
    for (object, path, name) in [
        (deployment("v1"), "/metadata/annotations", "rouse.dev/adopt"),
        (endpoint("recommender", &["v1"]), "/metadata/annotations", "rouse.dev/adopt"),
        (endpoint("recommender", &["v1"]), "/metadata/annotations", "adopted.rouse.dev/v1"),
    ] {
        for (value, expected) in [("true", true), ("false", false)] {
            let mut stage = Stage::shop();
            let object = with(object.clone(), path, json!({ name: value }));
            match object.get("apiVersion") {
                Some(_) => stage.put::<EndpointObject>(object),
                None => stage.put::<Deployment>(object),
            }
            assert_eq!(stage.v1().adopted, expected, "{name}: {value}");
            assert_eq!(stage.draw().findings("recommender").revisions["v1"].adopted, expected);
        }
    }
}

#[test]
fn a_deployment_found_at_zero_is_adopted_and_stays_so_when_it_is_raised() {
    let mut stage = Stage::shop();
    stage.put::<Deployment>(with(deployment("v1"), "/spec/replicas", json!(0)));
    assert!(stage.v1().adopted);
    stage.put::<Deployment>(deployment("v1"));
    assert!(stage.v1().adopted);
    stage.put::<Deployment>(with(deployment("v1"), "/metadata/uid", json!("another")));
    assert!(!stage.v1().adopted, "another Deployment of its name was found serving");
}
