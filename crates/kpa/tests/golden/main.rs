//! Plays the golden vectors that are this crate's: one module for each set, of the same name.

mod sample_size;

use std::process::ExitCode;

use golden::Owner;

fn main() -> ExitCode {
    golden::main(Owner::Kpa, &[("sample_size", sample_size::play)])
}
