//! Two revisions side by side, in the file that the documentation has for an example.

use std::process::Command;

use bytes::Bytes;
use serde_json::Value;
use wired::{Browser, Client, Up, eventually, rouse, secs};

const FILE: &str = include_str!("../../../examples/ab.yaml");

/// The second is as the first, and each takes its time.
fn alike() -> String {
    FILE.replace("5ms, --fail, 10%", "2ms").replace("\"0.85\"", "\"0.93\"")
}

async fn ask(client: &Client, times: usize) {
    for _ in 0..times {
        let answer = client.get("/").await;
        assert_eq!(answer.header("rouse-outcome"), "", "it is for Rouse: {answer:?}");
    }
}

fn why(up: &Up, about: &str) -> String {
    let said = Command::new(rouse()).args(["why", about, "--admin", &up.admin_url()]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // However its lines are broken.
    String::from_utf8(said.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Once so many were counted of each.
async fn counted(up: &Up, requests: [u64; 2]) -> Value {
    eventually(secs(20), "all are counted", async || {
        let outcomes = up.json("/api/v1/endpoints").await["endpoints"][0]["outcomes"].take();
        let counted = [0, 1].map(|number| outcomes["revisions"][number]["requests"].as_u64().unwrap_or_default());
        if counted == requests { Ok(outcomes) } else { Err(outcomes.to_string()) }
    })
    .await
}

#[tokio::test]
async fn a_candidate_that_is_worse_is_said_to_be_with_numbers() {
    let up = Up::start_text(FILE).await;
    ask(&up.client("ranker"), 500).await;
    let outcomes = counted(&up, [400, 100]).await;
    assert_eq!(outcomes["revisions"][1]["failed"], 10);
    let said = why(&up, "ranker");
    assert!(said.contains("failures: fails more: 10 % of 100 failed against 0 % of 400"), "{said}");
    assert!(said.contains("rouse-outcome: worse: on average 0.8"), "{said}");
    assert!(said.contains("ranker-v2 is compared with it"), "{said}");
    // What the machine adds to 5 ms is no business of this test.
    let took = outcomes["revisions"][1]["firstByte"]["meanSeconds"].as_f64();
    assert!(took.is_some_and(|took| 0.005 <= took), "{outcomes}");
}

#[tokio::test]
async fn between_two_that_are_alike_no_difference_is_seen() {
    let up = Up::start_text(&alike()).await;
    ask(&up.client("ranker"), 200).await;
    counted(&up, [160, 40]).await;
    assert!(why(&up, "ranker-v2").contains("failures: too few to tell: 40 against 160"));
    ask(&up.client("ranker"), 400).await;
    counted(&up, [480, 120]).await;
    let said = why(&up, "ranker-v2");
    assert!(said.contains("failures: no difference can be seen yet: 0 % of 120 failed against 0 % of 480"), "{said}");
    assert!(said.contains("rouse-outcome: no difference can be seen yet"), "{said}");
}

#[tokio::test]
async fn only_what_came_by_chance_counts_and_other_shares_begin_anew() {
    let tagged = alike().replace("percent: 20\n", "percent: 20\n      tag: new\n");
    let up = Up::start_text(&tagged).await;
    let client = up.client("ranker");
    ask(&client, 100).await;
    for _ in 0..20 {
        let asks = client.request("/").header("rouse-tag", "new");
        assert_eq!(client.ask(asks, Bytes::new()).await.unwrap().header("rouse-revision"), "ranker-v2");
    }
    ask(&client, 100).await;
    counted(&up, [160, 40]).await;

    up.rewrite(&tagged.replace("percent: 80", "percent: 50").replace("percent: 20", "percent: 50"));
    counted(&up, [0, 0]).await;
    ask(&client, 100).await;
    counted(&up, [50, 50]).await;
}

#[tokio::test]
async fn the_live_page_shows_them_side_by_side_also_on_a_telephone() {
    let Some(mut browser) = Browser::start(390, 844).await else { return };
    let up = Up::start_text(FILE).await;
    ask(&up.client("ranker"), 500).await;
    browser.open(&up.admin_url()).await;
    let shown = "document.getElementById('beside')?.innerText ?? ''";
    eventually(secs(30), "the page says that it fails more", async || {
        let text = browser.eval(shown).await;
        let said = text.as_str().is_some_and(|text| {
            text.contains("ranker-v2 against ranker-v1") && text.contains("fails more: 10 % of 100 failed")
        });
        if said { Ok(()) } else { Err(text.to_string()) }
    })
    .await;
    // Its range is to the right of none.
    let failures = "[...document.querySelectorAll('.beside tr.worse .may')].map((line) => 60 < Number(line.getAttribute('x1')))[0]";
    assert_eq!(browser.eval(failures).await, true);
    let wide = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "wider than the window");
    let seen = browser.seen().await;
    assert!(seen.complaints.is_empty(), "{:#?}", seen.complaints);
}
