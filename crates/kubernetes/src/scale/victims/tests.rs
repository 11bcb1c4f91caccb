use std::sync::Arc;

use daemon::Clock;
use parking_lot::Mutex;
use platform::Leadership;
use serde_json::Value;
use tokio::sync::watch;
use units::{Moment, ReplicaCount, RevisionKey};

use super::*;
use crate::Cluster;
use crate::fake::{Call, answer, refusal};
use crate::names::scale_version;
use crate::objects::{Sight, Watched};

/// To that many of the revision `v1`, at version 7 of its scale, these first.
fn order(to: u32, victims: &[&str]) -> ScaleOrder {
    ScaleOrder {
        revision: RevisionKey::new("shop", "v1"),
        to: ReplicaCount(to),
        epoch: 1,
        expect: Some(scale_version("u", "7", ReplicaCount(4))),
        victims: victims.iter().map(|name| Arc::from(*name)).collect(),
    }
}

fn pod(name: &str, cost: Option<&str>) -> Value {
    let annotations = cost.map_or(json!({}), |cost| json!({ DELETION_COST: cost }));
    json!({ "metadata": {
        "namespace": "shop", "name": name, "uid": format!("uid-of-{name}"), "annotations": annotations,
    } })
}

fn see(cluster: &Cluster, pods: &[Value]) {
    for pod in pods {
        let pod: Watched<Pod> = serde_json::from_value(pod.clone()).unwrap();
        cluster.world.put(pod, Sight { now: Moment::from_unix_millis(0), live: true });
    }
}

/// An API server that answers patches of pods like `of_pods` and carries orders out, and what it was asked.
fn served(of_pods: u16) -> (Cluster, Arc<Mutex<Vec<Call>>>) {
    let asked: Arc<Mutex<Vec<Call>>> = Arc::default();
    let log = Arc::clone(&asked);
    let cluster = crate::fake::cluster(move |call| {
        let is_of_a_pod = call.path.contains("/pods/");
        log.lock().push(call);
        Box::pin(async move {
            match (is_of_a_pod, of_pods) {
                (true, 0) => std::future::pending().await,
                (true, 200) => answer(200, &pod("any", None)),
                (true, code) => answer(code, &refusal(code, "no")),
                (false, _) => answer(
                    200,
                    &json!({
                        "metadata": { "uid": "u", "resourceVersion": "8" }, "spec": { "replicas": 2 },
                    }),
                ),
            }
        })
    });
    (cluster, asked)
}

/// Which pods were given which cost, in the order of their names, before an order of that kind.
async fn marked(order: ScaleOrder, pods: &[Value]) -> Vec<(String, Value)> {
    let (cluster, asked) = served(200);
    see(&cluster, pods);
    cluster.actuator(watch::Sender::new(Leadership::ALONE).subscribe()).scale(order).await.unwrap();
    let asked = asked.lock();
    let (scale, marks) = asked.split_last().unwrap();
    assert!(scale.path.ends_with("/deployments/v1/scale"), "the order comes last: {asked:?}");
    let mut marks: Vec<_> = marks
        .iter()
        .map(|call| {
            let name = call.path.strip_prefix("/api/v1/namespaces/shop/pods/").unwrap();
            let name = name.strip_suffix("/status").expect("through status").to_owned();
            assert_eq!(call.body["metadata"]["uid"], format!("uid-of-{name}"));
            (name, call.body["metadata"]["annotations"][DELETION_COST].clone())
        })
        .collect();
    marks.sort_by(|one, other| one.0.cmp(&other.0));
    marks
}

fn cheapest(name: &str) -> (String, Value) {
    (name.to_owned(), Value::from(i32::MIN.to_string()))
}

#[tokio::test]
async fn as_many_as_there_are_too_many_become_the_cheapest_right_before_the_order() {
    let pods = ["a", "b", "c", "d"].map(|name| pod(name, None));
    assert_eq!(marked(order(2, &["c", "a", "d", "b"]), &pods).await, [cheapest("a"), cheapest("c")]);
}

#[tokio::test]
async fn who_is_not_chosen_any_more_is_no_cheaper_than_others() {
    let before = i32::MIN.to_string();
    let pods = [pod("a", Some(&before)), pod("b", Some(&before)), pod("c", None)];
    assert_eq!(marked(order(2, &["b", "c", "a"]), &pods).await, [("a".to_owned(), Value::Null)]);
}

#[tokio::test]
async fn a_cost_that_somebody_else_gave_stays() {
    let pods = [pod("a", Some("100")), pod("b", Some("-5")), pod("c", None)];
    assert_eq!(marked(order(1, &["a", "c", "b"]), &pods).await, [cheapest("c")]);
}

#[tokio::test]
async fn nobody_is_chosen_when_all_go_or_none() {
    let pods = ["a", "b"].map(|name| pod(name, None));
    assert_eq!(marked(order(0, &["a", "b"]), &pods).await, []);
    assert_eq!(marked(order(3, &[]), &pods).await, []);
}

#[tokio::test]
async fn a_pod_that_leaves_already_or_is_gone_is_not_written() {
    let mut leaving = pod("a", None);
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z".into();
    assert_eq!(marked(order(1, &["a", "gone", "b"]), &[leaving, pod("b", None)]).await, []);
}

#[tokio::test]
async fn refused_marks_do_not_stop_an_order() {
    let (cluster, asked) = served(403);
    see(&cluster, &[pod("a", None), pod("b", None)]);
    let end = cluster.actuator(watch::Sender::new(Leadership::ALONE).subscribe()).scale(order(1, &["a", "b"])).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(asked.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_slow_with_pods_holds_an_order_up_for_a_moment_only() {
    let (cluster, _) = served(0);
    see(&cluster, &[pod("a", None), pod("b", None)]);
    let clock = Clock::start();
    let begun = clock.now();
    let end = cluster.actuator(watch::Sender::new(Leadership::ALONE).subscribe()).scale(order(1, &["a", "b"])).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(clock.now().since(begun), MARKING);
}

#[tokio::test]
async fn who_does_not_lead_marks_nobody() {
    let (cluster, asked) = served(200);
    see(&cluster, &[pod("a", None), pod("b", None)]);
    let leadership = watch::Sender::new(Leadership::Following).subscribe();
    let end = cluster.actuator(leadership).scale(order(1, &["a", "b"])).await;
    assert_eq!(end, Err(platform::ScaleError::NotLeading));
    assert_eq!(*asked.lock(), []);
}
