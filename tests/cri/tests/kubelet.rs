//! The runtime as a kubelet sees it: the real server in namespaces of its own, and a client that calls in a kubelet's order.
//!
//! This program starts itself again under `unshare`, since a namespace for users can only be made by a process with one
//! thread. Where that is forbidden it says so and leaves all out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "kubelet/client.rs"]
mod client;
#[path = "kubelet/stories.rs"]
mod stories;

use std::process::{Command, ExitCode};

use libtest_mimic::Arguments;

/// Set for the run that is inside.
const INSIDE: &str = "ROUSE_CRI_INSIDE";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list || std::env::var_os(INSIDE).is_some() {
        return stories::play(&arguments);
    }
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["-rnpmf", "--mount-proc", "--kill-child"]);
        command
    };
    if !alone().args(["ip", "link", "set", "lo", "up"]).status().is_ok_and(|status| status.success()) {
        println!(
            "LEFT OUT: the container runtime of the cluster tests, which needs unshare, ip and namespaces for users"
        );
        return ExitCode::SUCCESS;
    }
    let this = std::env::current_exe().unwrap();
    let ended = alone().arg(this).args(std::env::args_os().skip(1)).env(INSIDE, "1").status();
    if ended.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
