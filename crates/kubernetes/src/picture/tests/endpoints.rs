use std::sync::Arc;

use platform::{PathPolicy, Route, UpstreamProtocol};
use serde_json::json;

use super::stage::*;
use crate::objects::{Deployment, EndpointObject, OwnPod, Pod, Service, Slice};

#[test]
fn an_endpoint_is_as_its_spec_says() {
    let mut stage = Stage::shop();
    let spec = json!({
        "hosts": ["m.example.com"], "traffic": [{ "revision": "v1", "percent": 90 }, { "revision": "v2", "percent": 10, "tag": "new" }],
        "containerConcurrency": 4, "timeouts": { "request": "60s" }, "queue": { "maxRequests": 5 }, "answerHeaders": false,
    });
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/spec", spec));
    let endpoint = stage.recommender();
    assert_eq!(endpoint.hosts, [Arc::from("m.example.com")]);
    assert_eq!(endpoint.container_concurrency.to_field(), 4);
    assert_eq!(endpoint.timeouts.request.map(|limit| limit.as_secs()), Some(60));
    assert_eq!(endpoint.queue.max_requests.get(), 5);
    assert!(!endpoint.answer_headers);
    let targets = endpoint.targets.iter().map(|t| (&*t.revision.name, t.percent.get(), t.tag.as_deref()));
    assert_eq!(targets.collect::<Vec<_>>(), [("v1", 90, None), ("v2", 10, Some("new"))]);
}

#[test]
fn a_revision_with_nothing_is_reachable_if_a_match_leads_to_it() {
    let mut stage = Stage::shop();
    let traffic = json!([{ "revision": "v1", "percent": 100 }, { "revision": "v2", "percent": 0 }]);
    let plain = with(endpoint("recommender", &["v1"]), "/spec/traffic", traffic);
    stage.put::<EndpointObject>(plain.clone());
    assert!(!stage.draw().revision("v2").reachable);
    let matches = json!([{ "header": { "name": "x-beta", "exact": "1" }, "to": "v2" }]);
    let matched = with(plain, "/spec/match", matches);
    stage.put::<EndpointObject>(with(matched, "/spec/sticky", json!({ "header": "x-user" })));
    assert!(stage.draw().revision("v2").reachable);
    let endpoint = stage.recommender();
    assert_eq!(endpoint.matches.iter().map(|one| one.to).collect::<Vec<_>>(), [1]);
    assert!(endpoint.sticky.is_some());
}

#[test]
fn the_generation_changes_with_the_spec_and_with_the_port_and_is_alike_everywhere() {
    let mut stage = Stage::shop();
    assert_eq!(stage.recommender().generation, (3 << 16) | 20_001);
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/status/activatorPort", json!(20_002)));
    assert_eq!(stage.recommender().generation, (3 << 16) | 20_002);
}

#[test]
fn without_a_port_yet_it_has_no_listener_of_its_own() {
    let mut stage = Stage::shop();
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/status", json!(null)));
    assert_eq!(stage.recommender().own_port, None);
}

#[test]
fn a_spec_with_faults_is_not_put_on_the_boards_and_the_faults_are_told() {
    let mut stage = Stage::shop();
    stage.put::<EndpointObject>(with(endpoint("new", &["v2"]), "/spec/path", json!("sideways")));
    let shop = stage.draw();
    assert_eq!(shop.endpoint("new"), None);
    let found = shop.findings("new");
    assert!(found.faults.is_some() && !found.keeps_last_good);
}

#[test]
fn a_spec_that_gets_a_fault_leaves_the_last_good_one_in_force() {
    let mut stage = Stage::shop();
    let before = stage.recommender();
    let faulty = with(endpoint("recommender", &["v1"]), "/spec/path", json!("sideways"));
    stage.put::<EndpointObject>(with(faulty, "/metadata/generation", json!(4)));
    let shop = stage.draw();
    assert_eq!(shop.endpoint("recommender"), Some(&before));
    assert!(shop.findings("recommender").keeps_last_good);
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/metadata/generation", json!(5)));
    let shop = stage.draw();
    assert_eq!(shop.endpoint("recommender").unwrap().generation, (5 << 16) | 20_001);
    assert_eq!(shop.findings("recommender").faults, None);
}

#[test]
fn another_endpoint_of_the_same_name_does_not_inherit_the_last_good_spec() {
    let mut stage = Stage::shop();
    stage.draw();
    let faulty = with(endpoint("recommender", &["v1"]), "/spec/path", json!("sideways"));
    stage.put::<EndpointObject>(with(faulty, "/metadata/uid", json!("another")));
    assert_eq!(stage.draw().endpoint("recommender"), None);
}

#[test]
fn an_endpoint_that_is_being_deleted_is_gone() {
    let mut stage = Stage::shop();
    let leaving = with(endpoint("recommender", &["v1"]), "/metadata/deletionTimestamp", json!("2026-01-01T12:00:00Z"));
    stage.put::<EndpointObject>(leaving);
    let shop = stage.draw();
    assert_eq!((shop.endpoint("recommender"), shop.0.revisions.len()), (None, 0));
}

