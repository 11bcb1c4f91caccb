//! Whether a shadow that does everything wrong is seen by clients: latency with and without it, side by side.
//!
//! One `rouse up` with three endpoints whose models are alike, `plain`, `twin` and `shadowed`; only the last has a shadow. In
//! each round all are asked at the same moments, in short turns there and back, over connections that are kept: what slows the
//! machine slows all. How far `twin` is from `plain` says how far apart two are that nothing sets apart. The model works 10 ms
//! on a request and on eight at once: what it answers at most is measured first, and 30 % of that is sent. The shadow's own
//! process runs only when nothing else wants to, as if it were on another machine: what it computes is not what a copy costs.

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
use crate::{Client, Live, Options, Scenario, Target, http1};

/// At most so many times as long may 99 of 100 clients wait with a shadow.
pub const BUDGET: f64 = 1.05;
const SHADOWED: &str = "shadowed";
const NAMES: [&str; 3] = ["plain", "twin", SHADOWED];
/// Of what the model can answer.
const PART_OF_CAPACITY: f64 = 0.3;
/// How many ask for capacity, each again as soon as it is answered.
const ASKING: usize = 16;
const CAPACITY_OVER: Duration = Duration::from_secs(3);
/// Between looks whether all is counted.
const SETTLE: Duration = Duration::from_millis(300);
/// How long one is asked before it is the next one's turn: so short that no connection idles too long to be used again.
const TURN: Duration = Duration::from_millis(125);
/// Between turns, so that the copies of one are not answered in another's.
const PAUSE: Duration = Duration::from_millis(40);
/// Whom the turns go to, one after the other. Who was first waits longest: four turns and five pauses, less than the second
/// after which nobody sends on a connection that idled.
const ORDER: [usize; 6] = [0, 1, 2, 2, 1, 0];

/// How long the last copies may take to come to their end.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// What a shadow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
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
    /// How often all are asked.
    pub rounds: u32,
    /// How long each is asked in a round.
    pub lasts: Duration,
    /// Whether the shadow's own process runs only when nothing else wants to, as if it were on another machine.
    pub apart: bool,
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
    /// The same of the twin, which has no shadow: what the machine makes of nothing.
    pub noise: Vec<f64>,
    /// Clients' median with the shadow over that without, a round each.
    pub median_ratios: Vec<f64>,
    /// Clients' p99 without a shadow, all rounds, in seconds.
    pub without_seconds: f64,
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
        median(&self.ratios)
    }

    /// Copies that were counted somewhere.
    pub fn counted(&self) -> u64 {
        self.copies.values().sum::<u64>() + self.under_way
    }
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copies = self.copies.iter().filter(|(_, count)| **count != 0);
        let copies: Vec<String> = copies.map(|(how, count)| format!("{count} {how}")).collect();
        let rounds = |ratios: &[f64]| ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ");
        let [before, most] = self.memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
        write!(
            f,
            "{:<20} p99 × {:.3} (rounds {}) of {:.1} ms, median × {:.3}; without a shadow p99 × {:.3} (rounds {}); {} of {} \
             answered 200 at {:.0}/s; copies: {}, {} under way; {:.1} MiB before, {:.1} MiB at most",
            self.kind.words(),
            self.ratio(),
            rounds(&self.ratios),
            self.without_seconds * 1e3,
            median(&self.median_ratios),
            median(&self.noise),
            rounds(&self.noise),
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
    if plan.apart {
        let chrt = std::process::Command::new("chrt").args(["--idle", "0", "true"]).status();
        ensure!(chrt.is_ok_and(|status| status.success()), "chrt does not run here; on Debian it is in util-linux");
    }
    let folder = TempDir::new()?;
    let file = folder.path().join("models.yaml");
    std::fs::write(&file, models(rouse, kind, plan.apart)?)?;
    let up = Up::start(rouse, &folder, &file, &[]).await?;
    let pid = up.pid().context("rouse up has ended")?;
    let target = |name: &str| Target { address: up.listen(), host: format!("{name}.localhost"), prefix: String::new() };
    let targets = NAMES.map(target);
    for target in &targets {
        let answer = http1::get(up.listen(), &target.host, "/").await?;
        ensure!(answer.status() == 200, "{}: {}", target.host, answer.status());
    }
    let rate = PART_OF_CAPACITY * capacity(&targets[0]).await?;
    let clients = targets.map(Client::of);

    let before = Memory::of(pid)?.own;
    let mut row = Row {
        kind,
        rate,
        ratios: Vec::new(),
        noise: Vec::new(),
        median_ratios: Vec::new(),
        without_seconds: 0.0,
        // The one above.
        requests: 1,
        answered: 1,
        copies: BTreeMap::new(),
        under_way: 0,
        memory: [before, before],
    };
    let mut without_shadow = Times::new();
    // The round before the first makes connections, and is not told.
    for round in 0..=plan.rounds {
        let mut times = [Times::new(), Times::new(), Times::new()];
        let turns = (plan.lasts.as_millis() / TURN.as_millis()) as usize;
        for turn in 0..turns * times.len() {
            let which = ORDER[turn % ORDER.len()];
            let live = Live::default();
            // The same moments for all.
            let scenario = steady(rate, TURN, u64::from(round) << 32 | (turn / times.len()) as u64);
            let options = Options::usual(format!("{which}-{round}-{turn}"));
            let asking = clients[which].run(&scenario, &options, &live);
            tokio::pin!(asking);
            let results = loop {
                tokio::select! {
                    results = &mut asking => break results?,
                    () = sleep(Duration::from_millis(100)) => row.memory[1] = row.memory[1].max(Memory::of(pid)?.own),
                }
            };
            times[which].add(&live.times());
            if NAMES[which] == SHADOWED {
                row.requests += results.counts.due;
                row.answered += results.counts.by_status.get("200").copied().unwrap_or_default();
            }
            sleep(PAUSE).await;
        }
        if round == 0 {
            continue;
        }
        let [plain, twin, shadowed] = times;
        let over_plain = |times: &Times, at| times.quantile(at).as_secs_f64() / plain.quantile(at).as_secs_f64();
        row.ratios.push(over_plain(&shadowed, 0.99));
        row.noise.push(over_plain(&twin, 0.99));
        row.median_ratios.push(over_plain(&shadowed, 0.5));
        without_shadow.add(&plain);
    }
    row.without_seconds = without_shadow.quantile(0.99).as_secs_f64();
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

fn models(rouse: &Path, kind: Kind, apart: bool) -> anyhow::Result<String> {
    let rouse = rouse.canonicalize()?;
    let deployment = |name: &str, before: &[&str], flags: &[&str]| {
        let rouse = rouse.display().to_string();
        let command: Vec<&str> = [before, &[&rouse, "predictor"], flags].concat();
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
        endpoint("twin", json!([])),
        endpoint(SHADOWED, json!([{ "revision": "shadow", "wake": true, "compare": {} }])),
        deployment("plain-v1", &[], &model),
        deployment("twin-v1", &[], &model),
        deployment("shadowed-v1", &[], &model),
        deployment("shadow", if apart { &["chrt", "--idle", "0"] } else { &[] }, kind.flags()),
    ];
    Ok(documents.iter().map(|document| format!("---\n{document}\n")).collect())
}
