//! `rouse top`: what all revisions are doing, as it happens.
//!
//! Here: the flags, and the loop of looking and showing. What is asked of the admin port: `look`. How it is seen is
//! `view`'s.

mod look;

use std::io::Write as _;
use std::time::Duration;

use daemon::{Draining, Stop};

use crate::admin::Server;
use crate::find::About;
use crate::view::{Key, Model, Screen, plain_lines, visible};

/// Watch what endpoints are asked, how many replicas they have, and why, in a live view
///
/// Where standard output is no terminal there is a line for each revision every two seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    about: About,
    /// A line for each revision, and no more
    #[arg(long)]
    once: bool,
    /// Lines also on a terminal
    #[arg(long)]
    plain: bool,
}

const EXAMPLES: &str = "\
Examples:
  rouse top                      everything; q leaves
  rouse top shop/iris            the revisions of one endpoint
  rouse top --once               a line for each revision, for a script
  rouse top | tee top.log        the same every two seconds

HERE are requests that are being worked on or held, HELD those that wait for a replica. READY is ready/wanted and +
starting. P99 is the worst of the last ten seconds. Colours are left out with NO_COLOR.";

/// How often is looked, and drawn.
const LIVE: Duration = Duration::from_millis(500);
/// How often lines are printed.
const LINES: Duration = Duration::from_secs(2);

/// Does what the flags say.
///
/// # Errors
/// If nothing answers at the beginning, or there is no such revision; without a terminal also later.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let server = args.about.asked.server()?;
    let vars = daemon::Vars::of_process();
    let is_live = !args.once && !args.plain && Screen::is_possible(vars.get("TERM"));
    daemon::runtime(1)?.block_on(async {
        let stop = Stop::on_signals()?;
        stop.guard(async |over: Draining| {
            tokio::select! {
                // Nothing is half done when it is dropped; the screen gives the terminal back.
                ended = async {
                    if is_live { live(args, &server).await } else { lines(args, &server).await }
                } => ended,
                // Being told to end is its end: there is nothing that it should have finished.
                () = over.begun() => Ok(()),
            }
        })
        .await
    })
}

async fn lines(args: &Args, server: &Server) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(LINES);
    loop {
        ticks.tick().await;
        let mut model = Model { rows: look::rows(&args.about, server).await?, ..Model::default() };
        let all = 0..model.rows.len();
        look::more(server, &mut model.rows, all, None).await?;
        let text = if model.rows.is_empty() { "no revisions\n".to_owned() } else { plain_lines(&model) };
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Who has seen enough need not be told so.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        if args.once {
            return Ok(());
        }
    }
}

async fn live(args: &Args, server: &Server) -> anyhow::Result<()> {
    let title = format!("rouse top  {}", server.name());
    let mut model = Model { title, colour: Screen::has_colour(), ..Model::default() };
    // That nobody is there is said on the terminal as it was, and not on one that is gone a moment later.
    model.rows = look::rows(&args.about, server).await?;
    let mut screen = Screen::enter()?;
    let mut ticks = tokio::time::interval(LIVE);
    // A terminal or a server that was slow for a while is not to be made up for.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => look(args, server, &mut model, screen.height()).await,
            key = screen.key() => {
                if is_end(&mut model, key) {
                    return Ok(());
                }
            }
        }
        screen.draw(&model)?;
    }
}

/// Looks once more. What was seen stays if nothing answers.
async fn look(args: &Args, server: &Server, model: &mut Model, height: u16) {
    let seen = async {
        let mut rows = look::rows(&args.about, server).await?;
        let selected = model.rows.get(model.selected).map(|row| row.revision.clone());
        // Who was selected stays so, also if others came or went before it.
        let place = rows.iter().position(|row| {
            selected
                .as_ref()
                .is_some_and(|one| (&one.namespace, &one.name) == (&row.revision.namespace, &row.revision.name))
        });
        let place = place.unwrap_or(model.selected.min(rows.len().saturating_sub(1)));
        let shown = visible(rows.len(), place, height);
        look::more(server, &mut rows, shown, Some(place)).await?;
        anyhow::Ok((rows, place))
    };
    match seen.await {
        Ok((rows, place)) => {
            (model.rows, model.selected, model.is_trouble) = (rows, place, false);
            model.said.clear();
        }
        Err(error) => (model.said, model.is_trouble) = (format!("{error:#}"), true),
    }
    let count = model.rows.len();
    model.aside = format!("{count} revision{}", if count == 1 { "" } else { "s" });
}

/// Does what a key says; is it the end?
fn is_end(model: &mut Model, key: Key) -> bool {
    let last = model.rows.len().saturating_sub(1);
    match (key, &mut model.decisions_after) {
        (Key::Quit, _) | (Key::Back, None) => return true,
        (Key::Back | Key::Open, after @ Some(_)) => *after = None,
        (Key::Open, after @ None) => *after = Some(0),
        (Key::Up, Some(after)) => *after = after.saturating_sub(1),
        (Key::Down, Some(after)) => {
            let decisions = model.rows.get(model.selected).map_or(0, |row| row.decisions.len());
            *after = (*after + 1).min(decisions.saturating_sub(1));
        }
        (Key::Up, None) => model.selected = model.selected.saturating_sub(1),
        (Key::Down, None) => model.selected = (model.selected + 1).min(last),
        (Key::Resized, _) => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Row;

    fn model() -> Model {
        let row = |name: &str| Row {
            revision: api::admin::Revision { name: name.to_owned(), ..crate::fixture::revision() },
            points: Vec::new(),
            decisions: vec![crate::fixture::decision(kpa::Because::Steady, 1); 3],
            wakes: Vec::new(),
        };
        Model { rows: vec![row("a"), row("b")], ..Model::default() }
    }

    #[test]
    fn keys_select_open_scroll_and_go_back_before_they_leave() {
        let mut model = model();
        for key in [Key::Up, Key::Down, Key::Down, Key::Open, Key::Down, Key::Down, Key::Down, Key::Down] {
            assert!(!is_end(&mut model, key), "{key:?}");
        }
        assert_eq!((model.selected, model.decisions_after), (1, Some(2)));
        assert!(!is_end(&mut model, Key::Back), "it goes back first");
        assert!(is_end(&mut model, Key::Back));
    }

    #[test]
    fn quitting_is_quitting_wherever_one_is() {
        assert!(is_end(&mut model(), Key::Quit));
        assert!(is_end(&mut Model { decisions_after: Some(0), ..model() }, Key::Quit));
    }
}
