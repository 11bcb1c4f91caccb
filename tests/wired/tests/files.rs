//! The file: every fault at once, and changes while it is served.

use std::collections::BTreeSet;
use std::net::TcpListener;

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wired::{File, Load, Model, Outcome, Up, eventually, run, secs};

/// A place that begins a fault's line: `models.yaml:7:3: `.
fn place(line: &str) -> Option<(u32, u32, &str)> {
    let (line_number, rest) = line.strip_prefix("models.yaml:")?.split_once(':')?;
    let (column, rest) = rest.split_once(": ")?;
    Some((line_number.parse().ok()?, column.parse().ok()?, rest))
}

#[test]
fn nine_faults_in_one_file_are_nine_lines_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = include_str!("../../../examples/nine-faults.yaml").replace("8090", &port.to_string());
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for arguments in [&["up", "--check", "-f", "models.yaml"][..], &["up", "-f", "models.yaml"]] {
        let refused = run(&text, &[arguments, &ports[..]].concat());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{said}");
        let faults: Vec<_> = said.lines().filter_map(place).collect();
        assert_eq!(faults.len(), 9, "{said}");
        for (line, column, rest) in &faults {
            assert!(0 < *line && 0 < *column, "{said}");
            assert!(2 <= rest.matches(": ").count(), "path: value: what is allowed, in {rest}");
        }
        let places: BTreeSet<_> = faults.iter().map(|(line, column, _)| (line, column)).collect();
        assert_eq!(places.len(), 9, "each has a place of its own: {said}");
        assert!(!said.contains("serving"), "{said}");
    }
}

#[tokio::test]
async fn a_new_limit_is_in_force_without_a_restart() {
    let mut model = Model::predictor("changing", &["--service-time", "400ms"]);
    model.container_concurrency = 1;
    model.autoscaling = json!({ "minReplicas": 1, "maxReplicas": 1 });
    let up = Up::start(&File::of(model.clone())).await;
    up.until_state("changing-v1", "active", secs(20)).await;
    let before = up.mark().predictors();

    let four_at_once = async || {
        let started = Instant::now();
        let mut requests = JoinSet::new();
        for _ in 0..4 {
            let client = up.client("changing");
            requests.spawn(async move { client.get("/").await.status });
        }
        while let Some(status) = requests.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
        started.elapsed()
    };
    let one_by_one = four_at_once().await;
    assert!(secs(1) + secs(1) / 2 <= one_by_one, "one at a time takes 4 × 400 ms: {one_by_one:?}");

    model.container_concurrency = 4;
    up.rewrite(&File::of(model).text());
    eventually(secs(30), "four are worked on at once", async || match four_at_once().await {
        all if all < secs(1) => Ok(()),
        all => Err(format!("{all:?}")),
    })
    .await;
    assert_eq!(up.mark().predictors(), before, "nothing was started for it");
}

#[tokio::test]
async fn a_new_maximum_is_in_force_under_load() {
    let mut model = Model::predictor("growing", &["--service-time", "200ms"]);
    model.container_concurrency = 1;
    model.autoscaling = json!({ "maxReplicas": 1 });
    let up = Up::start(&File::of(model.clone())).await;
    let load = Load::start(&up.client("growing"), 4, &Method::GET, "/");
    up.until_state("growing-v1", "active", secs(20)).await;
    model.autoscaling = json!({ "maxReplicas": 3 });
    up.rewrite(&File::of(model).text());
    eventually(secs(30), "three replicas are ready", async || match up.ready("growing-v1").await {
        3 => Ok(()),
        ready => Err(format!("{ready}")),
    })
    .await;
    let outcomes = load.end().await;
    let bad: Vec<_> = outcomes.iter().filter(|(_, outcome)| **outcome != Outcome::Good).take(5).collect();
    assert!(bad.is_empty(), "of {} requests these were not answered 200: {bad:?}", outcomes.len());
}

#[tokio::test]
async fn a_file_gone_bad_leaves_the_old_one_in_force_and_says_why() {
    let model = Model::predictor("careful", &[]);
    let up = Up::start(&File::of(model.clone())).await;
    assert_eq!(up.client("careful").get("/").await.status, 200);
    let mut bad = model;
    bad.autoscaling = json!({ "maxReplicas": -3 });
    up.rewrite(&File::of(bad).text());
    let fault = eventually(secs(20), "the fault is said", async || {
        let said = up.output();
        let fault = said.lines().find(|line| line.contains("models.yaml:") && line.contains("maxReplicas"));
        fault.map(str::to_owned).ok_or(said)
    })
    .await;
    assert!(fault.contains("-3"), "{fault}");
    assert_eq!(up.client("careful").get("/").await.status, 200);
    let settings = &up.revision("careful-v1").await["settings"];
    assert_ne!(settings["maxReplicas"]["value"], "-3", "{settings}");
}
