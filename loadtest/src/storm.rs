//! A storm: a load on `rouse up` while its replicas are added, removed, replaced, killed and drained, something each
//! second. Afterwards what the clients saw is held against what the replicas wrote down.
//!
//! By chance, from a seed; how it interleaves with the programs is up to the machine. In reading order: `asking` (the
//! load), `weather` (what happens to the replicas), `verdict` (what is lost, what is begun twice).

mod asking;
mod verdict;
mod weather;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use asking::{Load, To};
pub use verdict::Verdict;
use verdict::{How, Servers};
use weather::Weather;

use crate::up::Up;

/// How often something happens.
const PACE: Duration = Duration::from_secs(1);
/// How long the first replicas may take to answer on a slow machine.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// How long, how much, and which.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long it blows.
    pub lasts: Duration,
    /// Requests at once; each worker sends one after the other.
    pub in_flight: usize,
    /// Where all chance comes from.
    pub seed: u64,
    /// Whether what was written is kept also if nothing was wrong.
    pub keep: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    weather: Weather,
    /// Lost, duplicated, and the rest.
    pub verdict: Verdict,
    /// Where everything stands that was written, if it was kept.
    kept: Option<PathBuf>,
}

impl Report {
    /// Replicas that were killed while they served.
    pub fn killed(&self) -> usize {
        self.weather.fallen.values().filter(|fall| fall.how == How::Killed).count()
    }
}

/// Lets it blow.
///
/// # Errors
/// If `rouse up` does not come up, or ends.
pub async fn run(rouse: &Path, plan: Plan) -> anyhow::Result<Report> {
    let folder = TempDir::new().context("making a temporary folder")?;
    let begin = Instant::now();
    let mut weather = Weather::new(folder.path(), rouse, plan.seed, begin)?;
    let up = Up::start(rouse, &folder, &weather.file(), &[]).await?;
    let port = up.listen().port();
    let to: Vec<To> = Weather::endpoints()
        .map(|name| To { address: up.listen(), host: format!("{name}.localhost:{port}") })
        .collect();

    let load = Load::start(&to, plan.in_flight, plan.seed, begin);
    let first = async {
        while load.begun() <= 2 * plan.in_flight as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(FIRST_ANSWER, first).await.with_context(|| format!("nobody was answered within {FIRST_ANSWER:?}"))?;
    let blows_from = Instant::now();
    let mut pace = interval_at(blows_from + PACE, PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while blows_from.elapsed() < plan.lasts {
        pace.tick().await;
        weather.act()?;
    }
    let records = load.end().await?;
    // Whoever still runs writes nothing any more.
    drop(up);
    let servers = Servers { begun: begun(&folder.path().join("begun"))?, fallen: weather.fallen.clone() };
    let verdict = Verdict::of(&records, &servers);
    ensure!(plan.in_flight as u64 * 2 < verdict.requests, "only {} requests were sent", verdict.requests);
    let kept = (plan.keep || !verdict.is_right()).then(|| folder.keep());
    Ok(Report { plan, weather, verdict, kept })
}

/// What each replica began, by the number of the request.
fn begun(folder: &Path) -> anyhow::Result<BTreeMap<u64, Vec<u32>>> {
    let mut begun: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for number in std::fs::read_to_string(entry.path())?.lines().filter_map(|line| line.parse().ok()) {
            begun.entry(number).or_default().push(pid);
        }
    }
    Ok(begun)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { lasts, in_flight, seed, .. } = self.plan;
        writeln!(f, "a storm of {} s, {in_flight} in flight, seed {seed}", lasts.as_secs())?;
        writeln!(f, "  {}\n", self.weather)?;
        write!(f, "{}", self.verdict)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "\n\nwhat happened:")?;
            self.weather.story().iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            write!(f, "logs: {}", kept.display())?;
        }
        Ok(())
    }
}
