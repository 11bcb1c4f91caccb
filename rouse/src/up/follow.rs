//! Follows the files: each time they change and are good, there is a new plan; while they are bad the last one stays in
//! force, and what is wrong is said.

use std::collections::BTreeSet;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::plan::{Plan, Planner};
use super::source::Source;

/// Editors write in several steps. After so long without another one a file is taken as written.
const QUIET: Duration = Duration::from_millis(100);

/// After so long it is looked all the same: what goes on changing may be another file of the same folder.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Follows the files.
#[derive(Debug)]
pub(crate) struct Follower {
    source: Source,
    planner: Planner,
    /// Ends the watching when it is dropped. `None` for a command line, which never changes.
    watcher: Option<notify::RecommendedWatcher>,
    changes: mpsc::UnboundedReceiver<()>,
    read_last: Vec<Option<Vec<u8>>>,
}

impl Follower {
    /// Begins to watch; changes from now on count.
    ///
    /// # Errors
    /// If the operating system lets nobody watch a folder.
    pub(crate) fn new(source: Source, planner: Planner) -> anyhow::Result<Self> {
        let (sender, changes) = mpsc::unbounded_channel();
        let watcher = match &source {
            Source::Files(files) => Some(watch(files, sender)?),
            Source::Command(_) | Source::Text(..) => None,
        };
        let read_last = contents(&source);
        Ok(Self { source, planner, watcher, changes, read_last })
    }

    /// Where the two shared ports are in fact, where any free one was asked for.
    pub(crate) fn bound(&mut self, listen: std::net::SocketAddr, admin: std::net::SocketAddr) {
        self.planner.bound(listen, admin);
    }

    /// Returns when the files have changed to something that has no fault, however long that takes. May be dropped at
    /// any time: a change that is only half looked at is looked at again.
    pub(crate) async fn next(&mut self) -> Plan {
        loop {
            if let Some(plan) = self.change().await {
                return plan;
            }
        }
    }

    /// Waits until the files say something else; `None` if that has faults, which have been told.
    async fn change(&mut self) -> Option<Plan> {
        loop {
            self.settled().await;
            let now = contents(&self.source);
            if now != self.read_last {
                let plan = self.read_again();
                self.read_last = now;
                return plan;
            }
        }
    }

    /// Waits for a change, and then until nothing changes any more, but not for ever.
    async fn settled(&mut self) {
        if self.watcher.is_none() || self.changes.recv().await.is_none() {
            return pending().await;
        }
        let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await {} };
        // Dropped in the middle it has taken changes, and they are looked at now.
        let _ = tokio::time::timeout(LONGEST_WAIT, quiet).await;
    }

    fn read_again(&mut self) -> Option<Plan> {
        let reading = self.source.read();
        for warning in &reading.warnings {
            warn!("{warning}");
        }
        let mut faults = reading.faults.0;
        let mut taken = Vec::new();
        self.planner.look(&reading.documents, false, &mut faults, &mut taken);
        faults.extend(taken);
        if faults.is_empty() {
            debug!("the files have changed and are read again");
            return Some(self.planner.plan(&reading.documents));
        }
        error!(faults = faults.len(), "the files have changed and are refused; what was in force stays");
        if let Err(faults) = api::Faults(faults).into_result() {
            for fault in faults.0 {
                error!("{fault}");
            }
        }
        None
    }
}

/// What the files say; `None` where one cannot be read. Compared instead of times: an editor that saves the same again
/// changes nothing, and a folder may be busy with other files.
fn contents(source: &Source) -> Vec<Option<Vec<u8>>> {
    match source {
        Source::Files(files) => files.iter().map(|file| std::fs::read(file).ok()).collect(),
        Source::Command(_) | Source::Text(..) => Vec::new(),
    }
}

/// Watches the folders, since an editor puts a new file in the old one's place, and a watch of the old one would see
/// nothing from then on. Links are followed to their end: what changes may be there.
fn watch(files: &[PathBuf], changed: mpsc::UnboundedSender<()>) -> anyhow::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Reading is no change, and we read ourselves. An error may hide a change.
        if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(kind) if !is_end_of_writing(kind))) {
            // Fails only when nobody follows any more.
            let _ = changed.send(());
        }
    })
    .context("watching files for changes")?;
    let mut folders = BTreeSet::new();
    for file in files {
        folders.extend(folder_of(file));
        folders.extend(file.canonicalize().ok().and_then(|whole| folder_of(&whole)));
    }
    for folder in folders {
        let watching = watcher.watch(&folder, RecursiveMode::NonRecursive);
        watching.with_context(|| format!("watching {} for changes", folder.display()))?;
    }
    Ok(watcher)
}

fn is_end_of_writing(kind: notify::event::AccessKind) -> bool {
    kind == notify::event::AccessKind::Close(notify::event::AccessMode::Write)
}

fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
}

#[cfg(test)]
mod tests;
