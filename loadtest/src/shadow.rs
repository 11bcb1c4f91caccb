//! Whether a shadow that does everything wrong is seen by clients: latency with and without it, side by side.
//!
//! One `rouse up` with two endpoints whose models are alike, `plain` and `shadowed`; only the second has a shadow. In each round
//! both are asked at the same moments, in ten short turns that alternate, and who begins changes. So what slows the machine
//! slows both. The
//! model works 10 ms on a request and on eight at once: what it answers at most is measured first, and 30 % of that is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::arrivals::Arrivals;
use crate::memory::Memory;
use crate::scenario::{Phase, Request};
use crate::shape::{Piece, Shape};
use crate::times::Times;
use crate::up::Up;
use crate::{Live, Options, Scenario, Target, http1};

/// At most so many times as long may 99 of 100 clients wait with a shadow.
pub const BUDGET: f64 = 1.05;
/// Of what the model can answer.
const PART_OF_CAPACITY: f64 = 0.3;
/// How many ask for capacity, each again as soon as it is answered.
const ASKING: usize = 16;
const CAPACITY_OVER: Duration = Duration::from_secs(3);
/// Between looks whether all is counted.
const SETTLE: Duration = Duration::from_millis(300);
/// Of each round, for each of both.
const TURNS: u32 = 10;

/// How long the last copies may take to come to their end.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// What a shadow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers as the model in use.
    Good,
    /// Never answers.
    Hangs,
    /// Dies on every hundredth request.
    Crashes,
    /// Answers 500.
    Fails,
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Answers with a gibibyte.
    Floods,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 6] = [Self::Good, Self::Hangs, Self::Crashes, Self::Fails, Self::Garbage, Self::Floods];

    fn words(self) -> &'static str {
        match self {
            Self::Good => "answers as it should",
            Self::Hangs => "hangs",
            Self::Crashes => "crashes",
            Self::Fails => "answers 500",
            Self::Garbage => "answers garbage",
            Self::Floods => "answers 1 GiB",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Good => &["--service-time", "10ms"],
            Self::Hangs => &["--hang"],
            Self::Crashes => &["--service-time", "10ms", "--crash-after", "100"],
            Self::Fails => &["--fail", "100%"],
            Self::Garbage => &["--garbage"],
            Self::Floods => &["--flood", "1Gi"],
        }
    }
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often both are asked.
    pub rounds: u32,
    /// How long each of both is asked in a round.
    pub lasts: Duration,
}

/// What came of one kind of shadow.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it did.
    pub kind: Kind,
    /// Requests a second, to each.
    pub rate: f64,
    /// Clients' p99 with the shadow over that without, a round each.
    pub ratios: Vec<f64>,
    /// Clients' requests to the endpoint with the shadow.
    pub requests: u64,
    /// Of those, answered 200.
    pub answered: u64,
    /// Copies, by how they ended.
    pub copies: BTreeMap<String, u64>,
    /// Copies that have not ended.
    pub under_way: u64,
    /// The program's own memory before, and the most of it that was seen meanwhile, in bytes.
    pub memory: [u64; 2],
}

