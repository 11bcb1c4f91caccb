//! The flags. What they mean is with who acts on them.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::{demo, get, inject, load, manual, predictor, top, uninstall, up, wakes, why};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Rouse wakes models on request: model servers that scale with the requests they hold, to zero and back
#[derive(Debug, Parser)]
#[command(name = "rouse", version, styles = STYLES, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What is to be done
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Try it, with nothing but this program:
  rouse demo                                                             # a model wakes, grows, shrinks and sleeps
  rouse up -- rouse predictor --service-time 200ms --port '$(PORT)'      # your own command goes behind the dashes
  curl -i http://127.0.0.1:8080/v1/models/any:predict -d '{\"instances\": [[1, 2]]}'     # wakes it
  rouse load spike http://127.0.0.1:8080                                 # asks it more than one replica can do
  rouse top                                                              # meanwhile: what is asked and what runs
  rouse why                                                              # and why it is so many

Exit codes: 0 done, 1 failed, 64 bad input (all faults are told at once), 69 something needed is not there,
130 interrupted. LOG=debug says more; LOG_FORMAT=text or json.";

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Up(up::Args),
    Get(get::Args),
    Top(top::Args),
    Why(why::Args),
    Wakes(wakes::Args),
    Load(load::Args),
    Predictor(predictor::Args),
    Inject(inject::Args),
    Uninstall(uninstall::Args),
    Completions(manual::Completions),
    Man(manual::ManArgs),
}
