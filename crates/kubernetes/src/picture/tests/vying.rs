use std::sync::Arc;

use platform::PathPolicy;
use serde_json::{Value, json};
use units::EndpointKey;

use super::stage::*;
use crate::objects::{Autoscaled, Deployment, EndpointObject, Pod, Service};

fn key(name: &str) -> EndpointKey {
    EndpointKey::new("shop", name)
}

/// An endpoint that was made so many seconds after noon.
fn made_at(seconds: u32, endpoint: Value) -> Value {
    with(endpoint, "/metadata/creationTimestamp", json!(format!("2026-01-01T12:00:{seconds:02}Z")))
}

#[test]
fn a_host_belongs_to_the_oldest_endpoint_that_asks_for_it() {
    let mut stage = Stage::shop();
    let asking = |name: &str, hosts: Value| with(endpoint(name, &[name]), "/spec/hosts", hosts);
    stage.put::<EndpointObject>(made_at(9, asking("young", json!(["m.example.com", "y.example.com"]))));
    stage.put::<EndpointObject>(made_at(1, asking("old", json!(["m.example.com"]))));
    let shop = stage.draw();
    assert_eq!(shop.endpoint("old").unwrap().hosts, [Arc::from("m.example.com")]);
    assert_eq!(shop.endpoint("young").unwrap().hosts, [Arc::from("y.example.com")]);
    assert_eq!(shop.findings("young").hosts_of_others, [(Arc::from("m.example.com"), key("old"))]);
    assert_eq!(shop.findings("old").hosts_of_others, []);
}

#[test]
fn of_two_that_were_made_in_the_same_second_the_uid_decides() {
    let mut stage = Stage::shop();
    for name in ["b", "a"] {
        stage.put::<EndpointObject>(with(endpoint(name, &[name]), "/spec/hosts", json!(["m.example.com"])));
    }
    let shop = stage.draw();
    assert_eq!(shop.findings("b").hosts_of_others, [(Arc::from("m.example.com"), key("a"))]);
}

#[test]
fn a_deployment_belongs_to_the_oldest_endpoint_that_names_it_and_the_younger_stays_proxied() {
    let mut stage = Stage::shop_with_sidecars();
    stage.put::<EndpointObject>(made_at(9, endpoint("young", &["v1"])));
    let shop = stage.draw();
    assert_eq!(shop.0.revisions.len(), 1);
    assert_eq!(shop.revision("v1").endpoint, key("recommender"));
    assert_eq!(shop.findings("young").revisions["v1"].taken_by, Some(key("recommender")));
    assert_eq!(shop.findings("recommender").revisions["v1"].taken_by, None);
    let paths = ["recommender", "young"].map(|name| shop.endpoint(name).unwrap().path);
    assert_eq!(paths, [PathPolicy::Auto, PathPolicy::Proxied]);
    assert_eq!(shop.endpoint("young").unwrap().targets.len(), 1, "it is served all the same");
}

#[test]
fn when_the_older_goes_the_younger_takes_over() {
    let mut stage = Stage::shop();
    stage.put::<EndpointObject>(made_at(9, endpoint("young", &["v1"])));
    stage.draw();
    stage.remove::<EndpointObject>(endpoint("recommender", &["v1"]));
    let shop = stage.draw();
    assert_eq!(shop.revision("v1").endpoint, key("young"));
    assert_eq!(shop.findings("young").revisions["v1"].taken_by, None);
}

#[test]
fn a_service_of_others_that_selects_the_pods_is_named_even_while_there_are_none() {
    let mut stage = Stage::shop();
    let service = |name: &str, selector: Value| json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": { "selector": selector } });
    stage.put::<Service>(service("legacy", json!({ "app": "v1", "team": "vision" })));
    stage.put::<Service>(service("other-team", json!({ "app": "v1", "team": "audio" })));
    stage.put::<Service>(service("external", json!(null)));
    stage.put::<Service>(service_of("recommender", json!({ "app": "v1" })));
    assert_eq!(stage.draw().findings("recommender").revisions["v1"].bypassed_by, [Arc::from("legacy")]);
}

#[test]
fn a_scaler_of_others_on_the_deployment_is_named() {
    let mut stage = Stage::shop();
    let scaler = |name: &str, kind: &str, target: &str| {
        json!({
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": kind, "name": target } },
        })
    };
    stage.put::<Autoscaled>(scaler("cpu", "Deployment", "v1"));
    stage.put::<Autoscaled>(scaler("other", "Deployment", "v2"));
    stage.put::<Autoscaled>(scaler("stateful", "StatefulSet", "v1"));
    let shop = stage.draw();
    assert_eq!(shop.findings("recommender").revisions["v1"].scaled_by, [Arc::from("HorizontalPodAutoscaler cpu")]);
}

#[test]
fn a_revision_whose_pods_have_no_sidecar_is_said_to_have_none() {
    let mut stage = Stage::shop();
    assert!(stage.draw().findings("recommender").revisions["v1"].without_sidecars);
    stage.put::<Deployment>(with_sidecar(deployment("v1"), "/spec/template/spec"));
    assert!(!stage.draw().findings("recommender").revisions["v1"].without_sidecars);
}

#[test]
fn a_namespace_of_a_thousand_endpoints_is_drawn_with_its_pods_each_in_its_place() {
    let mut stage = Stage::shop();
    for i in 0..1_000 {
        let name = format!("m{i}");
        stage.put::<EndpointObject>(endpoint(&name, &[&name]));
        stage.put::<Deployment>(deployment(&name));
        for copy in ["a", "b"] {
            stage.put::<Pod>(pod(&format!("{name}-{copy}"), &name, "10.0.0.5"));
        }
    }
    let shop = stage.draw();
    assert_eq!(shop.0.endpoints.len(), 1_001);
    assert!(shop.0.revisions.iter().filter(|r| &*r.key.name != "v1").all(|revision| revision.replicas.len() == 2));
}

fn shadowing(name: &str, revision: &str, shadow: &str) -> serde_json::Value {
    with(endpoint(name, &[revision]), "/spec/shadow", json!([{ "revision": shadow, "wake": true }]))
}

#[test]
fn a_shadow_is_reachable_never_direct_and_belongs_to_its_endpoint() {
    let mut stage = Stage::shop_with_sidecars();
    stage.put::<Deployment>(with_sidecar(deployment("v2"), "/spec/template/spec"));
    stage.put::<EndpointObject>(shadowing("recommender", "v1", "v2"));
    let shop = stage.draw();
    let shadows: Vec<_> = shop.endpoint("recommender").unwrap().shadows.iter().map(|one| &*one.revision.name).collect();
    assert_eq!(shadows, ["v2"]);
    assert!(shop.revision("v2").reachable);
    assert_eq!(shop.endpoint("recommender").unwrap().path, PathPolicy::Proxied);
    let why = shop.findings("recommender").never_direct.unwrap();
    assert_eq!(why, "it has a shadow, to which the activators send copies");
}

#[test]
fn a_shadow_that_any_endpoint_serves_gets_no_copies_whoever_is_older() {
    for (of_shadow, of_traffic) in [(9, 1), (1, 9)] {
        let mut stage = Stage::shop_with_sidecars();
        stage.put::<Deployment>(with_sidecar(deployment("v2"), "/spec/template/spec"));
        stage.put::<EndpointObject>(made_at(of_traffic, endpoint("other", &["v2"])));
        stage.put::<EndpointObject>(made_at(of_shadow, shadowing("shadowed", "v1", "v2")));
        let shop = stage.draw();
        assert_eq!(shop.endpoint("shadowed").unwrap().shadows.len(), 0);
    }
}
