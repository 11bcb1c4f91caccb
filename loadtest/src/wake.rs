//! Our share of a wake.
//!
//! *Request in → child spawned* begins when the client begins to send, and ends when the program has heard from the keeper
//! that the command runs: that is kept with the wake. As a wake's moment is told in whole milliseconds, one is added. Seen
//! from outside *the model's main begins*: the replica's command notes when it runs, before it becomes the model; so that
//! holds what the kernel and the loader need for a new program too. *Ready → forwarded* happens inside, and is what
//! `server-timing` says.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http1;
use crate::table::{Row, Table};
use crate::up::Up;
use loadtest::times::Times;

/// The budgets of what is ours.
const SPAWNED: Duration = Duration::from_millis(5);
const FORWARDED: Duration = Duration::from_millis(20);

/// How long all of them may take to go back to zero: window 6 s, grace 1 s, and plenty.
const BACK_TO_ZERO: Duration = Duration::from_secs(60);

/// Wakes so many times, and measures each.
pub(crate) async fn measure(rouse: &Path, wakes: u32, endpoints: u32) -> anyhow::Result<Table> {
    let endpoints = endpoints.min(wakes);
    let folder = TempDir::new().context("making a temporary folder")?;
    let file = folder.path().join("models.yaml");
    std::fs::write(&file, models(rouse, folder.path(), endpoints)?).context("writing the models' file")?;
    let up = Up::start(rouse, &folder, &file, &[]).await?;

    let mut seen = Seen::default();
    for wake in 0..wakes {
        let number = wake % endpoints;
        if 0 < wake && number == 0 {
            eprintln!("{wake} of {wakes} wakes; waiting until all models are at zero again");
            up.until_all_is_at_zero(BACK_TO_ZERO).await?;
        }
        let begun = begun_file(folder.path(), number);
        // What stands in it is of the round before.
        std::fs::remove_file(&begun).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let sent = unix_now()?;
        let answer = http1::get(up.listen(), &format!("{}.localhost", name(number)), "/").await?;
        let answered = unix_now()?;
        ensure!(answer.status() == 200, "wake {wake}: {}: {:?}", answer.status(), answer.body());
        let text = std::fs::read_to_string(&begun).with_context(|| format!("wake {wake}: no process has begun"))?;
        let begun = Duration::from_nanos(text.trim().parse()?);
        ensure!(sent <= begun, "wake {wake}: the process was there before the request: not at zero");
        seen.spawned.record(up.spawned(&format!("{}-v1", name(number))).await?.saturating_sub(sent));
        seen.begun.record(begun.saturating_sub(sent));
        seen.whole.record(answered.saturating_sub(sent));
        seen.started.record(timing(&answer, "start")?);
        seen.forwarded.record(timing(&answer, "forward")?);
        seen.answered.record(timing(&answer, "answer")?);
    }
    Ok(seen.table(wakes))
}

struct Seen {
    spawned: Times,
    begun: Times,
    started: Times,
    forwarded: Times,
    answered: Times,
    whole: Times,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            spawned: Times::new(),
            begun: Times::new(),
            started: Times::new(),
            forwarded: Times::new(),
            answered: Times::new(),
            whole: Times::new(),
        }
    }
}

impl Seen {
    fn table(self, wakes: u32) -> Table {
        let title =
            format!("{wakes} wakes from zero, one at a time, each answered 200; `rouse predictor --startup 0ms`");
        let rows = vec![
            Row::new("request in → child spawned, at most", self.spawned, Some(SPAWNED)),
            Row::new("request in → the model's main begins", self.begun, None),
            Row::new("replica ordered → ready (the model's own)", self.started, None),
            Row::new("ready → forwarded", self.forwarded, Some(FORWARDED)),
            Row::new("forwarded → answered (the model's own)", self.answered, None),
            Row::new("the whole wake, as the client sees it", self.whole, None),
        ];
        Table { title, rows }
    }
}

/// A part of `server-timing`.
fn timing(answer: &Response<Bytes>, part: &str) -> anyhow::Result<Duration> {
    let header = answer.headers().get("server-timing").and_then(|value| value.to_str().ok());
    let header = header.context("no `server-timing`: nothing was woken")?;
    let found =
        header.split(',').filter_map(|metric| metric.trim().split_once(";dur=")).find(|(name, _)| *name == part);
    let (_, ms) = found.with_context(|| format!("no {part} in `server-timing: {header}`"))?;
    Ok(Duration::try_from_secs_f64(ms.parse::<f64>()? / 1000.0)?)
}

fn name(number: u32) -> String {
    format!("model-{number}")
}

fn begun_file(folder: &Path, number: u32) -> std::path::PathBuf {
    folder.join(format!("begun-{number}"))
}

/// The file: that many stand-in models, which go to zero as soon as Knative's bounds allow.
fn models(rouse: &Path, folder: &Path, endpoints: u32) -> anyhow::Result<String> {
    let this = std::env::current_exe().context("where is this program?")?;
    let rouse = rouse.canonicalize().with_context(|| format!("looking for {}", rouse.display()))?;
    let mut documents = vec![json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "config-autoscaler" },
        "data": { "stable-window": "6s", "scale-to-zero-grace-period": "1s" },
    })];
    for number in 0..endpoints {
        let command = json!([this, "begun", begun_file(folder, number), rouse, "predictor", "--startup", "0ms"]);
        documents.extend(model(&name(number), &command));
    }
    Ok(documents.iter().map(|document| format!("---\n{document}\n")).collect())
}

fn model(name: &str, command: &Value) -> [Value; 2] {
    [
        json!({
            "apiVersion": "rouse.dev/v1alpha1",
            "kind": "ModelEndpoint",
            "metadata": { "name": name },
            "spec": { "traffic": [{ "revision": format!("{name}-v1"), "percent": 100 }] },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": format!("{name}-v1") },
            "spec": { "template": { "spec": { "containers": [{ "name": "model", "command": command }] } } },
        }),
    ]
}

/// Writes down that it has begun, and becomes the command. Returns only if that fails.
pub(crate) fn begin(file: &Path, command: &[String]) -> anyhow::Error {
    let written = unix_now().and_then(|now| Ok(std::fs::write(file, now.as_nanos().to_string())?));
    match (written, command) {
        (Err(error), _) => error.context(format!("writing {}", file.display())),
        (Ok(()), [program, arguments @ ..]) => {
            anyhow::Error::from(Command::new(program).args(arguments).exec()).context(format!("becoming {program}"))
        }
        (Ok(()), []) => anyhow::anyhow!("become what?"),
    }
}

#[expect(clippy::disallowed_methods, reason = "two processes compare their times: the wall clock is what they share")]
fn unix_now() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?)
}
