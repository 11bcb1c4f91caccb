//! What the admin port and `rouse get` tell.

use serde_json::{Value, json};
use wired::{File, Model, Up, run, secs};

/// The fields of an object, sorted.
fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

async fn up() -> Up {
    let mut model = Model::predictor("recommender", &[]);
    model.container_concurrency = 10;
    model.autoscaling = json!({ "maxReplicas": 4 });
    let up = Up::start(&File::of_all(vec![model, Model::predictor("other", &[])])).await;
    assert_eq!(up.client("recommender").get("/").await.status, 200);
    up.until_state("recommender-v1", "active", secs(20)).await;
    up
}

#[tokio::test]
async fn endpoints_come_with_their_revisions_in_full() {
    let up = up().await;
    let list = up.json("/api/v1/endpoints").await;
    let endpoints = list["endpoints"].as_array().unwrap();
    let names: Vec<&Value> = endpoints.iter().map(|endpoint| &endpoint["name"]).collect();
    assert_eq!(names, ["other", "recommender"]);
    let endpoint = &endpoints[1];
    assert_eq!(fields(endpoint), ["hosts", "name", "namespace", "outcomes", "revisions", "state", "traffic", "url"]);
    // There is nothing to compare one revision with.
    assert_eq!(endpoint["outcomes"], Value::Null);
    assert_eq!(endpoint["traffic"], json!([{ "revision": "recommender-v1", "percent": 100, "tag": null }]));

    let revision = &endpoint["revisions"][0];
    assert_eq!(
        fields(revision),
        [
            "adopted",
            "because",
            "demand",
            "desiredReplicas",
            "mode",
            "name",
            "namespace",
            "outlook",
            "path",
            "readyReplicas",
            "reason",
            "refusedSettings",
            "replicas",
            "settings",
            "startingReplicas",
            "state",
            "zeroBlockedBy"
        ]
    );
    assert_eq!(
        (&revision["state"], &revision["path"], &revision["readyReplicas"]),
        (&json!("active"), &json!("proxied"), &json!(1))
    );
    assert_eq!(fields(&revision["demand"]), ["metric", "panic", "stable", "target"]);
    assert_eq!(fields(&revision["replicas"][0]), ["address", "inFlight", "name", "ready"]);
    assert_eq!(revision["settings"]["maxReplicas"], json!({ "value": "4", "source": "endpoint" }));
    assert_eq!(revision["settings"]["window"], json!({ "value": "6s", "source": "config-map" }));

    let alone = up.revision("recommender-v1").await;
    assert_eq!(fields(&alone), fields(revision));
    assert_eq!(up.admin("/api/v1/revisions/default/nobody-v1").await.status, 404);
}

#[tokio::test]
async fn get_prints_a_table_for_people_and_json_for_machines() {
    let up = up().await;
    let table = run("", &["get", "revisions", "--admin", &up.admin_url()]);
    assert!(table.status.success(), "{table:?}");
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table.lines().find(|line| line.contains("recommender-v1")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("active"), "{table}");
    assert!(table.lines().any(|line| line.contains("other-v1") && line.contains("zero")), "{table}");

    let machine = run("", &["get", "-o", "json", "--admin", &up.admin_url()]);
    assert!(machine.status.success(), "{machine:?}");
    let machine: Value = serde_json::from_slice(&machine.stdout).unwrap();
    assert_eq!(machine["endpoints"][1]["revisions"][0]["state"], "active", "{machine}");
}

#[tokio::test]
async fn get_says_what_to_do_when_nothing_runs() {
    let nowhere = run("", &["get", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(nowhere.status.code(), Some(69), "{nowhere:?}");
    let said = String::from_utf8(nowhere.stderr).unwrap();
    assert!(said.contains("127.0.0.1:1") && said.contains("rouse up"), "{said}");
}

#[tokio::test]
async fn metrics_tell_of_every_part() {
    let up = up().await;
    let metrics = up.admin("/metrics").await.text();
    for name in ["rouse_build_info", "rouse_requests_total", "rouse_wakes_total", "rouse_decisions_total"] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} in:\n{metrics}");
    }
    assert_eq!(up.admin("/healthz").await.status, 200);
    assert_eq!(up.admin("/readyz").await.status, 200);
}
