//! The runtime as a kubelet sees it: the real server in namespaces of its own, and a client that calls in a kubelet's order.
//!
//! This program starts itself again under `unshare`, since a namespace for users can only be made by a process with one
//! thread. Where that is forbidden it says so and leaves all out.

#[path = "kubelet/client.rs"]
mod client;
#[path = "kubelet/stories.rs"]
mod stories;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--in-namespaces") {
        return stories::play();
    }
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["-rnpmf", "--mount-proc", "--kill-child"]);
        command
    };
    let possible = alone().args(["ip", "link", "set", "lo", "up"]).status().is_ok_and(|status| status.success());
    if !possible {
        println!(
            "LEFT OUT: the container runtime of the cluster tests, which needs unshare and ip, and namespaces for users"
        );
        return ExitCode::SUCCESS;
    }
    let this = std::env::current_exe().expect("a program has a path");
    let ended = alone().arg(this).args(std::env::args().skip(1)).arg("--in-namespaces").status();
    if ended.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
