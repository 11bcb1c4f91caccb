//! The programs on a real Kubernetes control plane, with a real kubelet and real clients. `make test-cluster` runs them.

use std::process::ExitCode;

mod addresses;
mod canary;
mod containers;
mod ending;
mod faults;
mod fewer;
mod forged;
mod ground;
mod injection;
mod kserve;
mod leading;
mod leaving;
mod objects;
mod orders;
mod paths;
mod pods;
mod rights;
mod rollout;
mod routes;
mod shadow;
mod taking_over;
mod trusting;
mod watching;
mod zero;

fn main() -> ExitCode {
    // In this order: what the programs did is looked at when they have done everything, but before an API server that has
    // just started forbids what it allows a moment later; and then they are uninstalled.
    cluster::suite::run(&[
        ground::TESTS,
        pods::TESTS,
        containers::TESTS,
        leading::TESTS,
        orders::TESTS,
        routes::TESTS,
        watching::TESTS,
        objects::TESTS,
        zero::TESTS,
        addresses::TESTS,
        canary::TESTS,
        shadow::TESTS,
        taking_over::TESTS,
        fewer::TESTS,
        paths::TESTS,
        injection::TESTS,
        ending::TESTS,
        rollout::TESTS,
        kserve::TESTS,
        faults::TESTS,
        trusting::TESTS,
        forged::TESTS,
        leaving::TOLD,
        rights::TESTS,
        faults::CONTROL_PLANE,
        leaving::UNINSTALLED,
    ])
}