impl Row {
    /// The median of the ratios.
    pub fn ratio(&self) -> f64 {
        let mut sorted = self.ratios.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Copies that were counted somewhere.
    pub fn counted(&self) -> u64 {
        self.copies.values().sum::<u64>() + self.under_way
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copies = self.copies.iter().filter(|(_, count)| **count != 0);
        let copies: Vec<String> = copies.map(|(how, count)| format!("{count} {how}")).collect();
        let rounds: Vec<String> = self.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let [before, most] = self.memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
        write!(
            f,
            "{:<20} p99 × {:.3} (rounds {}), {} of {} answered 200 at {:.0}/s; copies: {}, {} under way; {:.1} MiB before, \
             {:.1} MiB at most",
            self.kind.words(),
            self.ratio(),
            rounds.join(" "),
            self.answered,
            self.requests,
            self.rate,
            copies.join(", "),
            self.under_way,
            before,
            most,
        )
    }
}

/// Measures one kind.
///
/// # Errors
/// If a program does not come up, or cannot be asked.
pub async fn measure(rouse: &Path, kind: Kind, plan: Plan) -> anyhow::Result<Row> {
    let folder = TempDir::new()?;
    let file = folder.path().join("models.yaml");
    std::fs::write(&file, models(rouse, kind)?)?;
    let up = Up::start(rouse, &folder, &file, &[]).await?;
    let pid = up.pid().context("rouse up has ended")?;
    let target = |name: &str| Target { address: up.listen(), host: format!("{name}.localhost"), prefix: String::new() };
    let (plain, shadowed) = (target("plain"), target("shadowed"));
    for host in [&plain.host, &shadowed.host] {
        let answer = http1::get(up.listen(), host, "/").await?;
        ensure!(answer.status() == 200, "{host}: {}", answer.status());
    }
    let rate = PART_OF_CAPACITY * capacity(&plain).await?;

    let before = Memory::of(pid)?.own;
    let mut row = Row {
        kind,
        rate,
        ratios: Vec::new(),
        // The one above.
        requests: 1,
        answered: 1,
        copies: BTreeMap::new(),
        under_way: 0,
        memory: [before, before],
    };
    for round in 0..plan.rounds {
        let mut times = [Times::new(), Times::new()];
        for turn in 0..2 * TURNS {
            // Both in turn; who begins changes.
            let which = ((turn + round) % 2) as usize;
            let target = [&plain, &shadowed][which];
            let live = Live::default();
            // The same moments for both.
            let scenario = steady(rate, plan.lasts / TURNS, u64::from(round * TURNS + turn / 2));
            let options = Options::usual(format!("{}-{round}-{turn}", target.host));
            let asking = crate::run(&scenario, target, &options, &live);
            tokio::pin!(asking);
            let results = loop {
                tokio::select! {
                    results = &mut asking => break results?,
                    () = sleep(Duration::from_millis(100)) => row.memory[1] = row.memory[1].max(Memory::of(pid)?.own),
                }
            };
            times[which].add(&live.times());
            if which == 1 {
                row.requests += results.counts.due;
                row.answered += results.counts.by_status.get("200").copied().unwrap_or_default();
            }
        }
        let [without, with] = times.map(|times| times.quantile(0.99).as_secs_f64());
        row.ratios.push(with / without);
    }
    let look = async {
        loop {
            let list = http1::get(up.admin(), "localhost", "/api/v1/shadows").await?;
            let list: api::admin::ShadowList = serde_json::from_slice(list.body())?;
            let shadow = list.shadows.into_iter().next().context("there is no shadow")?;
            (row.copies, row.under_way) = (shadow.copies, shadow.under_way);
            if row.counted() == row.requests && (row.under_way == 0 || kind == Kind::Hangs) {
                return anyhow::Ok(());
            }
            sleep(SETTLE).await;
        }
    };
    // What is not there by then is told as it is.
    tokio::time::timeout(COUNTED_WITHIN, look).await.unwrap_or(Ok(()))?;
    Ok(row)
}

/// Requests a second that the model answers at most.
async fn capacity(target: &Target) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut asking: JoinSet<anyhow::Result<u64>> = JoinSet::new();
    for _ in 0..ASKING {
        let target = target.clone();
        asking.spawn(async move {
            let mut answered = 0;
            while begin.elapsed() < CAPACITY_OVER {
                ensure!(http1::get(target.address, &target.host, "/").await?.status() == 200, "not answered");
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(one) = asking.join_next().await {
        answered += one??;
    }
    Ok(answered as f64 / begin.elapsed().as_secs_f64())
}

fn steady(rate: f64, lasts: Duration, seed: u64) -> Scenario {
    Scenario {
        name: "shadow".to_owned(),
        about: "a steady load".to_owned(),
        arrivals: Arrivals::Poisson,
        seed,
        request: Request::prediction(),
        phases: vec![Phase { name: "steady".to_owned(), shape: Shape(vec![Piece::hold(rate, lasts)]) }],
    }
}

fn models(rouse: &Path, kind: Kind) -> anyhow::Result<String> {
    let rouse = rouse.canonicalize()?;
    let deployment = |name: &str, flags: &[&str]| {
        let rouse = rouse.display().to_string();
        let command: Vec<&str> = [rouse.as_str(), "predictor"].into_iter().chain(flags.iter().copied()).collect();
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name },
            "spec": { "template": { "spec": { "containers": [{ "name": "model", "command": command }] } } },
        })
    };
    let endpoint = |name: &str, shadow: serde_json::Value| {
        json!({
            "apiVersion": "rouse.dev/v1alpha1",
            "kind": "ModelEndpoint",
            "metadata": { "name": name },
            "spec": {
                "traffic": [{ "revision": format!("{name}-v1"), "percent": 100 }],
                "shadow": shadow,
                "autoscaling": { "minReplicas": 1, "maxReplicas": 1 },
            },
        })
    };
    let model = ["--service-time", "10ms", "--concurrency", "8"];
    let documents = [
        endpoint("plain", json!([])),
        endpoint("shadowed", json!([{ "revision": "shadow", "wake": true, "compare": {} }])),
        deployment("plain-v1", &model),
        deployment("shadowed-v1", &model),
        deployment("shadow", kind.flags()),
    ];
    Ok(documents.iter().map(|document| format!("---\n{document}\n")).collect())
}
