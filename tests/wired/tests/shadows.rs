//! Shadows for people: what the live page shows of them, with the file that the demonstration serves.

use std::process::Command;

use bytes::Bytes;
use wired::{Browser, Client, Up, eventually, rouse, secs};

const FILE: &str = include_str!("../../../rouse/src/demo/shadow/model.yaml");

fn rouse_says(up: &Up, what: &[&str]) -> String {
    let said = Command::new(rouse()).args(what).args(["--admin", &up.admin_url()]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// Asks for scores of rows that differ, one after the other.
async fn ask(client: &Client, times: u32) {
    for number in 1..=times {
        let [one, two, three] = [7, 11, 13].map(|step| f64::from(number * step % 17) / 17.0);
        let body = format!(r#"{{"instances": [[{one}, {two}, {three}]]}}"#);
        let answer =
            client.ask(client.request("/v1/models/any:predict").method("POST"), Bytes::from(body)).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

/// What each of the two gets once it is awake is compared.
async fn compared(up: &Up, times: u32) {
    ask(&up.client("demo"), 1).await;
    for revision in ["demo-v2", "demo-v3"] {
        up.until_state(revision, "active", secs(30)).await;
    }
    ask(&up.client("demo"), times).await;
    eventually(secs(20), "all copies have ended", async || {
        let list = up.json("/api/v1/shadows").await;
        let shadows = list["shadows"].as_array().unwrap();
        let ended = |shadow: &serde_json::Value| {
            let ended: u64 = shadow["copies"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
            ended == u64::from(times) + 1
        };
        if shadows.len() == 2 && shadows.iter().all(ended) { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn the_live_page_shows_what_became_of_copies_and_where_answers_differ() {
    let Some(mut browser) = Browser::start(390, 844).await else { return };
    let up = Up::start_text(FILE).await;
    compared(&up, 60).await;
    browser.open(&up.admin_url()).await;
    let shown = "document.getElementById('shadows')?.innerText ?? ''";
    eventually(secs(30), "the page shows both", async || {
        let text = browser.eval(shown).await;
        let told = text.as_str().is_some_and(|text| {
            let both = text.contains("demo-v2") && text.contains("demo-v3") && text.contains("of 61 answers");
            both && text.contains("1 error") && text.contains("/predictions/0/")
        });
        if told { Ok(()) } else { Err(text.to_string()) }
    })
    .await;
    // Of one all are alike, and there is nothing to be listed; of the other the newest stand first.
    let asked = "[...document.querySelectorAll('.shadow')].map((one) => [one.querySelectorAll('tbody tr').length, one.querySelectorAll('dd')[1].firstChild.textContent])";
    let seen = browser.eval(asked).await;
    assert_eq!(seen[0], serde_json::json!([0, "100 %"]));
    assert_eq!(seen[1][0], 10);
    let requests = "[...document.querySelectorAll('.shadow tbody tr')].map((row) => row.cells[1].textContent)";
    let requests: Vec<String> = serde_json::from_value(browser.eval(requests).await).unwrap();
    let list = up.json("/api/v1/shadows").await;
    let kept = list["shadows"][1]["compared"]["disagreements"].as_array().unwrap();
    let newest: Vec<&str> = kept.iter().rev().take(10).filter_map(|one| one["requestId"].as_str()).collect();
    assert_eq!(requests, newest);
    let wide = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "wider than the window");
    let seen = browser.seen().await;
    assert!(seen.complaints.is_empty(), "{:#?}", seen.complaints);
}

#[tokio::test]
async fn a_table_tells_them_apart_and_json_has_all_of_one() {
    let up = Up::start_text(FILE).await;
    compared(&up, 60).await;
    let table = rouse_says(&up, &["get", "shadows"]);
    let cells: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(cells[0][..4], ["NAME", "ENDPOINT", "PERCENT", "COPIES"], "{table}");
    assert_eq!(cells[1], ["demo-v2", "demo", "100%", "61", "61", "61", "100 %", "100 %"], "{table}");
    assert_eq!(cells[2][..6], ["demo-v3", "demo", "100%", "61", "60", "61"], "{table}");
    let one: serde_json::Value =
        serde_json::from_str(&rouse_says(&up, &["get", "shadows", "demo-v3", "-o", "json"])).unwrap();
    assert_eq!((&one["name"], &one["copies"]["error"]), (&"demo-v3".into(), &1.into()));
    let why = rouse_says(&up, &["why", "demo-v3"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["a shadow of demo: it gets copies of all requests", "copies: 60 answered, 1 error", "of 61 are as those"]
    {
        assert!(why.contains(words), "{words} is not in {why}");
    }
    assert!(!rouse_says(&up, &["why", "demo-v1"]).contains("a shadow"));
    assert!(one["compared"]["disagreements"].as_array().is_some_and(|all| 10 < all.len()), "{one}");
}

#[tokio::test]
async fn an_admin_port_that_knows_of_no_shadows_is_asked_once() {
    let Some(mut browser) = Browser::start(1280, 900).await else { return };
    let up = Up::start_text(FILE).await;
    browser.open(&up.admin_url()).await;
    eventually(secs(30), "both are there", async || {
        let shown = browser.eval("document.querySelectorAll('.shadow').length").await;
        if shown == 2 { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    let elsewhere = "window.asked = 0; window.kept = window.fetch; window.fetch = async (path, how) => {
        if (path !== '/api/v1/shadows') return window.kept(path, how);
        window.asked += 1;
        return new Response('', { status: 404 });
    }; window.points = () => document.querySelectorAll('.shadow').length; 0";
    browser.eval(elsewhere).await;
    eventually(secs(20), "none is shown", async || {
        let seen = browser.eval("[window.points(), window.asked, document.getElementById('banner').hidden]").await;
        if seen == serde_json::json!([0, 1, true]) { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    // Two looks later still once.
    browser.eval("window.looks = 0; window.before = window.fetch; window.fetch = async (path, how) => { window.looks += path === '/api/v1/endpoints' ? 1 : 0; return window.before(path, how); }; 0").await;
    eventually(secs(20), "it has looked twice more", async || {
        let looks = browser.eval("window.looks").await;
        if looks.as_u64().is_some_and(|looks| 2 < looks) { Ok(()) } else { Err(looks.to_string()) }
    })
    .await;
    assert_eq!(browser.eval("window.asked").await, 1);
}
