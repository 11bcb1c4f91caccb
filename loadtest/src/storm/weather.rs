//! What happens to the replicas while they are asked: something each second, by chance.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::verdict::{Fall, How};
use tokio::time::Instant;

/// The two models: one works on so many requests at once, the other on as many as come.
const MODELS: [Model; 2] = [Model { name: "bounded", limit: 16 }, Model { name: "unbounded", limit: 0 }];

#[derive(Clone, Copy, Debug)]
struct Model {
    name: &'static str,
    limit: u32,
}

/// One act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// Other bounds: replicas are added, or drained and removed.
    Bounds,
    /// Another environment: each replica is replaced.
    Roll,
    /// SIGKILL for a model's process.
    KillModel,
    /// SIGKILL for a replica's keeper, and so for all of the replica.
    KillReplica,
    /// SIGTERM for a model's process, which finishes what it has begun.
    Terminate,
}

impl Act {
    /// What people ask for most often stands here most often.
    const LOTS: [Self; 8] = [
        Self::Bounds,
        Self::Bounds,
        Self::Bounds,
        Self::Roll,
        Self::KillModel,
        Self::KillModel,
        Self::KillReplica,
        Self::Terminate,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Bounds => "new bounds",
            Self::Roll => "replaced",
            Self::KillModel => "models killed",
            Self::KillReplica => "replicas killed",
            Self::Terminate => "models terminated",
        }
    }
}

/// What happened so far, and what is in force.
#[derive(Debug)]
pub(super) struct Weather {
    rng: fastrand::Rng,
    folder: PathBuf,
    rouse: PathBuf,
    begin: Instant,
    in_force: [InForce; 2],
    pub(super) fallen: BTreeMap<u32, Fall>,
    acts: BTreeMap<Act, u32>,
    story: Vec<String>,
}

/// What the file says of a model.
#[derive(Clone, Copy, Debug)]
struct InForce {
    least: u32,
    most: u32,
    version: u32,
}

impl Weather {
    /// Writes the first file. Replicas write down what they begin in `folder/begun`, each in a file called by its process
    /// number.
    pub(super) fn new(folder: &Path, rouse: &Path, seed: u64, begin: Instant) -> anyhow::Result<Self> {
        let rouse = rouse.canonicalize().with_context(|| format!("looking for {}", rouse.display()))?;
        std::fs::create_dir(folder.join("begun"))?;
        // A shell knows its number, and keeps it for what it becomes.
        std::fs::write(
            folder.join("replica.sh"),
            "exec \"$1\" predictor --log \"$2/$$\" --service-time 30ms --startup 100ms\n",
        )?;
        let mut rng = fastrand::Rng::with_seed(seed);
        rng.u64(..);
        let first = InForce { least: 2, most: 4, version: 1 };
        let weather = Self {
            rng,
            folder: folder.to_owned(),
            rouse,
            begin,
            in_force: [first; 2],
            fallen: BTreeMap::new(),
            acts: BTreeMap::new(),
            story: Vec::new(),
        };
        weather.write()?;
        Ok(weather)
    }

