//! A program that is measured, with its children: started, asked what it cost, and ended.

use std::fs::{File, read_dir, read_to_string};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::TcpStream;

/// Starting takes some tens of milliseconds; who takes longer than this is not coming.
const START: Duration = Duration::from_secs(10);
/// How often is looked whether it is there.
const PAUSE: Duration = Duration::from_millis(5);
/// What `/proc/PID/stat` counts in: `USER_HZ`, which is 100 on every Linux that we run on.
const TICK: Duration = Duration::from_millis(10);

/// A running program in a process group of its own. Dropping it kills the whole group and waits.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// What it needs and what is not measured with it. Ends after it.
    needs: Option<Box<Self>>,
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts it, and returns once it takes connections at `address`. What it says goes to `output`.
    pub(crate) async fn start(mut command: Command, address: SocketAddr, output: &Path) -> anyhow::Result<Self> {
        let log = File::create(output)?;
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        let mut running = Self { child, needs: None, address };
        let coming = async {
            while TcpStream::connect(address).await.is_err() {
                if let Some(status) = running.child.try_wait()? {
                    bail!("{program} ended with {status}:\n{}", read_to_string(output)?);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, coming)
            .await
            .with_context(|| format!("{program} takes no connection after {START:?}"))??;
        Ok(running)
    }

    /// The same, and another that is to run for as long.
    pub(crate) fn with(mut self, needs: Option<Self>) -> Self {
        self.needs = needs.map(Box::new);
        self
    }

    /// Processor time of it and all its children until now.
    ///
    /// The ticks of a process are whole ones of ten milliseconds, but of all its threads; the times that the scheduler
    /// keeps are exact, but of threads that still live. Neither is more than the truth.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let of = |stat: &Stat| TICK.saturating_mul(stat.ticks).max(of_threads(stat.pid));
        Ok(self.tree()?.iter().map(of).sum())
    }

    /// Bytes of memory that are its own and its children's (`RssAnon`).
    pub(crate) fn own_memory(&self) -> anyhow::Result<u64> {
        let read = |stat: &Stat| {
            let path = format!("/proc/{}/status", stat.pid);
            rss_anon(&read_to_string(&path).context(path)?)
        };
        self.tree()?.iter().map(read).sum()
    }

    fn tree(&self) -> anyhow::Result<Vec<Stat>> {
        let mut all = Vec::new();
        for entry in read_dir("/proc").context("/proc: is this Linux?")? {
            // Who has ended since was none of ours: ours would be missed below.
            let stat = read_to_string(entry?.path().join("stat")).ok().and_then(|text| Stat::parse(&text));
            all.extend(stat);
        }
        let tree = descendants(self.child.id(), &all);
        anyhow::ensure!(!tree.is_empty(), "process {} has ended while it was measured", self.child.id());
        Ok(tree)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // It may have ended by itself; then there is nothing to kill.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// What is read of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// In user and in system mode, of all its threads.
    ticks: u32,
}

impl Stat {
    /// The name in parentheses may hold anything, also parentheses and spaces.
    fn parse(text: &str) -> Option<Self> {
        let pid = text.split(' ').next()?.parse().ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |place: usize| fields.get(place)?.parse::<u32>().ok();
        // After the name: state, parent, then others; user and system time are the 14th and 15th of the line.
        Some(Self { pid, parent: number(1)?, ticks: number(11)?.checked_add(number(12)?)? })
    }
}

/// What the scheduler says of a process's living threads; nothing where the kernel keeps no such times.
fn of_threads(pid: u32) -> Duration {
    let threads = read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |thread: std::fs::DirEntry| {
        let text = read_to_string(thread.path().join("schedstat")).ok()?;
        Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
    };
    threads.filter_map(of).sum()
}

/// `root` and everything below it; empty if it is not there.
fn descendants(root: u32, all: &[Stat]) -> Vec<Stat> {
    let mut found: Vec<Stat> = all.iter().filter(|stat| stat.pid == root).copied().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|stat| stat.pid) {
        found.extend(all.iter().filter(|stat| stat.parent == parent));
        next += 1;
    }
    found
}

fn rss_anon(status: &str) -> anyhow::Result<u64> {
    let line =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon in /proc/PID/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("RssAnon: {line}"))?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "42 (nginx: (worker) 1) S 7 42 42 0 -1 4194560 123 0 0 0 210 45 9 9 20 0 1 0 888 1000 50 184467";

    #[test]
    fn a_process_may_be_called_anything() {
        assert_eq!(Stat::parse(LINE), Some(Stat { pid: 42, parent: 7, ticks: 255 }));
        assert_eq!(Stat::parse("42 (cut"), None);
    }

    #[test]
    fn children_of_children_count_and_others_do_not() {
        let stat = |pid, parent| Stat { pid, parent, ticks: 1 };
        let all = [stat(1, 0), stat(9, 7), stat(7, 5), stat(5, 1), stat(8, 1)];
        let pids: Vec<u32> = descendants(5, &all).iter().map(|stat| stat.pid).collect();
        assert_eq!(pids, [5, 7, 9]);
        assert!(descendants(77, &all).is_empty());
    }

    #[test]
    fn the_time_of_threads_and_that_of_the_process_are_of_one_kind() {
        let working = std::hint::black_box((0..20_000_000_u64).fold(0, |sum, next| std::hint::black_box(sum ^ next)));
        assert_eq!(working, std::hint::black_box(working));
        let text = read_to_string("/proc/self/stat").unwrap();
        let ticks = TICK * Stat::parse(&text).unwrap().ticks;
        let exact = of_threads(std::process::id());
        // Two roundings, and what other threads of this process had time for between the readings.
        assert!(ticks <= exact + 4 * TICK, "{ticks:?} in ticks, {exact:?} by the scheduler");
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(rss_anon("VmRSS:\t  9000 kB\nRssAnon:\t    2048 kB\nRssFile: 1 kB\n").unwrap(), 2 << 20);
        rss_anon("VmRSS: 1 kB\n").unwrap_err();
    }
}
