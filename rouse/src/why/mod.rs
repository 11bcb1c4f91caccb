//! `rouse why`: what a revision wants, what it sees, which rule decided, and what would have to change.
//!
//! Here: the flags, and what is asked of the admin port. What is said of it: `tell`, and of the rule that decided:
//! `reason`; of how it did beside others: `beside`; of a shadow: `shadow`.

mod beside;
mod reason;
mod shadow;
mod tell;
mod words;

use std::io::Write as _;

use api::admin::{DecisionList, ShadowList, WakeList};
pub(crate) use shadow::{fates, quantiles};
use tell::Beside;
pub(crate) use tell::headline;

use crate::admin::typed;
use crate::find::{About, path};

/// Say why a revision has as many replicas as it has, and what would have to change for more, fewer or none
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    about: About,
    /// `json` for what it is said from: the revision with its outlook, its last decision, its last wake, how it did beside
    /// others, and what it is the shadow of
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

const EXAMPLES: &str = "\
Examples:
  rouse why                     every revision
  rouse why recommender-v1      one
  rouse why shop/iris           all revisions of an endpoint, and how they did beside each other

Times of day are UTC, as in the log.";

/// Does what the flags say.
///
/// # Errors
/// If nothing answers, or there is no such revision.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.about.asked.server()?;
    let width = crate::text::columns();
    let text = daemon::runtime(1)?.block_on(async {
        let mut told = Vec::new();
        let mut all = Vec::new();
        let endpoints = args.about.endpoints(&server).await?;
        // Only where the activator is, too: on one machine.
        let shadows = server.find("/api/v1/shadows").await?;
        let shadows = shadows.map(typed::<ShadowList>).transpose()?.unwrap_or_default().shadows;
        for (revision, outcomes) in endpoints
            .iter()
            .flat_map(|endpoint| endpoint.revisions.iter().map(|revision| (revision, endpoint.outcomes.as_ref())))
        {
            let decisions = typed::<DecisionList>(server.get(&path(revision, "decisions")).await?)?.decisions;
            let wakes = typed::<WakeList>(server.get(&path(revision, "wakes")).await?)?.wakes;
            let shadow = shadows.iter().find(|it| (&it.namespace, &it.name) == (&revision.namespace, &revision.name));
            told.push(tell::tell(revision, &decisions, &wakes, Beside { outcomes, shadow }, width));
            all.push(serde_json::json!({
                "revision": revision, "decision": decisions.last(), "wake": wakes.last(),
                "outcomes": outcomes, "shadow": shadow, "told": told.last(),
            }));
        }
        let json = args.output == "json";
        anyhow::Ok(if json { format!("{}\n", serde_json::to_string_pretty(&all)?) } else { told.join("\n") })
    })?;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
