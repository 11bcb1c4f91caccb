//! When it is worth to come back: from what was seen of a line, not from a constant.
//!
//! Two things are learned. How long it takes until somebody can go at all, where nobody can (a revision at zero that is
//! woken, a model that starts): the *start*. And how fast those who wait go, where somebody can: the *drain*.
//!
//! Not here: for how long anyone may wait, and what an autoscaler says about a start that failed; it knows better.

use std::time::Duration;

use units::Moment;

#[cfg(test)]
mod tests;

/// Sooner than this nobody is asked back: it is the least that `retry-after` can say.
pub const SOONEST: Duration = Duration::from_secs(1);
/// Later than this nobody is asked back. What was measured a minute ago says little of what is now, and who comes too
/// early is told again.
pub const LATEST: Duration = Duration::from_secs(60);

/// Over so many seconds the drain is averaged: longer than a burst of answers, shorter than what a person waits.
const MEMORY_S: f64 = 10.0;

/// What was seen of one line.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Somebody waits and nobody can go, since then.
    shut_since: Option<Moment>,
    /// What starts took.
    start: Option<Duration>,
    drain: Option<Drain>,
}

/// How many went, with those long ago counted less.
#[derive(Clone, Copy, Debug)]
struct Drain {
    first: Moment,
    last: Moment,
    went: f64,
}

impl Pace {
    /// Nothing was seen yet.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// From now on somebody waits, and nobody can go before something has started.
    pub fn shut(&mut self, now: Moment) {
        self.shut_since.get_or_insert(now);
    }

    /// It has started: from now on they go. A start that took longer is believed at once, one that took less bit by bit:
    /// who comes too late has lost less than who comes in vain.
    pub fn opened(&mut self, now: Moment) {
        let Some(since) = self.shut_since.take() else { return };
        let took = now.since(since);
        self.start = Some(match self.start {
            Some(before) if took < before => before - (before - took) / 4,
            Some(_) | None => took,
        });
    }

    /// Nobody waits any more, so nothing is learned of the start that they waited for.
    pub fn deserted(&mut self) {
        self.shut_since = None;
    }

    /// One that waited goes.
    pub fn went(&mut self, now: Moment) {
        let before = self.drain.unwrap_or(Drain { first: now, last: now, went: 0.0 });
        self.drain = Some(Drain { last: now, went: before.faded(now) + 1.0, ..before });
    }

    /// How long starts take, as far as it was seen.
    pub fn start(&self) -> Option<Duration> {
        self.start
    }

    /// When somebody who is sent away now would find room: once something has started or, where they go already, once
    /// those `waiting` now have gone. `oldest` is how long the first of them has waited: where nothing was learned it is
    /// all that is known, and a wait that has lasted so long may well last as long again.
    pub fn come_back(&self, now: Moment, waiting: u32, oldest: Duration) -> Duration {
        let after = match (self.shut_since, &self.drain) {
            (Some(since), _) => self.rest_of_start(now.since(since)),
            (None, Some(drain)) => drain.time_for(now, waiting),
            (None, None) => oldest,
        };
        after.clamp(SOONEST, LATEST)
    }

    /// What is left of a start that has lasted for so long.
    fn rest_of_start(&self, lasted: Duration) -> Duration {
        let usual = self.start.unwrap_or_default();
        // One that takes longer than those before: as long again as it is late by now.
        usual.abs_diff(lasted)
    }
}

impl Drain {
    fn faded(&self, now: Moment) -> f64 {
        self.went * (-now.since(self.last).as_secs_f64() / MEMORY_S).exp()
    }

    fn time_for(&self, now: Moment, waiting: u32) -> Duration {
        // While less has been seen than is remembered the average is over that; over less than a second it means nothing.
        let seen_s = now.since(self.first).as_secs_f64().max(1.0);
        let averaged_s = MEMORY_S * (1.0 - (-seen_s / MEMORY_S).exp());
        let a_second = self.faded(now) / averaged_s;
        Duration::try_from_secs_f64(f64::from(waiting) / a_second).unwrap_or(LATEST)
    }
}

/// Whole seconds for `retry-after`: within a fifth around `after`, so that those who were sent away together do not come
/// back together; at least one. `random` is even, from 0 to 1.
pub fn spread(after: Duration, random: f64) -> u64 {
    let seconds = after.as_secs_f64() * (0.8 + 0.4 * random.clamp(0.0, 1.0));
    // A float that is too large, or none, becomes the nearest there is.
    (seconds.round() as u64).max(1)
}
