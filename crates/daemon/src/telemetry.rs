//! Log lines: which, and in what form.

mod people;

use std::fs::File;
use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;

use anyhow::Context as _;
use tracing_subscriber::filter::LevelFilter;
pub use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use people::ForPeople;

use crate::{Problems, Vars};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// For a machine: one JSON object a line.
    Json,
}

/// What to log and how, on standard error.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Which lines, by target.
    pub filter: Targets,
    /// Their form.
    pub format: LogFormat,
    /// Whether text has colours.
    pub colour: bool,
}

impl Telemetry {
    /// Reads `LOG` (a level, or levels by target; `info`) and `LOG_FORMAT` (`text` on a terminal, else `json`). Colours
    /// are for a terminal without [`NO_COLOR`](https://no-color.org).
    pub fn parse(vars: &Vars, problems: &mut Problems) -> Option<Self> {
        Self::parse_with(vars, quieted(Targets::new().with_default(tracing::Level::INFO)), problems)
    }

    /// The same, with other levels where `LOG` says none: for a program in which several run that are chatty together.
    pub fn parse_with(vars: &Vars, usual: Targets, problems: &mut Problems) -> Option<Self> {
        let by_default = if stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
        let levels = "error, warn, info, debug, trace or off; also by target: info,forward=debug";
        let filter = problems.or_default(vars, "LOG", usual, levels, filter);
        let format = problems.or_default(vars, "LOG_FORMAT", by_default, "text or json", |value| match value {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither"),
        });
        let colour = stderr().is_terminal() && vars.get("NO_COLOR").is_none_or(str::is_empty);
        Some(Self { filter: filter?, format: format?, colour })
    }

    /// From now on, what the process logs is written. Once per process.
    ///
    /// # Errors
    /// If something else in this process already takes the log lines.
    pub fn init(self) -> anyhow::Result<()> {
        self.init_on(stderr)
    }

    /// The same, into a file: for a program whose terminal shows something else.
    ///
    /// # Errors
    /// As for [`Self::init`].
    pub fn init_into(self, file: File) -> anyhow::Result<()> {
        self.init_on(Arc::new(file))
    }

    fn init_on(self, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> anyhow::Result<()> {
        let lines = fmt::layer().with_writer(writer);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(self.colour).event_format(ForPeople).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let lines = tracing_subscriber::registry().with(lines.with_filter(self.filter));
        lines.try_init().context("log lines are taken already")
    }
}

/// `Targets` takes any word for a target at level TRACE, so a misspelt level would log everything. Each part that has no
/// `=` must be a level.
fn filter(value: &str) -> Result<Targets, String> {
    for part in value.split(',').filter(|part| !part.contains('=')) {
        let level: Result<LevelFilter, _> = part.trim().parse();
        level.map_err(|_| format!("{part:?} is not a level"))?;
    }
    let filter: Targets = value.parse().map_err(|error| format!("{error}"))?;
    let is_asked_for = NOISY.iter().any(|noisy| value.contains(noisy));
    Ok(if is_asked_for { filter } else { quieted(filter) })
}

/// Libraries that log each failed try as an error. Whoever makes the call says once that it fails, and once that it does not
/// any more; while an API server is away hundreds of watches are tried each second. `LOG=info,kube_client=debug` shows them.
const NOISY: [&str; 2] = ["kube_client", "kube_runtime"];

fn quieted(filter: Targets) -> Targets {
    NOISY.iter().fold(filter, |filter, noisy| filter.with_target(*noisy, LevelFilter::OFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_a_fault_and_not_a_target() {
        let mut problems = Problems::none();
        let vars = Vars::from([("LOG", "inof"), ("LOG_FORMAT", "xml")]);
        assert!(Telemetry::parse(&vars, &mut problems).is_none());
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["LOG", "LOG_FORMAT"]);
    }

    #[test]
    fn a_library_that_logs_each_failed_try_is_heard_only_if_asked_for() {
        let hears = |vars: Vars| {
            let telemetry = Telemetry::parse(&vars, &mut Problems::none()).unwrap();
            telemetry.filter.would_enable("kube_client::client::builder", &tracing::Level::ERROR)
        };
        assert!(!hears(Vars::from([])));
        assert!(!hears(Vars::from([("LOG", "debug")])));
        assert!(hears(Vars::from([("LOG", "info,kube_client=debug")])));
    }

    #[test]
    fn levels_by_target_are_understood() {
        let mut problems = Problems::none();
        let vars = Vars::from([("LOG", "warn,forward=debug"), ("LOG_FORMAT", "json")]);
        let telemetry = Telemetry::parse(&vars, &mut problems).unwrap();
        assert_eq!(telemetry.format, LogFormat::Json);
        assert!(telemetry.filter.would_enable("forward", &tracing::Level::DEBUG));
        assert!(!telemetry.filter.would_enable("activator", &tracing::Level::INFO));
    }
}
