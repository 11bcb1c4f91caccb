//! A platform with real processes, and ways to look at them.

#![allow(dead_code, reason = "each test target uses its part")]

pub(crate) mod described;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemon::Clock;
use local::{Described, LocalPlatform, Options};
use platform::{Actuator as _, Catalogue as _, Event, ReplicaState, Revision, Scale, ScaleError, ScaleOrder};
use tokio::sync::watch;
use units::ReplicaCount;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_keeper-under-test");
/// Long enough for a busy machine; reached only by a test that fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A platform whose processes all carry `tag`; what it shows can be read.
pub(crate) struct Bench {
    pub(crate) platform: LocalPlatform,
    pub(crate) revision: watch::Receiver<Arc<Revision>>,
    pub(crate) shown: Text,
    pub(crate) tag: Tag,
}

impl Bench {
    /// With the one revision that `words` is the command of.
    pub(crate) async fn running(command: &[&str], initial: u32) -> Self {
        Self::with(described::workload(command, initial)).await
    }

    pub(crate) async fn with(mut workload: local::Workload) -> Self {
        let tag = Tag::new();
        tag.mark(&mut workload);
        let shown = Text::default();
        let options = Options {
            keeper: PROGRAM.into(),
            shown_on: Box::new(shown.clone()),
            colour: false,
            activators: Vec::new(),
            autoscalers: Vec::new(),
            budget: queue_proxy::Budget::new(1 << 30),
        };
        let platform = LocalPlatform::new(options, Clock::start());
        platform.apply(described::one(workload));
        let mut revisions = platform.catalogue().revisions();
        let Some(Event::Added(_, revision)) = revisions.recv().await else { panic!("it was described") };
        Self { platform, revision, shown, tag }
    }

    /// Puts another description in force, of the same revision.
    pub(crate) fn apply(&self, mut workload: local::Workload) {
        self.tag.mark(&mut workload);
        self.platform.apply(described::one(workload));
    }

    pub(crate) fn apply_all(&self, described: Described) {
        self.platform.apply(described);
    }

    /// The revision once it is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Revision) -> bool) -> Arc<Revision> {
        let found = tokio::time::timeout(DEADLINE, self.revision.wait_for(|revision| wanted(revision))).await;
        let found = found.map(|found| found.map(|revision| Arc::clone(&revision)));
        match found {
            Ok(Ok(revision)) => revision,
            other => panic!("{other:?}: {:#?}\n{}", self.revision.borrow(), self.shown.read()),
        }
    }

    pub(crate) async fn until_ready(&mut self, count: usize) -> Arc<Revision> {
        self.until(|revision| ready(revision).len() == count && revision.replicas.len() == count).await
    }

    pub(crate) async fn scale(&self, to: u32) -> Scale {
        self.order(to, &[]).await.unwrap()
    }

    pub(crate) async fn order(&self, to: u32, victims: &[&str]) -> Result<Scale, ScaleError> {
        let order = ScaleOrder {
            revision: described::key(),
            to: ReplicaCount(to),
            epoch: 1,
            expect: None,
            victims: victims.iter().map(|name| Arc::from(*name)).collect(),
        };
        self.platform.scale(order).await
    }

    /// Ends it and sees that nothing is left.
    pub(crate) async fn end(self) {
        self.platform.kill_now();
        tokio::time::timeout(DEADLINE, self.platform.shutdown()).await.expect("everything can be killed");
        assert_eq!(self.tag.alive(), [], "nothing may be left");
    }
}

/// Names of those that are ready.
pub(crate) fn ready(revision: &Revision) -> Vec<String> {
    let ready = revision.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready);
    ready.map(|replica| replica.name.to_string()).collect()
}

/// A word that no other test uses, by which processes are found.
pub(crate) struct Tag(pub(crate) String);

impl Tag {
    pub(crate) fn new() -> Self {
        Self(format!("tag-{:016x}", fastrand::u64(..)))
    }

    fn mark(&self, workload: &mut local::Workload) {
        let variable = api::EnvVar { name: "TAG".to_owned(), value: self.0.clone() };
        workload.container.env.push(variable);
    }

    /// Processes with the tag in their environment or their arguments, without those that only wait to be reaped.
    pub(crate) fn alive(&self) -> Vec<(i32, String)> {
        let holds = |pid: i32, file: &str| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.windows(self.0.len()).any(|window| window == self.0.as_bytes())
        };
        pids().filter(|pid| holds(*pid, "environ") || holds(*pid, "cmdline")).map(|pid| (pid, words(pid))).collect()
    }

    /// The number of a living process that was started as `command`, or with further words.
    pub(crate) fn pid_of(&self, command: &str) -> Option<i32> {
        self.alive().into_iter().find(|(_, words)| words.starts_with(command)).map(|(pid, _)| pid)
    }

    /// The number of the model server.
    pub(crate) fn server(&self) -> Option<i32> {
        self.pid_of(&format!("{PROGRAM} serve"))
    }
}

fn pids() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Its arguments; empty once it has ended.
pub(crate) fn words(pid: i32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

pub(crate) fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

pub(crate) fn kill(pid: i32, signal: &str) {
    let killed = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(killed.success(), "{pid} is to be alive");
}

/// Returns as soon as `condition` holds.
pub(crate) async fn eventually(what: &str, within: Duration, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(within, holds).await.is_ok(), "not within {within:?}: {what}");
}

/// A writer whose contents can be read.
#[derive(Clone, Default)]
pub(crate) struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    pub(crate) fn read(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Whether this is among the last lines.
    pub(crate) fn ends_about(&self, words: &str) -> bool {
        let text = self.0.lock().unwrap();
        let end = &text[text.len().saturating_sub(4096)..];
        String::from_utf8_lossy(end).contains(words)
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
