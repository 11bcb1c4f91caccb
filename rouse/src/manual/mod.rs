//! `rouse completions` and `rouse man`: what shells and `man` know of the flags, made from the flags.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

/// Write what a shell needs to complete commands and flags
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

const COMPLETIONS: &str = "\
Examples:
  source <(rouse completions bash)                                         in this shell; or in ~/.bashrc
  rouse completions zsh > \"${fpath[1]}/_rouse\"                             for new ones; after compinit
  rouse completions fish > ~/.config/fish/completions/rouse.fish";

/// Write the manual page, or a page for each command
#[derive(Debug, clap::Args)]
#[command(after_help = MAN)]
pub(crate) struct ManArgs {
    /// Write rouse.1, rouse-up.1 and so on into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const MAN: &str = "\
Examples:
  rouse man | man -l -
  rouse man --out ~/.local/share/man/man1";

/// Writes completions to standard output.
///
/// # Errors
/// If nothing can be written.
pub(crate) fn completions(args: &Completions) -> anyhow::Result<()> {
    let shell = match args.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rouse", &mut text);
    say(&text)
}

/// Writes the manual.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut command = Cli::command();
    // Names in full (`rouse-up`) and help commands are put in when it is built.
    command.build();
    let Some(folder) = &args.out else { return say(&page(command)?) };
    fs::create_dir_all(folder).with_context(|| format!("--out {}", folder.display()))?;
    let commands: Vec<Command> = command.get_subcommands().filter(|one| one.get_name() != "help").cloned().collect();
    write(folder, command)?;
    commands.into_iter().try_for_each(|command| write(folder, command))
}

fn write(folder: &Path, command: Command) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let file = folder.join(format!("{name}.1"));
    fs::write(&file, page(command)?).with_context(|| format!("--out {}", file.display()))
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    Ok(text)
}

fn say(text: &[u8]) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
