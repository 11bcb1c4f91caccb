//! `rouse`: the command line. This file only reads the flags and hands over.

mod admin;
mod allocator;
mod cli;
mod cluster;
mod demo;
mod find;
#[cfg(test)]
mod fixture;
mod get;
mod inject;
mod load;
mod manual;
mod predictor;
mod text;
mod top;
mod uninstall;
mod up;
mod view;
mod wakes;
mod why;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use cli::{Cli, Command};
use daemon::Exit;

fn main() -> ExitCode {
    // Before anything else: a keeper has one thread and reads no flags.
    if let Some(end) = local::keeper::run_if_asked() {
        return end;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut told) => {
            advise(&mut told);
            // Help and the version come this way too; only they are written to standard output.
            let end = if told.use_stderr() { Exit::BadInput } else { Exit::Done };
            // If nobody reads it any more there is nobody to tell.
            let _ = told.print();
            return end.into();
        }
    };
    let result = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Up(args) => up::run(args),
        Command::Get(args) => get::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Wakes(args) => wakes::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Predictor(args) => predictor::run(args),
        Command::Inject(args) => inject::run(&args),
        Command::Uninstall(args) => uninstall::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match result {
        // Told one a line, as compilers do, so that editors can jump to them.
        Err(error) if error.is::<api::Faults>() => {
            eprintln!("{error}");
            Exit::BadInput.into()
        }
        result => daemon::exit("rouse", result),
    }
}

/// The likeliest slip of all: a command without the two dashes before it.
fn advise(told: &mut clap::Error) {
    let Some(ContextValue::String(word)) = told.get(ContextKind::InvalidArg) else { return };
    let is_command = told.kind() == ErrorKind::UnknownArgument && !word.starts_with('-');
    if is_command && std::env::args_os().nth(1).is_some_and(|subcommand| subcommand == "up") {
        let tip = format!("a command goes behind two dashes: rouse up -- {word} ..");
        told.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}
