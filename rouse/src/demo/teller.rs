//! Tells a demonstration while it goes on: as a live view on a terminal, as lines anywhere else.

use std::time::Duration;

use super::watch::Seen;
use super::{plain, print, story};
use crate::view::{Key, Model, Row, Screen};

/// Who is told.
pub(super) enum Teller {
    /// A person at a terminal.
    Live {
        /// The terminal.
        screen: Box<Screen>,
        /// Where the live page is.
        page: String,
    },
    /// A pipe, a file, a slow terminal.
    Lines(Lines),
}

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Lines {
    second: u64,
    part: &'static str,
    because: Option<String>,
}

impl Teller {
    /// Returns when the person at the terminal wants to leave; never, if there is none.
    pub(super) async fn wants_to_leave(&mut self) {
        match self {
            Self::Live { screen, .. } => while screen.key().await != Key::Quit {},
            Self::Lines(_) => std::future::pending().await,
        }
    }

    /// Tells what is seen now.
    ///
    /// # Errors
    /// If nothing can be written.
    pub(super) fn tell(&mut self, elapsed: Duration, seen: &Seen) -> anyhow::Result<()> {
        let (part, said) = story::part_at(elapsed);
        match self {
            Self::Live { screen, page } => {
                let row = |revision: &api::admin::Revision| Row {
                    revision: revision.clone(),
                    points: seen.points.clone(),
                    decisions: seen.decisions.clone(),
                    wakes: seen.wakes.clone(),
                };
                let model = Model {
                    title: format!("rouse demo   {page}"),
                    aside: format!("{} of about 46 s   q leaves", elapsed.as_secs()),
                    said: format!("{part}: {said}"),
                    rows: seen.revision().map(row).into_iter().collect(),
                    colour: Screen::has_colour(),
                    ..Model::default()
                };
                Ok(screen.draw(&model)?)
            }
            Self::Lines(told) => told.tell(elapsed, (part, said), seen),
        }
    }
}

impl Lines {
    /// Every two seconds, and when something else decides.
    fn tell(&mut self, elapsed: Duration, (part, said): (&'static str, &str), seen: &Seen) -> anyhow::Result<()> {
        let because = seen.revision().and_then(|revision| revision.because.clone());
        if self.part != part {
            print(&format!("\n{part}: {said}\n"))?;
        } else if elapsed.as_secs() < self.second + 2 && self.because == because {
            return Ok(());
        }
        *self = Self { second: elapsed.as_secs(), part, because };
        print(&format!("{}\n", plain::line(elapsed, seen)))
    }
}
