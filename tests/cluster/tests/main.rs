//! The programs on a real Kubernetes control plane, with a real kubelet and real clients. `make test-cluster` runs them.

use std::process::ExitCode;

mod containers;
mod ground;
mod leading;
mod orders;
mod pods;
mod zero;

fn main() -> ExitCode {
    cluster::suite::run(&[ground::TESTS, pods::TESTS, containers::TESTS, leading::TESTS, orders::TESTS, zero::TESTS])
}
