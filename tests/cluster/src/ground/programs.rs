//! Programs that a cluster of the tests consists of, each with a log of its own, ended with whoever holds them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    binary: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts it; what it prints goes to `<folder>/<name>.log`.
    pub(crate) fn start(name: &'static str, binary: PathBuf, args: Vec<String>, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = launch(&binary, &args, &log).with_context(|| format!("{name}: {}", binary.display()))?;
        Ok(Self { name, binary, args, log, child })
    }

    /// Its name, and what it holds in memory, in MiB.
    pub(crate) fn memory(&self) -> String {
        let status = self.child.id().and_then(|id| std::fs::read_to_string(format!("/proc/{id}/status")).ok());
        let line = status.iter().flat_map(|it| it.lines()).find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        format!("{} {}", self.name, kib / 1024)
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again, as it was started; its log goes on.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.binary, &self.args, &self.log)?;
        Ok(())
    }

    /// Waits until something is so; fails with the end of its log, at once if it has ended.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !is_so().await {
            let ended = self.child.try_wait()?;
            if ended.is_some() || deadline < Instant::now() {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(15)..].join("\n");
                bail!("{}: not {what}, {}\n{end}", self.name, ended.map_or("in time".to_owned(), |it| it.to_string()));
            }
            sleep(Duration::from_millis(25)).await;
        }
        Ok(())
    }
}

fn launch(binary: &Path, args: &[String], log: &Path) -> std::io::Result<Child> {
    let out = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
    command.spawn()
}
