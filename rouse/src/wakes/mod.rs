//! `rouse wakes`: each way from zero to a ready replica, with its parts and who asked.

use std::fmt::Write as _;
use std::io::Write as _;

use api::admin::{Revision, Wake, WakeList};
use loadtest::results::time;

use crate::admin::typed;
use crate::find::{About, full, path};

/// Show the last wakes of a revision: how long each part took, who asked, and how it ended
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    about: About,
    /// `json` as the admin port says it
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    output: String,
}

const EXAMPLES: &str = "\
Examples:
  rouse wakes                      of every revision, the last 64 each, newest last
  rouse wakes recommender-v1       of one
  rouse wakes shop/iris -o json

ORDERED, STARTED and READY count from the first request that was held: until replicas were ordered, until the process of
the first one ran, and until it was ready. In the bar: = ordered, - started, # loading until ready.
Times of day are UTC, as in the log.";

/// Does what the flags say.
///
/// # Errors
/// If nothing answers, or there is no such revision.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.about.asked.server()?;
    let text = daemon::runtime(1)?.block_on(async {
        let mut text = String::new();
        let mut all = Vec::new();
        for revision in args.about.revisions(&server).await? {
            let list: WakeList = typed(server.get(&path(&revision, "wakes")).await?)?;
            text += &table(&revision, &list.wakes);
            all.push(serde_json::json!({
                "namespace": revision.namespace, "name": revision.name, "wakes": list.wakes,
            }));
        }
        let json = args.output == "json";
        anyhow::Ok(if json { format!("{}\n", serde_json::to_string_pretty(&all)?) } else { text })
    })?;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// The widest bar.
const BAR: f64 = 24.0;

fn table(revision: &Revision, wakes: &[Wake]) -> String {
    let name = full(&revision.namespace, &revision.name);
    if wakes.is_empty() {
        return format!("{name} has not been woken yet\n");
    }
    let longest = wakes.iter().filter_map(|wake| wake.ready_seconds).fold(0.0, f64::max);
    // Writing to a String cannot fail.
    let mut text = format!("{name}\n");
    let _ = writeln!(
        text,
        "{:<12} {:>4} {:>9} {:>9} {:>9}  {:<9} {:<24}  ASKED BY",
        "AT", "HELD", "ORDERED", "STARTED", "READY", "OUTCOME", ""
    );
    for wake in wakes {
        let phase = |seconds: Option<f64>| seconds.map_or("-".to_owned(), time);
        let outcome = wake.outcome.as_deref().unwrap_or("under way");
        let request = wake.request_id.as_ref().map_or(String::new(), |id| format!(", request {id}"));
        // The time of day is enough: the ring holds the last few.
        let at = wake.at.get(11..23).unwrap_or(&wake.at);
        let _ = writeln!(
            text,
            "{at:<12} {:>4} {:>9} {:>9} {:>9}  {outcome:<9} {:<24}  {}{request}",
            wake.held_requests,
            phase(wake.ordered_seconds),
            phase(wake.started_seconds),
            phase(wake.ready_seconds),
            bar(wake, longest),
            wake.asked_by,
        );
        if let Some(reason) = &wake.reason {
            let _ = writeln!(text, "{:<12} {reason}", "");
        }
    }
    text
}

/// The parts, as long as they took.
fn bar(wake: &Wake, longest: f64) -> String {
    let mut bar = String::new();
    let mut before = 0.0;
    for (until, sign) in [(wake.ordered_seconds, "="), (wake.started_seconds, "-"), (wake.ready_seconds, "#")] {
        let Some(until) = until else { break };
        let share = (until / longest.max(f64::MIN_POSITIVE) * BAR).min(BAR).round();
        bar += &sign.repeat((share - before).max(0.0) as usize);
        before = share.max(before);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(parts: [Option<f64>; 3], outcome: Option<&str>, reason: Option<&str>) -> Wake {
        Wake {
            at: "2026-01-02T03:04:05.678Z".to_owned(),
            asked_by: "activator".to_owned(),
            request_id: Some("demo-1".to_owned()),
            held_requests: 3,
            ordered_seconds: parts[0],
            started_seconds: parts[1],
            ready_seconds: parts[2],
            outcome: outcome.map(str::to_owned),
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn each_wake_is_a_line_with_its_parts_and_a_failed_one_says_why() {
        let revision = crate::fixture::revision();
        let wakes = [
            wake([Some(0.0005), Some(0.5), Some(1.0)], Some("served"), None),
            wake([Some(0.001), Some(0.25), None], Some("failed"), Some("it exited with status 1")),
        ];
        assert_eq!(
            table(&revision, &wakes),
            "\
iris-v1
AT           HELD   ORDERED   STARTED     READY  OUTCOME                             ASKED BY
03:04:05.678    3    0.5 ms    500 ms     1.0 s  served    ------------############  activator, request demo-1
03:04:05.678    3    1.0 ms    250 ms         -  failed    ------                    activator, request demo-1
             it exited with status 1
"
        );
    }
}
