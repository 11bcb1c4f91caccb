//! What all activators counted of one revision, since the split became what it is.
//!
//! Each says what it counted in all in its run: since it started, or since the split changed. So nothing is ever
//! subtracted: the last word of each counts, and what was said last of a run that is over is kept beside. A word that was
//! lost loses nothing, and who begins to listen late hears all that was counted in runs that still go on.
//!
//! Activators learn of a change one after the other. The split that most of them are at counts; of two with as many, the
//! one that was heard of last.

use std::collections::BTreeMap;
use std::sync::Arc;

use units::Moment;

use super::sums::Sums;

/// What one activator counted, in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Drawn when it began to count from zero.
    pub run: u64,
    /// The name of the split, by [`name_of_split`](super::name_of_split).
    pub split: u64,
    /// When that was.
    pub began: Moment,
    /// What it counted since.
    pub sums: Sums,
}

/// The time of one split.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Its name.
    pub split: u64,
    /// When the first began to count in it, of those that were heard.
    pub since: Moment,
    /// What was counted in it.
    pub sums: Sums,
}

/// What all of them counted.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    last: BTreeMap<Arc<str>, Reading>,
    /// With what those counted that are gone. At least that which counts; others while somebody is at them.
    periods: Vec<Period>,
}

impl Ledger {
    /// An activator said what it counted; `None` if it compares nothing here.
    pub fn say(&mut self, activator: &Arc<str>, reading: Option<Reading>) {
        let Some(reading) = reading else {
            self.last.remove(activator);
            if self.last.is_empty() {
                self.periods.clear();
            }
            return;
        };
        match self.periods.iter_mut().find(|period| period.split == reading.split) {
            Some(period) => period.since = period.since.min(reading.began),
            None => self.periods.push(Period { split: reading.split, since: reading.began, sums: Sums::default() }),
        }
        if self.last.get(activator).is_none_or(|last| last.run != reading.run) {
            self.forget(activator);
        }
        self.last.insert(Arc::clone(activator), reading);
        self.forget_what_is_over();
    }

    /// An activator is gone. What it counted stays.
    pub fn forget(&mut self, activator: &str) {
        let Some(gone) = self.last.remove(activator) else { return };
        if let Some(period) = self.periods.iter_mut().find(|period| period.split == gone.split) {
            period.sums = period.sums.and(&gone.sums);
        }
    }

    /// The split that counts, and all that was counted in it.
    pub fn now(&self) -> Option<Period> {
        let period = self.counts()?;
        let here = self.last.values().filter(|reading| reading.split == period.split);
        let sums = here.fold(period.sums.clone(), |sums, reading| sums.and(&reading.sums));
        Some(Period { sums, ..period.clone() })
    }

    fn at(&self, split: u64) -> usize {
        self.last.values().filter(|reading| reading.split == split).count()
    }

    fn counts(&self) -> Option<&Period> {
        // Of equal ones the last in the list, and that is the newest.
        self.periods.iter().max_by_key(|period| self.at(period.split))
    }

    fn forget_what_is_over(&mut self) {
        let Some(split) = self.counts().map(|period| period.split) else { return };
        let last = &self.last;
        let is_at = |other| last.values().any(|reading| reading.split == other);
        self.periods.retain(|period| period.split == split || is_at(period.split));
    }
}
