//! Who gets a request, in the file that the documentation has for an example.

use std::collections::BTreeMap;

use bytes::Bytes;
use wired::{Answer, Client, Up, eventually, secs};

const FILE: &str = include_str!("../../../examples/routing.yaml");

async fn ask(client: &Client, path: &str, header: (&str, &str)) -> Answer {
    client.ask(client.request(path).header(header.0, header.1), Bytes::new()).await.unwrap()
}

#[tokio::test]
async fn a_match_wakes_a_revision_that_nothing_else_leads_to() {
    let up = Up::start_text(FILE).await;
    let client = up.client("recommender");
    up.until_state("recommender-v3", "zero", secs(20)).await;
    let woken = ask(&client, "/", ("x-beta", "yes")).await;
    assert_eq!((woken.status.as_u16(), woken.header("rouse-revision")), (200, "recommender-v3"));
    assert!(woken.timing("wake").is_some_and(|wake| 300.0 <= wake), "it takes 300 ms to load: {woken:?}");
    // Whatever a model says to them: who it was is what counts.
    for (path, header, who) in [
        ("/v2/models/preview-7?a=b", ("x-beta", "no"), "recommender-v3"),
        ("/v2/models/preview-7", ("rouse-tag", "candidate"), "recommender-v2"),
        ("/v2/models/preview-7/infer", ("cookie", "recommender=a"), "recommender-v1"),
    ] {
        assert_eq!(ask(&client, path, header).await.header("rouse-revision"), who, "{path} {header:?}");
    }
}

#[tokio::test]
async fn who_is_given_a_cookie_stays_and_new_shares_in_the_file_move_no_more_than_they_must() {
    let up = Up::start_text(FILE).await;
    let client = up.client("recommender");
    // Nobody brings one: shares are exact.
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..100 {
        let answer = ask(&client, "/", ("cookie", "other=1")).await;
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        assert!(cookie.starts_with("recommender="), "{answer:?}");
        given.entry(answer.header("rouse-revision").to_owned()).or_default().push(cookie);
    }
    let shares: Vec<(&str, usize)> = given.iter().map(|(name, cookies)| (&**name, cookies.len())).collect();
    assert_eq!(shares, [("recommender-v1", 90), ("recommender-v2", 10)]);

    let stay = async |client: &Client, name: &str, cookies: &[String]| {
        let mut stayed = 0;
        for cookie in cookies {
            let answer = ask(client, "/", ("cookie", cookie)).await;
            assert_eq!(answer.header("set-cookie"), "", "it has one");
            stayed += usize::from(answer.header("rouse-revision") == name);
        }
        stayed
    };
    assert_eq!(stay(&client, "recommender-v1", &given["recommender-v1"]).await, 90);
    assert_eq!(stay(&client, "recommender-v2", &given["recommender-v2"]).await, 10);

    up.rewrite(&FILE.replace("percent: 90", "percent: 50").replace("percent: 10", "percent: 50"));
    eventually(secs(20), "half of the first hundred turns are the second's", async || {
        let mut of_second = 0;
        for _ in 0..100 {
            of_second += usize::from(client.get("/").await.header("rouse-revision") == "recommender-v2");
        }
        if of_second == 50 { Ok(()) } else { Err(of_second.to_string()) }
    })
    .await;
    assert_eq!(stay(&client, "recommender-v2", &given["recommender-v2"]).await, 10, "who gains gives nobody away");
    let stayed = stay(&client, "recommender-v1", &given["recommender-v1"]).await;
    // 50 of 90 on average; the standard deviation is 5.
    assert!((25..=75).contains(&stayed), "{stayed}");
}
