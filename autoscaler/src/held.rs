//! What activators hold for a revision without a usable replica: the level of its wake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use units::Moment;

/// For how long a wake stands for itself. It is repeated every 250 ms while something is held, so one that was not
/// repeated four times in a row is over, or its activator is gone and holds nothing any more.
const STANDS: Duration = Duration::from_secs(1);

/// The level, by activator.
#[derive(Debug, Default)]
pub(crate) struct Held(BTreeMap<Arc<str>, (u32, Moment)>);

impl Held {
    /// A wake came.
    pub(crate) fn wake(&mut self, activator: Arc<str>, held: u32, at: Moment) {
        self.0.insert(activator, (held, at));
    }

    /// A frame says that this activator holds nothing now.
    pub(crate) fn nothing_at(&mut self, activator: &str) {
        self.0.remove(activator);
    }

    /// How many are held now.
    pub(crate) fn level(&mut self, now: Moment) -> u32 {
        self.0.retain(|_, (_, at)| now.since(*at) < STANDS);
        self.0.values().fold(0, |sum, (held, _)| sum.saturating_add(*held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix_millis(millis)
    }

    #[test]
    fn each_activator_counts_once_until_it_holds_nothing_or_falls_silent() {
        let mut held = Held::default();
        held.wake("a".into(), 2, at(0));
        held.wake("b".into(), 3, at(0));
        held.wake("a".into(), 4, at(250));
        assert_eq!(held.level(at(250)), 7);
        held.nothing_at("a");
        assert_eq!(held.level(at(250)), 3);
        assert_eq!(held.level(at(1_000)), 0);
    }
}
