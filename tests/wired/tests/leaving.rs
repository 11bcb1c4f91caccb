//! Ctrl-C, once and twice.

use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use wired::{Answer, Client, File, Model, Up, eventually, secs};

/// So many requests at once.
fn ask(client: &Client, times: usize) -> JoinSet<Result<Answer, String>> {
    let mut requests = JoinSet::new();
    for number in 0..times {
        let client = client.clone();
        requests.spawn(async move {
            let request = client.request("/").header("x-request-id", format!("n{number}"));
            client.ask(request, "").await
        });
    }
    requests
}

async fn until_begun(log: &std::path::Path, number: usize) {
    eventually(secs(30), &format!("{number} requests are begun"), async || {
        let begun = std::fs::read_to_string(log).unwrap_or_default().lines().count();
        if begun == number { Ok(()) } else { Err(format!("{begun}")) }
    })
    .await;
}

#[tokio::test]
async fn the_first_ctrl_c_lets_what_is_in_flight_be_answered() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("begun");
    let mut up = Up::start(&File::of(Model::logged_predictor("calm", &log, &["--service-time", "2s"]))).await;
    let mut requests = ask(&up.client("calm"), 5);
    until_begun(&log, 5).await;
    up.signal(Signal::SIGINT);
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
    assert_eq!(up.until_ended(secs(20)).await.code(), Some(0));
    up.until_nothing_is_left(secs(10)).await;
}

#[tokio::test]
async fn what_is_held_at_ctrl_c_still_gets_its_replica() {
    let mut up = Up::start(&File::of(Model::predictor("late", &["--startup", "2s"]))).await;
    let mut requests = ask(&up.client("late"), 3);
    eventually(secs(20), "all three are held", async || {
        let wakes = up.json("/api/v1/revisions/default/late-v1/wakes").await;
        if wakes["wakes"][0]["heldRequests"] == 3 { Ok(()) } else { Err(wakes.to_string()) }
    })
    .await;
    up.signal(Signal::SIGINT);
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
    assert_eq!(up.until_ended(secs(20)).await.code(), Some(0));
    up.until_nothing_is_left(secs(10)).await;
}

#[tokio::test]
async fn the_second_ctrl_c_ends_at_once_and_leaves_nothing() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("begun");
    let mut up = Up::start(&File::of(Model::logged_predictor("stubborn", &log, &["--service-time", "80s"]))).await;
    let _requests = ask(&up.client("stubborn"), 1);
    until_begun(&log, 1).await;
    up.signal(Signal::SIGINT);
    eventually(secs(10), "it says that it stops", async || {
        let said = up.output();
        if said.contains("a second signal stops at once") { Ok(()) } else { Err(said) }
    })
    .await;
    up.signal(Signal::SIGINT);
    assert_eq!(up.until_ended(secs(20)).await.code(), Some(130));
    up.until_nothing_is_left(secs(10)).await;
}
