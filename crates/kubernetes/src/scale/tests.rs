use std::sync::Arc;

use daemon::Clock;
use platform::{Actuator, Leadership};
use serde_json::Value;
use tokio::sync::watch;
use units::Moment;

use super::*;
use crate::fake::Next::{IsSilent, Says};
use crate::fake::{Call, Next, refusal, scripted};

const PATH: &str = "/apis/apps/v1/namespaces/shop/deployments/v1/scale";

fn v1() -> RevisionKey {
    RevisionKey::new("shop", "v1")
}

/// An order on what `scale` said at version 7: 2 replicas.
fn order(to: u32) -> ScaleOrder {
    ScaleOrder {
        revision: v1(),
        to: ReplicaCount(to),
        epoch: 1,
        expect: Some(scale_version("u", "7", ReplicaCount(2))),
        victims: Vec::new(),
    }
}

fn object(version: &str, replicas: u32) -> Value {
    let spec = if replicas == 0 { json!({}) } else { json!({ "replicas": replicas }) };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": { "name": "v1", "namespace": "shop", "uid": "u", "resourceVersion": version },
        "spec": spec,
    })
}

fn scale(version: &str, replicas: u32) -> Scale {
    Scale { replicas: ReplicaCount(replicas), version: scale_version("u", version, ReplicaCount(replicas)) }
}

fn conflict() -> Next {
    Says(409, refusal(409, "the object has been modified"))
}

/// What comes of an order when the API server answers so, and what it is asked.
async fn ordered(order: ScaleOrder, script: impl Into<Vec<Next>>) -> (Result<Scale, ScaleError>, Vec<Call>) {
    ordered_by(Leadership::ALONE, order, script).await
}

async fn ordered_by(
    leadership: Leadership,
    order: ScaleOrder,
    script: impl Into<Vec<Next>>,
) -> (Result<Scale, ScaleError>, Vec<Call>) {
    let (cluster, asked) = scripted(script.into());
    let end = actuator(&cluster, leadership).scale(order).await;
    let asked = asked.lock().clone();
    (end, asked)
}

fn actuator(cluster: &crate::Cluster, leadership: Leadership) -> Arc<dyn Actuator> {
    cluster.actuator(watch::Sender::new(leadership).subscribe())
}

fn patched(asked: &[Call]) -> Vec<&Value> {
    asked.iter().filter(|call| call.method == "PATCH").map(|call| &call.body).collect()
}

#[tokio::test]
async fn an_order_is_one_patch_that_expects_what_it_was_decided_on() {
    let (end, asked) = ordered(order(3), [Says(200, object("8", 3))]).await;
    assert_eq!(end, Ok(scale("8", 3)));
    let call = Call {
        method: "PATCH".into(),
        path: PATH.into(),
        query: "&fieldManager=rouse".into(),
        body: json!({ "metadata": { "uid": "u", "resourceVersion": "7" }, "spec": { "replicas": 3 } }),
    };
    assert_eq!(asked, [call]);
}

#[tokio::test]
async fn a_write_of_status_in_between_holds_no_order_up() {
    let script =
        [conflict(), Says(200, object("9", 2)), conflict(), Says(200, object("11", 2)), Says(200, object("12", 3))];
    let (end, asked) = ordered(order(3), script).await;
    assert_eq!(end, Ok(scale("12", 3)));
    let versions = patched(&asked).into_iter().map(|body| body["metadata"]["resourceVersion"].as_str().unwrap());
    assert_eq!(versions.collect::<Vec<_>>(), ["7", "9", "11"]);
}

#[tokio::test]
async fn replicas_that_somebody_else_wrote_are_a_conflict() {
    let (end, asked) = ordered(order(3), [conflict(), Says(200, object("9", 5))]).await;
    assert_eq!(end, Err(ScaleError::Conflict { now: scale("9", 5) }));
    assert_eq!(patched(&asked).len(), 1);
}

