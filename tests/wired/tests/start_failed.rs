//! A model that does not start.

use std::net::TcpListener;

use serde_json::json;
use wired::{Answer, File, Model, Up, eventually, secs};

fn assert_start_failed(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "start-failed"), "{}", answer.text());
    let after: u64 = answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no retry-after: {answer:?}"));
    assert!((1..=360).contains(&after), "between 10 s and 5 min, ± 20 %: {after}");
}

#[tokio::test]
async fn who_waits_for_a_command_that_ends_at_once_is_told_its_last_words() {
    let mut model = Model::command("broken", ["sh", "-c", "echo 'no such model: /models/iris' >&2; exit 3"]);
    model.autoscaling = json!({ "maxReplicas": 1 });
    let up = Up::start(&File::of(model)).await;
    let client = up.client("broken");

    let held = client.get("/").await;
    assert_start_failed(&held);
    for words in ["exited with status 3", "no such model: /models/iris"] {
        assert!(held.text().contains(words), "{words} in {}", held.text());
    }
    let revision = up.until_state("broken-v1", "failed", secs(20)).await;
    assert!(revision["reason"].as_str().is_some_and(|reason| reason.contains("no such model")), "{revision}");

    // Who comes next is told at once, and is no reason to try again at once.
    let tries = up.output().matches("no such model").count();
    assert_start_failed(&client.get("/").await);
    assert_eq!(up.output().matches("no such model").count(), tries);
}

#[tokio::test]
async fn a_server_that_ignores_its_port_is_told_where_it_listens_and_where_it_should() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut model = Model::predictor("deaf", &["--port", &elsewhere.to_string()]);
    model.progress_deadline = json!(8);
    model.autoscaling = json!({ "maxReplicas": 1 });
    let up = Up::start(&File::of(model)).await;
    let held = up.client("deaf").get("/").await;
    assert_start_failed(&held);
    let hint = format!("listens on {elsewhere}, not on ");
    assert!(held.text().contains(&hint), "{hint} in {}", held.text());
    eventually(secs(20), "it is said in the log too", async || {
        let said = up.output();
        if said.contains(&hint) { Ok(()) } else { Err(said) }
    })
    .await;
}
