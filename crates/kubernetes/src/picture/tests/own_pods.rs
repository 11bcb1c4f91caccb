use std::net::SocketAddr;
use std::time::Duration;

use platform::ActivatorPod;
use serde_json::json;

use super::stage::*;
use crate::objects::{OwnPod, Slice};
use crate::picture::own;

fn activators(stage: &Stage, before: &[ActivatorPod], seconds: u64) -> Vec<(String, Option<u64>)> {
    let now = NOON.plus(Duration::from_secs(seconds));
    let told = stage.world.look(|seen| own::activators(seen, Some(before), now));
    told.iter().map(|pod| (pod.name.to_string(), pod.out_since.map(|since| since.since(NOON).as_secs()))).collect()
}

#[test]
fn an_activator_that_is_ready_or_named_by_a_slice_is_in_and_out_from_when_it_is_neither() {
    let stage = Stage::shop();
    let name = "activator-a".to_owned();
    stage.put::<OwnPod>(activator(&name, "10.9.0.1"));
    stage.put::<Slice>(slice_of("recommender", &["10.9.0.1"], 20_001));
    assert_eq!(activators(&stage, &[], 0), [(name.clone(), None)]);
    let leaving = with(activator(&name, "10.9.0.1"), "/metadata/deletionTimestamp", json!("2026-01-01T12:00:00Z"));
    stage.put::<OwnPod>(leaving);
    assert_eq!(activators(&stage, &[], 1), [(name.clone(), None)], "a slice still names it");
    stage.put::<Slice>(slice_of("recommender", &[], 20_001));
    assert_eq!(activators(&stage, &[], 2), [(name.clone(), Some(2))]);
    let before = stage.world.look(|seen| own::activators(seen, None, NOON.plus(Duration::from_secs(2))));
    assert_eq!(activators(&stage, &before, 9), [(name, Some(2))], "it is out since then");
}

#[test]
fn an_activator_counts_until_its_containers_have_ended() {
    let stage = Stage::shop();
    stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
    stage.put::<OwnPod>(with(activator("activator-b", "10.9.0.2"), "/status/phase", json!("Failed")));
    let unready = json!([{ "type": "Ready", "status": "False" }]);
    stage.put::<OwnPod>(with(activator("activator-c", "10.9.0.3"), "/status/conditions", unready));
    let names: Vec<_> = activators(&stage, &[], 0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["activator-a", "activator-c"]);
}

#[test]
fn streams_go_to_every_autoscaler_that_has_an_address() {
    let stage = Stage::shop();
    let autoscaler = |name: &str, address: &str| {
        with(activator(name, address), "/metadata/labels/app.kubernetes.io~1component", json!("autoscaler"))
    };
    stage.put::<OwnPod>(autoscaler("autoscaler-b", "fd00::2"));
    stage.put::<OwnPod>(autoscaler("autoscaler-a", "10.9.0.5"));
    stage.put::<OwnPod>(with(autoscaler("autoscaler-c", "10.9.0.6"), "/status", json!({ "phase": "Pending" })));
    stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
    let told = stage.world.look(|seen| own::autoscalers(seen, 8081));
    let expected: [SocketAddr; 2] = ["10.9.0.5:8081".parse().unwrap(), "[fd00::2]:8081".parse().unwrap()];
    assert_eq!(told, expected);
}

#[test]
fn a_ready_activator_that_no_slice_names_can_still_be_reached_at_the_shared_port() {
    let stage = Stage::shop();
    stage.put::<OwnPod>(activator("activator-a", "10.9.0.1"));
    assert_eq!(activators(&stage, &[], 1), [("activator-a".to_owned(), None)]);
    let unready = json!([{ "type": "Ready", "status": "False" }]);
    stage.put::<OwnPod>(with(activator("activator-a", "10.9.0.1"), "/status/conditions", unready));
    assert_eq!(activators(&stage, &[], 2), [("activator-a".to_owned(), Some(2))]);
}
