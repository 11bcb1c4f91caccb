//! A new version beside the old one: woken by its share, scaled by its own demand, its share moved while load runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wired::{Outcome, Paced, Span, Up, eventually, nothing_is_lost_or_begun_twice, secs};

/// Held by whoever sends load: side by side two would be a load that nobody meant.
static LOAD: Mutex<()> = Mutex::const_new(());

/// The candidate.
const V2: &str = "model-v2";

/// An endpoint `model` with `model-v1` and `model-v2`, which has this share and runs this.
#[derive(Clone)]
struct Pair {
    spec: Value,
    of_v1: Vec<String>,
    of_v2: Vec<String>,
}

impl Pair {
    fn new(of_v1: &[&str], of_v2: &[&str]) -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self { spec: json!({}), of_v1: words(of_v1), of_v2: words(of_v2) }
    }

    /// Two predictors that write down what they begin, in files of this folder.
    fn logged(folder: &Path, of_v1: &[&str], of_v2: &[&str]) -> Self {
        let command = |name: &str, flags: &[&str]| {
            let log = folder.join(name).to_str().unwrap().to_owned();
            ["rouse", "predictor", "--log", &log].iter().chain(flags).map(|word| (*word).to_owned()).collect()
        };
        Self { spec: json!({}), of_v1: command("model-v1", of_v1), of_v2: command(V2, of_v2) }
    }

    fn text(&self, share_of_v2: u8) -> String {
        let mut spec = self.spec.clone();
        spec["traffic"] = json!([
            { "revision": "model-v1", "percent": 100 - share_of_v2 },
            { "revision": V2, "percent": share_of_v2, "tag": "candidate" },
        ]);
        let endpoint = json!({
            "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "name": "model" }, "spec": spec,
        });
        let deployment = |name: &str, command: &[String]| {
            let container = json!({
                "name": "model", "command": command, "ports": [{ "name": "http1", "containerPort": 8080 }],
            });
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
                "spec": { "template": { "spec": { "containers": [container] } } },
            })
        };
        let config = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config-autoscaler" },
            "data": { "stable-window": "6s", "scale-to-zero-grace-period": "1s" },
        });
        let documents = [endpoint, deployment("model-v1", &self.of_v1), deployment(V2, &self.of_v2), config];
        documents.iter().map(|document| format!("---\n{document:#}\n")).collect()
    }
}

/// Writes another share of the candidate, and returns once every activator routes by it.
async fn put_in_force(up: &Up, pair: &Pair, share_of_v2: u8) {
    up.rewrite(&pair.text(share_of_v2));
    eventually(secs(20), &format!("{share_of_v2} % are in force"), async || {
        let endpoints = up.json("/api/v1/endpoints").await;
        let shares = &endpoints["endpoints"][0]["traffic"];
        if shares[1]["percent"] == share_of_v2 { Ok(()) } else { Err(shares.to_string()) }
    })
    .await;
}

fn span(percent: u8, from: Instant) -> Span<'static> {
    Span { revision: V2, percent, activators: 1, from, to: Instant::now() }
}