#[test]
fn replicas_are_spoken_to_as_the_endpoint_says_else_as_the_port_is_named() {
    let mut stage = Stage::shop();
    assert_eq!(stage.recommender().upstream, UpstreamProtocol::Http1);
    let h2c = with(deployment("v1"), "/spec/template/spec/containers/0/ports/1/name", json!("h2c"));
    stage.put::<Deployment>(h2c);
    assert_eq!(stage.recommender().upstream, UpstreamProtocol::H2c);
    let ports = json!([{ "name": "http", "port": 80, "protocol": "http1" }]);
    stage.put::<EndpointObject>(with(endpoint("recommender", &["v1"]), "/spec/ports", ports));
    assert_eq!(stage.recommender().upstream, UpstreamProtocol::Http1);
}

#[test]
fn one_revision_with_sidecars_everywhere_may_go_direct() {
    let mut stage = Stage::shop_with_sidecars();
    stage.put::<Pod>(with_sidecar(pod("v1-a", "v1", "10.0.0.5"), "/spec"));
    assert_eq!(stage.recommender().path, PathPolicy::Auto);
    assert_eq!(stage.draw().findings("recommender").never_direct, None);
}

#[test]
fn whatever_speaks_against_the_direct_path_is_told() {
    let sidecars = || with_sidecar(deployment("v1"), "/spec/template/spec");
    let expressions = json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["v1"] }] });
    let why = |change: &dyn Fn(&Stage)| {
        let mut stage = Stage::shop_with_sidecars();
        change(&stage);
        let shop = stage.draw();
        assert_eq!(shop.endpoint("recommender").unwrap().path, PathPolicy::Proxied);
        shop.findings("recommender").never_direct.unwrap()
    };
    let proxied = with(endpoint("recommender", &["v1"]), "/spec/path", json!("proxied"));
    assert_eq!(why(&|stage| stage.put::<EndpointObject>(proxied.clone())), "spec.path says proxied");
    let several = endpoint("recommender", &["v1", "v2"]);
    assert_eq!(why(&|stage| stage.put::<EndpointObject>(several.clone())), "it has several revisions");
    let matches = json!([{ "path": { "prefix": "/v2/" }, "to": "v1" }]);
    let matches = with(endpoint("recommender", &["v1"]), "/spec/match", matches);
    let words = "it has a match, which the activators look for";
    assert_eq!(why(&|stage| stage.put::<EndpointObject>(matches.clone())), words);
    let sticky = with(endpoint("recommender", &["v1"]), "/spec/sticky", json!({ "cookie": "a", "setCookie": true }));
    let words = "its clients are sticky, which the activators see to";
    assert_eq!(why(&|stage| stage.put::<EndpointObject>(sticky.clone())), words);
    let missing = endpoint("recommender", &["v9"]);
    assert_eq!(why(&|stage| stage.put::<EndpointObject>(missing.clone())), "its Deployment is missing");
    let recreates = with(sidecars(), "/spec/strategy", json!({ "type": "Recreate" }));
    assert_eq!(why(&|stage| stage.put::<Deployment>(recreates.clone())), "its Deployment has the strategy Recreate");
    let selects = with(sidecars(), "/spec/selector", expressions);
    let words = "its Deployment selects pods in a way that a Service cannot";
    assert_eq!(why(&|stage| stage.put::<Deployment>(selects.clone())), words);
    assert_eq!(why(&|stage| stage.put::<Deployment>(deployment("v1"))), "its pods have no queue-proxy");
    let old = pod("v1-old", "v1", "10.0.0.5");
    assert_eq!(why(&|stage| stage.put::<Pod>(old.clone())), "one of its pods has no queue-proxy yet");
    let labels = json!({ "app": "v1", "rouse.dev/inject": "true" });
    let asks = with(deployment("v1"), "/spec/template/metadata/labels", labels);
    let missed = why(&|stage| {
        stage.put::<Deployment>(asks.clone());
        stage.put::<Pod>(old.clone());
    });
    assert!(missed.starts_with("one of its pods has no queue-proxy: the webhook was not there"), "{missed}");
}

#[test]
fn without_a_service_of_its_own_nobody_is_in_the_path() {
    let mut stage = Stage::shop();
    let nobody = Route::Proxied { through: Arc::from([]) };
    assert_eq!(stage.recommender().route, nobody);
    let of_another = with(service_of("recommender", json!({})), "/metadata/ownerReferences", json!([]));
    stage.put::<Service>(of_another);
    stage.put::<Slice>(slice_of("recommender", &["10.9.0.1"], 20_001));
    stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
    assert_eq!(stage.recommender().route, nobody);
}

#[test]
fn a_route_goes_through_the_activators_that_our_slices_name() {
    let mut stage = Stage::shop_with_sidecars();
    stage.put::<Slice>(slice_of("recommender", &["10.9.0.1"], 20_001));
    assert_eq!(stage.recommender().route, Route::Proxied { through: Arc::from([Arc::from("uid-of-activator-a")]) });
    stage.remove::<Slice>(slice_of("recommender", &[], 20_001));
    stage.put::<Service>(service_of("recommender", json!({ "app": "v1" })));
    assert_eq!(stage.recommender().route, Route::Direct);
}