#[tokio::test]
async fn another_workload_of_that_name_is_a_conflict() {
    let mut object = object("9", 2);
    object["metadata"]["uid"] = "another".into();
    let (end, asked) = ordered(order(3), [conflict(), Says(200, object)]).await;
    assert!(matches!(end, Err(ScaleError::Conflict { .. })), "{end:?}");
    assert_eq!(patched(&asked).len(), 1);
}

#[tokio::test]
async fn zero_is_for_exactly_the_version_that_was_sealed() {
    let (end, asked) = ordered(order(0), [conflict(), Says(200, object("9", 2))]).await;
    assert_eq!(end, Err(ScaleError::Conflict { now: scale("9", 2) }));
    assert_eq!(patched(&asked).len(), 1);
}

#[tokio::test]
async fn zero_without_a_version_is_never_sent() {
    let (end, asked) = ordered(ScaleOrder { expect: None, ..order(0) }, []).await;
    assert!(matches!(end, Err(ScaleError::Refused { .. })), "{end:?}");
    assert_eq!(asked, []);
}

#[tokio::test]
async fn at_zero_the_number_is_left_out_of_the_object() {
    let (end, _) = ordered(order(0), [Says(200, object("8", 0))]).await;
    assert_eq!(end, Ok(scale("8", 0)));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_unknown_within_a_second() {
    let clock = Clock::start();
    let begun = clock.now();
    let (end, _) = ordered(order(3), [conflict(), IsSilent]).await;
    assert!(matches!(end, Err(ScaleError::Unknown { .. })), "{end:?}");
    assert_eq!(clock.now().since(begun), PROMPT);
    let read = actuator(&scripted([IsSilent]).0, Leadership::ALONE).read_scale(&v1()).await;
    assert!(matches!(read, Err(ScaleError::Unknown { .. })), "{read:?}");
}

#[tokio::test]
async fn a_refusal_says_what_the_api_server_said() {
    let why = "deployments.apps \"v1\" is forbidden: no";
    let (end, _) = ordered(order(3), [Says(403, refusal(403, why))]).await;
    assert_eq!(end, Err(ScaleError::Refused { why: why.into() }));
}

#[tokio::test]
async fn a_workload_that_is_not_there_is_gone() {
    let (end, _) = ordered(order(3), [Says(404, refusal(404, "not found"))]).await;
    assert_eq!(end, Err(ScaleError::Gone));
}

#[tokio::test]
async fn an_api_server_in_trouble_may_have_done_it() {
    for code in [500, 503, 504] {
        let (end, _) = ordered(order(3), [Says(code, refusal(code, "trouble"))]).await;
        assert!(matches!(end, Err(ScaleError::Unknown { .. })), "{end:?}");
    }
}

#[tokio::test]
async fn a_leadership_that_is_over_writes_nothing() {
    let over = Leadership::Leading { epoch: 1, until: Moment::from_unix_millis(0) };
    let another = Leadership::Leading { epoch: 2, until: Moment::from_unix(std::time::Duration::MAX) };
    for leadership in [Leadership::Following, over, another] {
        let (end, asked) = ordered_by(leadership, order(3), []).await;
        assert_eq!(end, Err(ScaleError::NotLeading));
        assert_eq!(asked, []);
    }
}

#[tokio::test]
async fn a_leadership_that_ends_while_an_order_is_tried_again_writes_nothing_more() {
    let leads = watch::Sender::new(Leadership::ALONE);
    let leadership = leads.subscribe();
    let asked: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let cluster = crate::fake::cluster(move |call| {
        let (code, body) = match call.method.as_str() {
            "PATCH" => (409, refusal(409, "modified")),
            _ => (200, object("9", 2)),
        };
        leads.send_replace(Leadership::Following);
        log.lock().push(call.method);
        Box::pin(async move { crate::fake::answer(code, &body) })
    });
    let end = cluster.actuator(leadership).scale(order(3)).await;
    assert_eq!(end, Err(ScaleError::NotLeading));
    assert_eq!(*asked.lock(), ["PATCH", "GET"]);
}