/// What each revision wrote down in this folder.
fn begun(folder: &Path) -> [(&'static str, String); 2] {
    ["model-v1", V2].map(|name| (name, std::fs::read_to_string(folder.join(name)).unwrap()))
}

#[tokio::test]
async fn a_canary_at_5_percent_wakes_from_zero_under_200_requests_a_second_and_nothing_is_lost() {
    let _alone = LOAD.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let work = ["--service-time", "50ms"];
    let mut pair = Pair::logged(folder.path(), &work, &[&work[..], &["--startup", "2s"]].concat());
    // A target of 2.8 each. v1 has 190 a second for 50 ms: 9.5 at once, so 4 replicas; v2 has 10 a second: one.
    pair.spec = json!({ "containerConcurrency": 4, "autoscaling": { "maxReplicas": 8 } });
    let up = Up::start_text(&pair.text(0)).await;
    let load = Paced::start(&up.client("model"), 200);
    let replicas = async |what: &str, is_it: &dyn Fn(u64, u64) -> bool| {
        eventually(secs(60), what, async || match (up.ready("model-v1").await, up.ready(V2).await) {
            (v1, v2) if is_it(v1, v2) => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    };
    replicas("v1 has enough for all of it, and v2 none", &|v1, v2| 3 <= v1 && v2 == 0).await;

    put_in_force(&up, &pair, 5).await;
    let from = Instant::now();
    replicas("v2 is awake", &|_, v2| 1 <= v2).await;
    // What came while it woke was a burst; after that each has what its own requests need.
    replicas("v1 has four or so, and v2 one", &|v1, v2| (3..=6).contains(&v1) && v2 == 1).await;
    let demand = async |name: &str| up.revision(name).await["demand"]["stable"].as_f64().unwrap_or(0.0);
    let (of_v1, of_v2) = (demand("model-v1").await, demand(V2).await);
    assert!(of_v2 < of_v1 / 4.0, "the demand of each is its own: {of_v1} and {of_v2}");
    let span = span(5, from);

    let all = load.end().await;
    nothing_is_lost_or_begun_twice(&all, &begun(folder.path())).unwrap();
    assert!(500 <= span.is_exact(&all).unwrap(), "enough to say something");
    let longest = |name: &str| {
        let of_it = all.iter().filter(|asked| span.from <= asked.sent && asked.revision == name);
        of_it.map(|asked| asked.ended - asked.sent).max().unwrap()
    };
    assert!(secs(1) <= longest(V2), "who woke it waited for its start: {:?}", longest(V2));
    assert!(longest("model-v1") < longest(V2), "{:?}: nobody else did", longest("model-v1"));
}

#[tokio::test]
async fn shares_moved_every_second_for_a_minute_are_exact_and_nothing_is_lost_or_begun_twice() {
    /// Up, down, and all of it at once.
    const SHARES: [u8; 12] = [5, 20, 50, 80, 100, 99, 50, 100, 0, 1, 10, 0];
    let _alone = LOAD.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::logged(folder.path(), &[], &[]);
    let up = Up::start_text(&pair.text(0)).await;
    let load = Paced::start(&up.client("model"), 100);
    let mut seconds = tokio::time::interval(secs(1));
    let mut spans = Vec::new();
    seconds.tick().await;
    for share_of_v2 in SHARES.iter().copied().cycle().take(60) {
        put_in_force(&up, &pair, share_of_v2).await;
        let from = Instant::now();
        seconds.tick().await;
        spans.push(span(share_of_v2, from));
    }
    let all = load.end().await;
    nothing_is_lost_or_begun_twice(&all, &begun(folder.path())).unwrap();
    let looked_at: usize = spans.iter().map(|span| span.is_exact(&all).unwrap()).sum();
    assert!(all.len() / 2 < looked_at, "most are known to be of one share: {looked_at} of {}", all.len());
}

#[tokio::test]
async fn a_candidate_that_does_not_start_costs_nobody_an_answer_where_others_may_take_its_place() {
    let _alone = LOAD.lock().await;
    let broken = ["sh", "-c", "echo 'no such model: /models/v2' >&2; exit 3"];
    let mut pair = Pair::new(&["rouse", "predictor"], &broken);
    pair.spec = json!({ "onUnavailable": "fallback", "autoscaling": { "maxReplicas": 1 } });
    let up = Up::start_text(&pair.text(10)).await;
    let load = Paced::start(&up.client("model"), 50);
    let failed = up.until_state(V2, "failed", secs(60)).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("no such model")), "{failed}");
    let all = load.end().await;
    let mut ends: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for asked in &all {
        *ends.entry((&asked.revision, asked.outcome == Outcome::Good)).or_default() += 1;
    }
    assert_eq!(ends, BTreeMap::from([(("model-v1", true), all.len())]));

    // Who asks for it by name is told why.
    let client = up.client("model");
    let tagged = client.ask(client.request("/").header("rouse-tag", "candidate"), "").await.unwrap();
    assert_eq!((tagged.status.as_u16(), tagged.header("rouse-reason")), (503, "start-failed"), "{}", tagged.text());
    let metrics = up.admin("/metrics").await.text();
    let counted = metrics.lines().find(|line| line.starts_with("rouse_fallbacks_total") && line.contains(V2));
    let counted: f64 = counted.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0);
    assert!(1.0 <= counted, "{metrics}");

    // What it left to others it does not get back while it cannot start, and is given once it can.
    pair.of_v2 = vec!["rouse".into(), "predictor".into()];
    up.rewrite(&pair.text(10));
    eventually(secs(40), "its tenth is its own again", async || {
        let mut of_v2 = 0;
        for _ in 0..100 {
            of_v2 += usize::from(client.get("/").await.header("rouse-revision") == V2);
        }
        if of_v2 == 10 { Ok(()) } else { Err(of_v2.to_string()) }
    })
    .await;
}
