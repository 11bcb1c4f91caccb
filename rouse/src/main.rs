//! `rouse`: the command line. This file only reads the flags and hands over.

mod predictor;

use std::process::ExitCode;

use clap::Parser as _;

#[derive(Debug, clap::Parser)]
#[command(name = "rouse", version, about = "Rouse wakes models on request")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Predictor(predictor::Args),
}

fn main() -> ExitCode {
    // Before anything else: a keeper has one thread and reads no flags.
    if let Some(end) = local::keeper::run_if_asked() {
        return end;
    }
    let result = match Cli::parse().command {
        Command::Predictor(args) => predictor::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}
