//! Foreign programs, found or left out.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use tokio::process::Command;

/// How long a foreign program may run: longer than any test waits for one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says, as `tests/run.sh` counts it, that something was not tested on this machine.
pub fn left_out(why: &str) {
    println!("\nLEFT OUT: {why}");
}

/// A program that is on the PATH, ready to be given arguments; or `None`, said aloud with what is not tested then.
pub fn foreign(name: &str, untested: &str) -> Option<Command> {
    match wired::on_path(name) {
        Some(program) => Some(ending_with_us(&program)),
        None => {
            left_out(&format!("{untested}: there is no {name} on the PATH (make deps installs it where apt can)"));
            None
        }
    }
}

/// The folder where `tests/peers/deps.sh` puts what it fetches and builds, by a name that the files it follows decide.
#[expect(clippy::disallowed_methods, reason = "a test looks for a program as a shell does")]
pub fn cache(name: &str) -> Option<PathBuf> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")))?;
    Some(caches.join("rouse").join(name)).filter(|folder| folder.is_dir())
}

pub(crate) fn ending_with_us(program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    command
}

/// Runs a program to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    let running = tokio::time::timeout(PATIENCE, command.output()).await;
    running.unwrap_or_else(|_| panic!("no end within {PATIENCE:?}: {command:?}")).expect("the program runs")
}
