//! Plays the golden vectors that are this crate's: one module for each set.

mod breaker_set;
mod request_stats;

use std::process::ExitCode;

use golden::Owner;

fn main() -> ExitCode {
    golden::main(Owner::Breaker, &[("breaker", breaker_set::play), ("request_stats", request_stats::play)])
}
