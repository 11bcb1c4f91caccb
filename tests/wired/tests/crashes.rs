//! A replica that is killed takes with it what it had begun, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use wired::{File, Load, Model, Outcome, Up, command_line, eventually, secs};

/// What a replica may have at once.
const LIMIT: usize = 10;

/// A story: two replicas under load, one is killed, it is replaced.
struct Story {
    outcomes: BTreeMap<String, Outcome>,
    /// What the killed one had begun.
    begun_by_killed: BTreeSet<String>,
    /// How often each request was begun by others.
    begun_by_others: BTreeMap<String, u32>,
}

impl Story {
    async fn play(method: &Method) -> Self {
        let logs = tempfile::tempdir().unwrap();
        // Each replica has a log of its own.
        let log = logs.path().join("begun.$(PORT)");
        let mut model = Model::logged_predictor("fragile", &log, &["--service-time", "300ms"]);
        model.container_concurrency = LIMIT as u32;
        model.autoscaling = json!({ "minReplicas": 2, "maxReplicas": 2 });
        let up = Up::start(&File::of(model)).await;
        let two_are_ready = async || match up.ready("fragile-v1").await {
            2 => Ok(()),
            ready => Err(format!("{ready}")),
        };
        eventually(secs(30), "two replicas are ready", two_are_ready).await;

        let load = Load::start(&up.client("fragile"), 16, method, "/");
        until_begun(&load, 100).await;
        let victim = up.mark().predictors()[0];
        let its_log = command_line(victim).split(' ').skip_while(|word| *word != "--log").nth(1).unwrap().to_owned();
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        eventually(secs(30), "another has taken its place", async || {
            let there = up.mark().predictors();
            if there.len() == 2 && !there.contains(&victim) { Ok(()) } else { Err(format!("{there:?}")) }
        })
        .await;
        eventually(secs(30), "two replicas are ready again", two_are_ready).await;
        until_begun(&load, load.begun() + 100).await;
        let outcomes = load.end().await;

        let mut begun_by_others = BTreeMap::new();
        for entry in std::fs::read_dir(logs.path()).unwrap() {
            let path = entry.unwrap().path();
            if path != Path::new(&its_log) {
                for id in lines(&path) {
                    *begun_by_others.entry(id).or_default() += 1;
                }
            }
        }
        Self { outcomes, begun_by_killed: lines(Path::new(&its_log)).into_iter().collect(), begun_by_others }
    }

    /// The ids of those that were not answered 200; each is to have been answered `replica-broke`.
    fn broken(&self) -> BTreeSet<String> {
        let mut broken = BTreeSet::new();
        for (id, outcome) in &self.outcomes {
            match outcome {
                Outcome::Good => {}
                Outcome::Bad(502, reason, _) if reason == "replica-broke" => {
                    broken.insert(id.clone());
                }
                other => panic!("{id}: {other:?}"),
            }
        }
        broken
    }
}

async fn until_begun(load: &Load, number: u64) {
    eventually(secs(60), &format!("{number} requests are begun"), async || match load.begun() {
        begun if number <= begun => Ok(()),
        begun => Err(format!("{begun}")),
    })
    .await;
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn of_what_may_not_be_repeated_what_the_killed_one_had_breaks_and_nothing_else() {
    let story = Story::play(&Method::POST).await;
    let broken = story.broken();
    let answered = |id: &String| story.outcomes.get(id) == Some(&Outcome::Good);
    let unfinished: BTreeSet<String> = story.begun_by_killed.iter().filter(|id| !answered(id)).cloned().collect();
    assert!(!unfinished.is_empty(), "it was killed under load");
    assert!(unfinished.is_subset(&broken), "{unfinished:?} of {broken:?}");
    // What had reached it when it died, but not its log, cannot be told from begun. Nobody else may have begun it then.
    let unread: BTreeSet<String> = broken.difference(&unfinished).cloned().collect();
    assert!(broken.len() <= LIMIT, "more than it may have at once: {broken:?}");
    for (id, times) in &story.begun_by_others {
        assert!(*times == 1 && !story.begun_by_killed.contains(id), "{id} was begun twice");
        assert!(!unread.contains(id), "{id} was answered as broken, and begun by another");
    }
    let begun = story.begun_by_others.len() + story.begun_by_killed.len();
    assert_eq!(begun + unread.len(), story.outcomes.len());
}

#[tokio::test]
async fn what_may_be_repeated_is_lost_as_little_and_repeated_only_after_the_kill() {
    let story = Story::play(&Method::GET).await;
    let broken = story.broken();
    // What had reached the killed one, but not its log, may have been begun.
    for id in broken.difference(&story.begun_by_killed) {
        assert!(!story.begun_by_others.contains_key(id), "{id} was answered as broken, and begun by another");
    }
    assert!(broken.len() <= LIMIT, "more than it may have at once: {broken:?}");
    for (id, times) in &story.begun_by_others {
        assert_eq!(*times, 1, "{id} was begun more than once by replicas that live");
    }
}
