//! When something happened: what the API says, and what was seen.
//!
//! The API's times are whole seconds of another machine's clock: up to a second early, and off by however the two clocks
//! differ. Whatever was seen to happen, on a watch that had missed nothing, is dated by the moment at which it was seen,
//! which is late by milliseconds only and of the one clock that everything else here is measured by. Only of what
//! happened before anybody looked the API alone can tell; that is believed, but never to lie in the future.

use std::time::Duration;

use jiff::Timestamp;
use units::Moment;

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// Best known.
    pub(crate) moment: Moment,
    /// What the API said, in Unix seconds: the same again is the same happening.
    said: i64,
}

/// How an object came to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) now: Moment,
    /// It changed just now: it was told by a watch that had missed nothing.
    pub(crate) live: bool,
}

impl Stamp {
    /// As the API says. Without a word of it: long ago, for it happened before anybody looked.
    pub(crate) fn said(text: Option<&str>) -> Self {
        let said = text.and_then(|text| text.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second);
        let seconds = u64::try_from(said).unwrap_or_default();
        Self { moment: Moment::from_unix(Duration::from_secs(seconds)), said }
    }

    /// The same, `earlier` before.
    pub(crate) fn minus(self, earlier: i64) -> Self {
        let seconds = u64::try_from(earlier).unwrap_or_default();
        Self { moment: self.moment.minus(Duration::from_secs(seconds)), said: self.said.saturating_sub(earlier) }
    }

    /// Whole seconds from `earlier` to this, by the API; negative if it was before.
    pub(crate) fn seconds_after(self, earlier: Self) -> i64 {
        self.said.saturating_sub(earlier.said)
    }

    /// The best that is known: what was known before if this is the same happening, else by how it was seen.
    #[must_use]
    pub(crate) fn settled(self, before: Option<Self>, sight: Sight) -> Self {
        match before {
            Some(before) if before.said == self.said => before,
            Some(_) | None if sight.live => Self { moment: sight.now, ..self },
            Some(_) | None => Self { moment: self.moment.min(sight.now), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_767_268_800;

    fn at_noon(plus_millis: u64) -> Moment {
        Moment::from_unix_millis(u64::try_from(NOON).unwrap() * 1_000 + plus_millis)
    }

    fn noon() -> Stamp {
        Stamp::said(Some("2026-01-01T12:00:00Z"))
    }

    #[test]
    fn what_was_there_before_anybody_looked_is_dated_by_the_api() {
        let sight = Sight { now: at_noon(5_000), live: false };
        assert_eq!(noon().settled(None, sight).moment, at_noon(0));
    }

    #[test]
    fn nothing_that_is_there_happened_in_the_future() {
        let sight = Sight { now: at_noon(0).minus(Duration::from_secs(9)), live: false };
        assert_eq!(noon().settled(None, sight).moment, sight.now);
    }

    #[test]
    fn what_was_seen_to_happen_is_dated_by_when_it_was_seen() {
        let sight = Sight { now: at_noon(730), live: true };
        assert_eq!(noon().settled(None, sight).moment, at_noon(730));
    }

    #[test]
    fn the_same_happening_seen_again_keeps_its_moment() {
        let first = noon().settled(None, Sight { now: at_noon(730), live: true });
        assert_eq!(noon().settled(Some(first), Sight { now: at_noon(9_000), live: true }), first);
        assert_eq!(noon().settled(Some(first), Sight { now: at_noon(9_000), live: false }), first);
    }

    #[test]
    fn a_time_that_is_none_breaks_nothing() {
        for text in ["", "yesterday", "-009999-01-01T00:00:00Z", "99999999999999-01-01T00:00:00Z"] {
            let _ = Stamp::said(Some(text)).minus(i64::MAX).settled(None, Sight { now: at_noon(0), live: false });
        }
    }
}
