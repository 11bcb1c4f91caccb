//! Plays the golden vectors that are this crate's: one module for each set, of the same name.

mod active_condition;
mod annotations;
mod capacity;
mod config_autoscaler;
mod deciders;
mod delay_window;
mod pipeline;
mod sample_size;
mod scaler;
mod scrape_average;
mod spec;
mod windows;

use std::process::ExitCode;

use golden::Owner;

fn main() -> ExitCode {
    golden::main(
        Owner::Kpa,
        &[
            ("windows", windows::play),
            ("delay_window", delay_window::play),
            ("deciders", deciders::play),
            ("pipeline", pipeline::play),
            ("sample_size", sample_size::play),
            ("scrape_average", scrape_average::play),
            ("capacity", capacity::play),
            ("active_condition", active_condition::play),
            ("scaler", scaler::play),
            ("annotations", annotations::play),
            ("config_autoscaler", config_autoscaler::play),
        ],
    )
}
