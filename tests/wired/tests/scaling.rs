//! As many replicas as the load needs, and none without load.

use http::Method;
use serde_json::json;
use wired::{File, LEAVING, Load, Model, Outcome, Up, eventually, secs};

/// The model of `examples/recommender.yaml`, with windows as short as Knative allows.
#[tokio::test]
async fn fifty_connections_get_five_replicas_and_more_and_then_none() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("begun");
    let mut model = Model::logged_predictor("recommender", &log, &["--service-time", "200ms"]);
    model.container_concurrency = 10;
    model.autoscaling = json!({ "maxReplicas": 10 });
    let up = Up::start(&File::of(model)).await;

    let load = Load::start(&up.client("recommender"), 50, &Method::POST, "/");
    // A target of 7 (70 % of 10) asks for 8.
    eventually(secs(40), "5 replicas are ready", async || match up.ready("recommender-v1").await {
        ready if 5 <= ready => Ok(()),
        ready => Err(format!("{ready}")),
    })
    .await;
    let at_five = load.begun();
    eventually(secs(40), "500 more requests are begun", async || match load.begun() - at_five {
        more if 500 <= more => Ok(()),
        more => Err(format!("{more}")),
    })
    .await;
    let outcomes = load.end().await;

    let bad: Vec<_> = outcomes.iter().filter(|(_, outcome)| **outcome != Outcome::Good).take(5).collect();
    assert!(bad.is_empty(), "of {} requests these were not answered 200: {bad:?}", outcomes.len());

    up.until_gone("recommender-v1", LEAVING).await;

    let begun = std::fs::read_to_string(&log).unwrap();
    let mut begun: Vec<&str> = begun.lines().collect();
    begun.sort_unstable();
    let sent: Vec<&str> = outcomes.keys().map(String::as_str).collect();
    assert_eq!(begun, sent, "each request was begun exactly once");
}

/// Not one request may meet the close of a replica that leaves.
#[tokio::test]
async fn replicas_that_leave_under_load_lose_nothing() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("begun");
    let mut model = Model::logged_predictor("tide", &log, &["--service-time", "30ms"]);
    model.container_concurrency = 2;
    model.autoscaling = json!({ "minReplicas": 4, "maxReplicas": 4 });
    let up = Up::start(&File::of(model.clone())).await;
    let load = Load::start(&up.client("tide"), 6, &Method::POST, "/");
    for replicas in [4, 1, 4, 1, 4, 1] {
        model.autoscaling = json!({ "minReplicas": replicas, "maxReplicas": replicas });
        up.rewrite(&File::of(model.clone()).text());
        eventually(secs(40), &format!("{replicas} replicas are there"), async || {
            let revision = up.revision("tide-v1").await;
            let there = (&revision["readyReplicas"], revision["replicas"].as_array().map(Vec::len));
            if *there.0 == replicas && there.1 == Some(replicas) { Ok(()) } else { Err(format!("{there:?}")) }
        })
        .await;
    }
    let outcomes = load.end().await;
    let bad: Vec<_> = outcomes.iter().filter(|(_, outcome)| **outcome != Outcome::Good).take(5).collect();
    assert!(bad.is_empty(), "of {} requests these were not answered 200: {bad:?}", outcomes.len());
    let begun = std::fs::read_to_string(&log).unwrap();
    let mut begun: Vec<&str> = begun.lines().collect();
    begun.sort_unstable();
    let sent: Vec<&str> = outcomes.keys().map(String::as_str).collect();
    assert_eq!(begun, sent, "each request was begun exactly once");
}