    /// The file that `rouse up` serves.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("models.yaml")
    }

    /// The endpoints' names.
    pub(super) fn endpoints() -> impl Iterator<Item = &'static str> {
        MODELS.iter().map(|model| model.name)
    }

    /// Something happens.
    pub(super) fn act(&mut self) -> anyhow::Result<()> {
        let act = Act::LOTS[self.rng.usize(..Act::LOTS.len())];
        let which = self.rng.usize(..MODELS.len());
        let did = match act {
            Act::Bounds => {
                let least = self.rng.u32(1..=6);
                self.in_force[which] = InForce { least, most: least + self.rng.u32(0..=2), ..self.in_force[which] };
                self.write()?;
                Some(format!("{}: {} to {}", MODELS[which].name, least, self.in_force[which].most))
            }
            Act::Roll => {
                self.in_force[which].version += 1;
                self.write()?;
                Some(format!("{}: version {}", MODELS[which].name, self.in_force[which].version))
            }
            Act::KillModel => self.victim().and_then(|pid| self.end(pid, pid, Signal::SIGKILL, How::Killed)),
            Act::KillReplica => self.victim().and_then(|pid| {
                let keeper = parent(pid)?;
                self.end(pid, keeper, Signal::SIGKILL, How::Killed)
            }),
            Act::Terminate => self.victim().and_then(|pid| self.end(pid, pid, Signal::SIGTERM, How::Terminated)),
        };
        if let Some(did) = did {
            *self.acts.entry(act).or_default() += 1;
            self.story.push(format!("{:7.3} s  {}: {did}", self.begin.elapsed().as_secs_f64(), act.word()));
        }
        Ok(())
    }

    /// What was done when, a line each.
    pub(super) fn story(&self) -> &[String] {
        &self.story
    }

    /// One of the replicas that run; the older, the likelier. Seldom one that has begun nothing yet: a slow machine would
    /// never have any that serves.
    fn victim(&mut self) -> Option<u32> {
        let anyone = self.rng.u8(..) < 32;
        let mut there: Vec<u32> = self.replicas().into_iter().filter(|pid| !self.fallen.contains_key(pid)).collect();
        there.retain(|pid| is_predictor(*pid) && (anyone || self.has_begun_any(*pid)));
        there.sort_unstable();
        let older = self.rng.usize(..there.len().max(1)).min(self.rng.usize(..there.len().max(1)));
        there.get(older).copied()
    }

    fn has_begun_any(&self, pid: u32) -> bool {
        let log = self.folder.join("begun").join(pid.to_string());
        std::fs::metadata(log).is_ok_and(|log| 0 < log.len())
    }

    /// Everyone who ever was.
    fn replicas(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(self.folder.join("begun")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// `None` if it ended by itself meanwhile.
    fn end(&mut self, pid: u32, whom: u32, signal: Signal, how: How) -> Option<String> {
        let at = self.begin.elapsed();
        kill(Pid::from_raw(i32::try_from(whom).ok()?), signal).ok()?;
        self.fallen.insert(pid, Fall { at, how });
        Some(format!("process {pid}"))
    }

    /// Writes the file as editors do: the new one takes the old one's name.
    fn write(&self) -> anyhow::Result<()> {
        let new = self.folder.join("models.new");
        let config = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "config-autoscaler" },
            "data": { "stable-window": "6s", "scale-to-zero-grace-period": "1s" },
        });
        let models = MODELS.iter().zip(&self.in_force).flat_map(|(model, in_force)| self.documents(*model, *in_force));
        let text: String = models.chain([config]).map(|document| format!("---\n{document:#}\n")).collect();
        std::fs::write(&new, text)?;
        std::fs::rename(&new, self.file())?;
        Ok(())
    }

    fn documents(&self, model: Model, in_force: InForce) -> [Value; 2] {
        let revision = format!("{}-v1", model.name);
        let (script, begun) = (self.folder.join("replica.sh"), self.folder.join("begun"));
        [
            json!({
                "apiVersion": "rouse.dev/v1alpha1",
                "kind": "ModelEndpoint",
                "metadata": { "name": model.name },
                "spec": {
                    "traffic": [{ "revision": revision, "percent": 100 }],
                    "containerConcurrency": model.limit,
                    "autoscaling": { "minReplicas": in_force.least, "maxReplicas": in_force.most },
                },
            }),
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": { "name": revision },
                "spec": { "template": { "spec": { "containers": [{
                    "name": "model",
                    "command": ["sh", script, self.rouse, begun],
                    "env": [{ "name": "VERSION", "value": in_force.version.to_string() }],
                }] } } },
            }),
        ]
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acts: Vec<_> = self.acts.iter().map(|(act, times)| format!("{}: {times}", act.word())).collect();
        write!(f, "{}", acts.join(", "))
    }
}

fn is_predictor(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"predictor")
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
