//! `rouse demo --shadow`: a model, and two candidates that get copies of what it is asked. One of them says the same, the
//! other does not; and no client waits for either.
//!
//! It writes a file and serves it as `rouse up -f` would. The file begins without shadows; they are written into it while load
//! runs, as anybody would (`story`). What comes of it is looked at on the admin port (`seen`), and told as it happens and at the end
//! (`told`, and the `report`).

mod report;
mod seen;
mod story;
mod told;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use loadtest::{Live, Options, Results, Target};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval};

use super::{Args, PATIENCE, START, hand_over, print, wall_clock, watch};
use crate::admin::Server;
use crate::text::share;
use crate::up;
use seen::Seen;
use story::Part;

/// What is served, in the end.
pub(super) const MODEL: &str = include_str!("shadow/model.yaml");

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// How long the last copies may take.
const LAST_COPIES: Duration = Duration::from_secs(10);

/// The load of a part, and what came of it.
struct Run {
    /// When it began, since the beginning of all.
    began: Duration,
    results: Results,
}

/// Writes the file that is served, as it begins.
///
/// # Errors
/// If it cannot be written.
pub(super) fn begin(file: &Path) -> anyhow::Result<()> {
    write(file, &story::without_shadows(MODEL))
}

/// Tells the story, and what came of it.
pub(super) async fn direct(args: &Args, addresses: oneshot::Receiver<up::Addresses>) -> anyhow::Result<()> {
    let file = &args.file;
    let addresses = tokio::time::timeout(START, addresses).await.context("no requests are taken")??;
    let page = format!("http://{}", addresses.admin);
    let admin = Server::parse(&page).context("the admin port's own address")?.with_patience(PATIENCE);
    eprintln!("live page  {page}");
    eprintln!("log        {}", args.log.display());
    eprintln!("the file   {}", file.display());
    let target = Target { address: addresses.listen, host: addresses.listen.to_string(), prefix: String::new() };
    tokio::time::timeout(START, watch::until_known(&admin)).await.context("the model is not known")??;
    let (begin, began) = (Instant::now(), wall_clock());
    let mut seen = Seen::default();
    let mut runs: Vec<Run> = Vec::new();
    for (number, part) in story::PARTS.iter().enumerate() {
        print(&told::heading(part, file))?;
        if part.has_shadows {
            write(file, MODEL)?;
            seen.note(begin.elapsed(), "two shadows", "They are in the file now, and get copies of every request.");
        }
        let run = Run {
            began: begin.elapsed(),
            results: ask(args, (number, part), &target, (&admin, begin), &mut seen).await?,
        };
        runs.push(run);
    }
    let last = tokio::time::timeout(LAST_COPIES, async {
        while !seen.has_all_ended() {
            tokio::time::sleep(EVERY).await;
            seen.look(&admin, begin.elapsed()).await?;
        }
        anyhow::Ok(())
    });
    if let Ok(ended) = last.await {
        ended?;
    }
    let (text, well) = told::summary(&runs, &seen);
    print(&text)?;
    hand_over(args, &page::report(&report::report(&runs, &seen, began)), well)
}

/// Asks as a part says, and looks and tells meanwhile.
async fn ask(
    args: &Args,
    (number, part): (usize, &Part),
    target: &Target,
    (admin, begin): (&Server, Instant),
    seen: &mut Seen,
) -> anyhow::Result<Results> {
    let load = story::load(part, args.seed + number as u64, args.brief);
    let (options, live) = (Options::usual(format!("demo-{}", part.name)), Live::default());
    let looking = async {
        let mut ticks = interval(EVERY);
        let mut lines = told::Lines::default();
        loop {
            ticks.tick().await;
            let news = seen.look(admin, begin.elapsed()).await?;
            print(&lines.line(begin.elapsed(), &live.snapshot(), &news, seen))?;
        }
    };
    tokio::select! {
        results = loadtest::run(&load, target, &options, &live) => results,
        // It goes on for as long as the load does, unless nothing answers.
        looked = looking => {
            let never: anyhow::Result<()> = looked;
            never?;
            bail!("looking ended before the load");
        }
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("--file {}", file.display()))
}

fn share_of(part: Option<f64>) -> String {
    part.map_or("–".to_owned(), share)
}

/// With two digits.
fn small(number: Option<f64>) -> String {
    number.map_or("–".to_owned(), |number| format!("{}", format!("{number:.1e}").parse().unwrap_or(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_two_digits() {
        assert_eq!([Some(0.000_398), Some(0.0394), Some(0.0), None].map(small), ["0.0004", "0.039", "0", "–"]);
    }
}
