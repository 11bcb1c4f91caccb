//! The first request at zero replicas.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use wired::{File, Model, Up, eventually, secs};

#[tokio::test]
async fn a_request_at_zero_wakes_and_its_answer_says_how_long_that_took() {
    let up = Up::start(&File::of(Model::predictor("sleepy", &["--startup", "300ms"]))).await;
    let client = up.client("sleepy");
    up.until_state("sleepy-v1", "zero", secs(20)).await;

    let woken = client.get("/").await;
    assert_eq!(woken.status, 200, "{}", woken.text());
    assert_eq!(woken.header("rouse-revision"), "sleepy-v1");
    let timing = woken.header("server-timing").to_owned();
    let part = |name: &str| woken.timing(name).unwrap_or_else(|| panic!("no {name} in {timing:?}"));
    assert!(300.0 <= part("wake"), "it takes 300 ms to load: {timing}");
    let parts = part("order") + part("start") + part("forward") + part("answer");
    assert!((part("wake") - parts).abs() <= 1.0, "the parts are the whole: {timing}");

    let warm = client.get("/").await;
    assert_eq!((warm.status.as_u16(), warm.timing("wake")), (200, None), "nobody waits for a replica that is there");

    let wakes = eventually(secs(10), "the wake is told as served", async || {
        let wakes = up.json("/api/v1/revisions/default/sleepy-v1/wakes").await;
        if wakes["wakes"][0]["outcome"] == "served" { Ok(wakes) } else { Err(wakes.to_string()) }
    })
    .await;
    assert_eq!(wakes["wakes"].as_array().map(Vec::len), Some(1), "{wakes}");
    assert!(wakes["wakes"][0]["readySeconds"].as_f64().is_some_and(|seconds| 0.3 <= seconds), "{wakes}");
}

#[tokio::test]
async fn of_a_burst_at_zero_every_request_is_answered_and_begun_once() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("begun");
    let mut model = Model::logged_predictor("burst", &log, &["--startup", "200ms", "--service-time", "20ms"]);
    model.container_concurrency = 10;
    model.autoscaling = json!({ "maxReplicas": 2 });
    let up = Up::start(&File::of(model)).await;

    let client = up.client("burst");
    let mut requests = JoinSet::new();
    for number in 0..200 {
        let client = client.clone();
        requests.spawn(async move {
            let request = client.request("/").method(Method::POST).header("x-request-id", format!("n{number}"));
            client.ask(request, "").await.map(|answer| (answer.status.as_u16(), answer.text()))
        });
    }
    while let Some(answer) = requests.join_next().await {
        let (status, text) = answer.unwrap().unwrap();
        assert_eq!(status, 200, "{text}");
    }
    let mut begun: BTreeMap<String, u32> = BTreeMap::new();
    for id in std::fs::read_to_string(&log).unwrap().lines() {
        *begun.entry(id.to_owned()).or_default() += 1;
    }
    assert_eq!(begun.len(), 200);
    assert!(begun.values().all(|times| *times == 1), "{begun:?}");
}

#[tokio::test]
async fn a_known_endpoint_is_never_answered_404_and_an_unknown_one_is_told_so() {
    let up = Up::start(&File::of_all(vec![Model::predictor("one", &[]), Model::predictor("two", &[])])).await;
    let unknown = up.client("three").get("/").await;
    assert_eq!((unknown.status.as_u16(), unknown.header("rouse-reason")), (404, "unknown-host"));
    assert_eq!(up.client("one").get("/").await.status, 200);
    assert_eq!(up.client("two").get("/").await.status, 200);

    // The replica's own 404 is passed on as it is.
    let nowhere = up.client("one").get("/nowhere").await;
    assert_eq!((nowhere.status.as_u16(), nowhere.header("rouse-reason")), (404, ""));
    assert!(nowhere.text().contains("there is nothing at /nowhere"), "{}", nowhere.text());
}
