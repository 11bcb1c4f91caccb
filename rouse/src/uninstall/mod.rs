//! `rouse uninstall`: leave a cluster so that everything that was served goes on being served.

use std::time::Duration;

use crate::cluster::Way;

/// Leave a cluster: wake what is at zero, and lead each endpoint's Service straight to its heaviest revision
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    way: Way,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// How long a revision at zero is given until it has a ready replica
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    patience: Duration,
}

const EXAMPLES: &str = "\
Examples:
  rouse uninstall --dry-run     what would be done
  rouse uninstall               do it; may be done again if something stood in the way
  kubectl delete -k deploy/base     afterwards: nothing leads to Rouse any more

Autoscalers are ended first. Activators go on serving until they are deleted, so an endpoint that could not be left is
served as before; its revisions are not scaled any more.";

/// Does what the flags say.
///
/// # Errors
/// If the cluster does not answer, or an endpoint could not be left.
#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    use daemon::Unavailable;
    use kubernetes::{Leaving, uninstall};

    let leaving =
        Leaving { namespace: args.way.namespace().to_owned(), only_say: args.dry_run, patience: args.patience };
    let would = if args.dry_run { "would: " } else { "" };
    let left_behind = daemon::runtime(1)?.block_on(async {
        let client = args.way.client().await.map_err(|error| Unavailable(format!("{error:#}")))?;
        uninstall(&client, &leaving, &mut |step| eprintln!("{would}{step}")).await
    })?;
    if left_behind.is_empty() {
        eprintln!("{would}done; nothing leads to Rouse any more. Now: kubectl delete -k deploy/base");
        return Ok(());
    }
    for (endpoint, why) in &left_behind {
        eprintln!("{endpoint}: {why}");
    }
    anyhow::bail!("{} endpoints are still served by the activators; do not delete these", left_behind.len())
}

/// Says that it cannot.
#[cfg(not(feature = "cluster"))]
pub(crate) fn run(_: &Args) -> anyhow::Result<()> {
    Err(crate::cluster::built_without())
}
