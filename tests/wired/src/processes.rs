//! Who is alive.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A number in the environment of a program and of all that it starts, by which they are found however they were
/// started and whoever their parent is now. Who clears its environment can carry it in an argument.
#[derive(Clone, Debug)]
pub struct Mark(String);

impl Mark {
    /// Its name in the environment.
    pub(crate) const NAME: &str = "WIRED_MARK";

    #[expect(clippy::new_without_default, reason = "each is another")]
    /// One that no other process has.
    pub fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self(format!("{:07}{:03}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)))
    }

    /// Its value: ten digits.
    pub fn value(&self) -> &str {
        &self.0
    }

    /// Everyone who carries it: process number and command line. Zombies have no environment any more.
    pub fn carriers(&self) -> Vec<(i32, String)> {
        let wanted = format!("{}={}", Self::NAME, self.0);
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let carries = |(pid, line): &(i32, String)| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            line.contains(&self.0) || environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        pids.map(|pid| (pid, command_line(pid))).filter(carries).collect()
    }

    /// Those that run `rouse predictor` themselves, and not through a shell.
    pub fn predictors(&self) -> Vec<i32> {
        let runs = |line: &str| line.split(' ').nth(1) == Some("predictor");
        self.carriers().into_iter().filter(|(_, line)| runs(line)).map(|(pid, _)| pid).collect()
    }

    /// Kills everyone who carries it.
    pub(crate) fn sweep(&self) {
        for (pid, _) in self.carriers() {
            // Gone meanwhile is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Is there such a process, and is it no zombie?
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in parentheses and may contain any.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A process's command line, with spaces between its words; empty if it is gone.
pub fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}
