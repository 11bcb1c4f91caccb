//! The shared reader of the golden vectors: what Knative's own code answered to chosen inputs.
//!
//! Each crate that owns sets has a test target `golden` without a harness, whose `main` is one call of [`main`] with a
//! function for every set it plays. The reader goes through the directory, passes over the sets of siblings, skips
//! lines marked `non_finite`, and counts. It fails on a file that is not on the list of [`SETS`], on an own set that is
//! missing, on a kind that nobody plays, and on whatever a player refuses; so nothing is passed over by mistake.
//!
//! The vectors are those of `GOLDEN_DIR` (relative: to the root of the workspace), else the copy in `vectors/`. Files
//! may be `.jsonl` or `.jsonl.gz`. Nothing depends on how many lines there are.
//!
//! What the fields mean is not here: a player reads its own lines, see [`case`].

mod files;
mod marks;
mod sets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use marks::{Marks, Tolerance};
pub use sets::{Owner, Played, SETS, Set};

/// Plays one line: gives its inputs to the code, compares each answer with [`Marks`]. An `Err` is the finding.
pub type Play = fn(line: &Value, marks: &mut Marks) -> Result<(), String>;

/// The most findings that are printed of one set.
const SHOWN: usize = 10;

/// A line, or a part of it, as the player's own type.
///
/// # Errors
/// If a field is missing or of another type, in a sentence that names it.
pub fn case<T: DeserializeOwned>(line: &Value) -> Result<T, String> {
    T::deserialize(line).map_err(|error| format!("cannot be read: {error}"))
}

/// Plays every set of `owner` that has a player, prints a line for each, and says which are PENDING.
///
/// Positional arguments of the process select sets by a part of their name, as they do for other tests.
#[expect(clippy::disallowed_methods, reason = "the one place where the reader is told which vectors to read")]
pub fn main(owner: Owner, players: &[(&str, Play)]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let directory = files::directory(std::env::var("GOLDEN_DIR").ok());
    match files::find(&directory) {
        Ok(found) => play_all(owner, players, &found, &wanted),
        Err(error) => {
            println!("golden: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play_all(owner: Owner, players: &[(&str, Play)], found: &files::Found, wanted: &[&str]) -> ExitCode {
    let mut failed = false;
    for (name, _) in players {
        if !SETS.iter().any(|set| set.name == *name && set.concerns(owner)) {
            println!("{name}: FAILED: {owner:?} has a player for it, but it is not one of its sets");
            failed = true;
        }
    }
    let own = SETS.iter().filter(|set| set.concerns(owner));
    for set in own.filter(|set| wanted.is_empty() || wanted.iter().any(|part| set.name.contains(part))) {
        let play = players.iter().find(|(name, _)| *name == set.name).map(|(_, play)| *play);
        let result = found.lines(set.name).map(|lines| play_set(owner, set, play, &lines));
        match result {
            Ok(report) => {
                println!("{}", report.summary(set.name, play.is_none()));
                for finding in report.findings.iter().take(SHOWN) {
                    println!("  {finding}");
                }
                if SHOWN < report.findings.len() {
                    println!("  … and {} more", report.findings.len() - SHOWN);
                }
                failed |= !report.findings.is_empty();
            }
            Err(error) => {
                println!("{}: FAILED: {error}", set.name);
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What came of one set.
#[derive(Debug, Default)]
struct Report {
    lines: u64,
    compared: u64,
    non_finite: u64,
    of_siblings: u64,
    findings: Vec<String>,
}

impl Report {
    fn summary(&self, name: &str, pending: bool) -> String {
        let mut text = if pending {
            format!("PENDING {name}: {} lines, nothing compared", self.lines)
        } else if self.findings.is_empty() {
            format!("{name}: {} lines, {} outputs compared", self.lines, self.compared)
        } else {
            format!("{name}: FAILED {} of {} lines", self.findings.len(), self.lines)
        };
        if 0 < self.non_finite {
            text += &format!(", {} skipped as non_finite", self.non_finite);
        }
        if 0 < self.of_siblings {
            text += &format!(", {} left to siblings", self.of_siblings);
        }
        text
    }
}

fn play_set(owner: Owner, set: &Set, play: Option<Play>, lines: &[String]) -> Report {
    let mut report = Report::default();
    for (index, text) in lines.iter().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let place = format!("{} line {}", set.name, index + 1);
        let line: Value = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) => {
                report.findings.push(format!("{place}: not JSON: {error}"));
                continue;
            }
        };
        match player_of(set, &line) {
            Err(error) => report.findings.push(format!("{place}: {error}")),
            Ok(player) if player != owner => report.of_siblings += 1,
            Ok(_) if line.get("non_finite").and_then(Value::as_bool) == Some(true) => report.non_finite += 1,
            Ok(_) => {
                report.lines += 1;
                let Some(play) = play else { continue };
                let mut marks = Marks::default();
                let outcome = catch_unwind(AssertUnwindSafe(|| play(&line, &mut marks)))
                    .unwrap_or_else(|_| Err("panicked".to_owned()));
                report.compared += marks.compared();
                if let Err(finding) = outcome {
                    let name = line.get("name").and_then(Value::as_str).unwrap_or("without a name");
                    report.findings.push(format!("{place} ({name}){}: {finding}", marks.place()));
                }
            }
        }
    }
    report
}

fn player_of(set: &Set, line: &Value) -> Result<Owner, String> {
    match set.played {
        Played::By(owner) => Ok(owner),
        Played::ByKind(kinds) => {
            let kind = line.get("kind").and_then(Value::as_str).ok_or("has no `kind`")?;
            let known = kinds.iter().find(|(name, _)| *name == kind);
            known.map(|(_, owner)| *owner).ok_or_else(|| format!("kind `{kind}` is played by nobody"))
        }
    }
}

#[cfg(test)]
mod tests;
