//! Plays the golden vectors that are this crate's: one module for each set.

mod capacity;
mod lb_policy;

use std::process::ExitCode;

use golden::Owner;

fn main() -> ExitCode {
    golden::main(Owner::Balance, &[("lb_policy", lb_policy::play), ("capacity", capacity::play)])
}
