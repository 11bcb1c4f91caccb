//! What one looks at in a browser: the live page, and a report.

use serde_json::json;
use wired::{Browser, File, Model, Up, eventually, secs};

/// How long the first request may take to be seen as a replica.
const SEEN_WITHIN: std::time::Duration = secs(2);

#[tokio::test]
async fn the_live_page_shows_a_replica_within_two_seconds_of_the_first_request() {
    let Some(mut browser) = Browser::start(1280, 900).await else { return };
    let up = Up::start(&File::of(Model::predictor("seen", &[]))).await;
    let page = up.admin_url();
    browser.open(&page).await;
    let shown =
        async |browser: &mut Browser| browser.eval("document.getElementById('replicas')?.innerText ?? ''").await;
    eventually(secs(30), "the page says that nothing runs", async || {
        let text = shown(&mut browser).await;
        if text.as_str().is_some_and(|text| text.contains("None runs")) { Ok(()) } else { Err(text.to_string()) }
    })
    .await;

    assert_eq!(up.client("seen").get("/").await.status, 200);
    eventually(SEEN_WITHIN, "the page shows the replica", async || {
        let text = shown(&mut browser).await;
        if text.as_str().is_some_and(|text| text.contains("seen-v1-1")) { Ok(()) } else { Err(text.to_string()) }
    })
    .await;
    eventually(secs(20), "the curves and the reason are there", async || {
        let asked = "[document.querySelectorAll('#plots canvas').length, document.querySelectorAll('.track button').length > 0, document.getElementById('said').textContent]";
        let seen = browser.eval(asked).await;
        let is_told = seen[2].as_str().is_some_and(|said| said.contains(": "));
        if seen[0] == 4 && seen[1] == true && is_told { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;

    let seen = browser.seen().await;
    assert!(seen.complaints.is_empty(), "{:#?}", seen.complaints);
    let strangers: Vec<_> =
        seen.requests.iter().filter(|url| !url.starts_with(&page) && !url.starts_with("data:")).collect();
    assert!(strangers.is_empty(), "asked of somebody else: {strangers:#?}");
    assert!(seen.requests.iter().any(|url| url.ends_with("/series")), "{:#?}", seen.requests);
}

#[tokio::test]
async fn the_page_says_when_nobody_answers_and_goes_on_when_somebody_does() {
    let Some(mut browser) = Browser::start(390, 844).await else { return };
    let up = Up::start(&File::of(Model::predictor("away", &[]))).await;
    browser.open(&up.admin_url()).await;
    let banner = "document.getElementById('banner')?.hidden === false && document.getElementById('banner').textContent";
    eventually(secs(30), "the page is drawn", async || {
        let drawn = browser.eval("document.getElementById('said')?.textContent.includes(':') ?? false").await;
        if drawn == true { Ok(()) } else { Err(drawn.to_string()) }
    })
    .await;
    // As narrow as a telephone nothing is wider than the page.
    let wide = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "wider than the window");
    let says_so = async |browser: &mut Browser| {
        eventually(secs(20), "the page says so", async || {
            let said = browser.eval(banner).await;
            if said.as_str().is_some_and(|said| said.contains("No answer from")) {
                Ok(())
            } else {
                Err(said.to_string())
            }
        })
        .await;
    };
    // For a while; then for good.
    browser.eval("window.kept = window.fetch; window.fetch = async () => { throw new Error('cut') }; 0").await;
    says_so(&mut browser).await;
    browser.eval("window.fetch = window.kept; 0").await;
    eventually(secs(20), "the page goes on", async || {
        let said = browser.eval(banner).await;
        if said == false { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
    drop(up);
    says_so(&mut browser).await;
}

/// Not the demonstration itself, which takes its time: the same drawings over a few figures, with markup in their names.
#[tokio::test]
async fn a_report_is_drawn_from_its_file_alone_and_its_marks_tell_why() {
    let Some(mut browser) = Browser::start(1280, 900).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let evil = "</script><img src=x onerror=alert(1)>";
    let line = page::Line {
        label: evil.to_owned(),
        kind: page::Kind::Steparea,
        tone: page::Tone::Ready,
        values: vec![Some(0.0), Some(1.0), None, Some(3.0)],
    };
    let report = page::Report {
        title: "Figures".to_owned(),
        seconds: vec![0.0, 1.0, 2.0, 3.0],
        plots: vec![page::Plot { title: evil.to_owned(), unit: String::new(), lines: vec![line] }],
        marks: vec![page::Mark {
            at: 1.5,
            label: "waking, wants 1".to_owned(),
            text: "Requests are held.".to_owned(),
            tone: page::Tone::Slow,
        }],
        ..page::Report::default()
    };
    std::fs::write(&file, page::report(&report)).unwrap();
    browser.open(&format!("file://{}", file.display())).await;
    eventually(secs(30), "the plot is drawn", async || {
        let drawn = browser
            .eval("document.querySelectorAll('canvas').length + document.querySelectorAll('.track button').length")
            .await;
        if drawn == 2 { Ok(()) } else { Err(drawn.to_string()) }
    })
    .await;
    let place = browser.eval("(() => { const r = document.querySelector('.track button').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()").await;
    browser.point_at(place[0].as_f64().unwrap(), place[1].as_f64().unwrap()).await;
    let told =
        browser.eval("document.querySelector('.tip').hidden ? '' : document.querySelector('.tip').textContent").await;
    assert!(told.as_str().is_some_and(|told| told.contains("Requests are held.")), "{told}");
    let images = browser.eval("document.querySelectorAll('img').length").await;
    let seen = browser.seen().await;
    assert_eq!(images, json!(0), "a name became markup");
    assert!(seen.complaints.is_empty(), "{:#?}", seen.complaints);
    let elsewhere: Vec<_> =
        seen.requests.iter().filter(|url| !url.starts_with("file://") && !url.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}
