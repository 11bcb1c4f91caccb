//! Foreign programs, found or left out.

use std::path::Path;
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
    // Where Debian has nghttpd, and where not everybody's PATH leads.
    let aside = Path::new("/usr/sbin").join(name);
    match wired::on_path(name).or_else(|| aside.is_file().then_some(aside)) {
        Some(program) => Some(ending_with_us(&program)),
        None => {
            left_out(&format!("{untested}: there is no {name} on the PATH (make deps installs it where apt can)"));
            None
        }
    }
}

/// A program that `tests/peers/deps.sh` has fetched, ready to be given arguments; or `None`, said aloud.
///
/// # Panics
/// If the script does not run.
pub fn fetched(name: &str, untested: &str) -> Option<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deps.sh");
    let said = std::process::Command::new(script).args(["where", name]).output().expect("deps.sh runs");
    let program = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    if program.is_empty() {
        left_out(&format!("{untested}: {name} was not fetched (make deps fetches it where it can be had)"));
        return None;
    }
    Some(ending_with_us(Path::new(&program)))
}

/// A script in `tests/peers/python`, in the environment that was fetched for it. `None` likewise.
pub fn python(script: &str) -> Option<Command> {
    let mut python = fetched("python", "the tests with Python's clients and servers")?;
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    Some(python)
}

pub(crate) fn ending_with_us(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    command
}

/// Runs a program to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    let running = tokio::time::timeout(PATIENCE, command.output()).await;
    running.unwrap_or_else(|_| panic!("no end within {PATIENCE:?}: {command:?}")).expect("the program runs")
}
