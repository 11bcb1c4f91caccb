//! The live view of a terminal: what `rouse top` and `rouse demo` show while something happens.
//!
//! Whoever looks fills a [`Model`], plain data; what is seen of it is a pure function of it:
//!
//! ```text
//! let mut screen = Screen::enter()?;         // only if Screen::is_possible(); left again when it is dropped
//! screen.draw(&model)?;                      // writes only the cells that changed
//! let key = screen.key().await;              // Key::Quit is q and Ctrl-C: the latter is no signal in here
//!
//! fn draw(frame: &mut Frame<'_>, model: &Model)                   // what Screen::draw does, for any backend
//! fn plain_lines(model: &Model) -> String                         // a line for each row, where there is no terminal
//! fn visible(rows: usize, selected: usize, height: u16) -> Range  // which rows a screen of that height shows
//! ```
//!
//! A frame of it is a few hundred bytes when little changed. How often one is drawn is the caller's: twice a second is
//! readable also where only 4 KiB a second get through.

mod chart;
mod draw;
mod plain;
mod screen;

use std::ops::Range;

use api::admin::{Decision, Point, Revision, Wake};

pub(crate) use draw::draw;
pub(crate) use plain::plain_lines;
pub(crate) use screen::{Key, Screen};

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// The first line, on the left: who shows this, and of whom.
    pub(crate) title: String,
    /// The first line, on the right.
    pub(crate) aside: String,
    /// The second line: what is going on now.
    pub(crate) said: String,
    /// Is what is said a fault?
    pub(crate) is_trouble: bool,
    /// One line of the table each.
    pub(crate) rows: Vec<Row>,
    /// The row of which more is shown.
    pub(crate) selected: usize,
    /// Only that row, with all of its decisions, the newest so many left out.
    pub(crate) decisions_after: Option<usize>,
    /// May colours be used?
    pub(crate) colour: bool,
}

/// A revision, and what is known of its past. What was not asked for is empty.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) revision: Revision,
    /// A point a second, newest last.
    pub(crate) points: Vec<Point>,
    /// Newest last.
    pub(crate) decisions: Vec<Decision>,
    /// Newest last.
    pub(crate) wakes: Vec<Wake>,
}

impl Row {
    /// Its latest point.
    fn now(&self) -> Option<&Point> {
        self.points.last()
    }

    /// Median and 99th percentile of the last seconds in which anything ended; the worst of them.
    fn latency(&self) -> (Option<f64>, Option<f64>) {
        let worst = |quantile: fn(&Point) -> Option<f64>| {
            self.points.iter().rev().take(LATENCY_SECONDS).filter_map(quantile).reduce(f64::max)
        };
        (worst(|point| point.p50_seconds), worst(|point| point.p99_seconds))
    }

    /// `3/5 +2`: ready, wanted, and on their way.
    fn replicas(&self) -> String {
        let revision = &self.revision;
        let desired = revision.desired_replicas.map_or("?".to_owned(), |desired| desired.to_string());
        match revision.starting_replicas {
            0 => format!("{}/{desired}", revision.ready_replicas),
            starting => format!("{}/{desired} +{starting}", revision.ready_replicas),
        }
    }
}

/// An answer a second says little by itself; an older one says nothing of now.
const LATENCY_SECONDS: usize = 10;

/// Lines above and below the table: title, what is said, the table's own titles, and the keys.
const AROUND_TABLE: u16 = 4;

/// Which rows are on a screen of so many lines; at most half of it is theirs.
pub(crate) fn visible(rows: usize, selected: usize, height: u16) -> Range<usize> {
    let room = usize::from(height.saturating_sub(AROUND_TABLE) / 2).clamp(1, rows.max(1));
    let first = (selected + 1).saturating_sub(room);
    first..(first + room).min(rows)
}

#[cfg(test)]
mod tests;
