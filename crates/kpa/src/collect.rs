//! Cumulative readings in, Knative's per-second stats out.
//!
//! Whoever reports sends counters that only grow, so a lost reading loses nothing: the next one makes up for it. Here
//! they are differenced, for each reporter and incarnation, and spread over the seconds they stand for, so that every
//! second has exactly one value of each reporter, whatever the jitter of its frames.
//!
//! What to make of reporters that are silent is decided in `scaler`.

use std::time::Duration;

use units::{Incarnation, Moment};

use crate::Stat;

/// Frames come about once a second; what an activator reports after idle frames fell into the last of these.
const FRAME: Duration = Duration::from_secs(1);

/// More in flight, or more requests a second, than anybody has. A bound for what is believed: a window that once held
/// a number beyond reason would keep its rounding error for good.
const BEYOND_REASON: f64 = 1e7;

/// What a sidecar has counted since its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidecarReading {
    /// Counters begin again at zero with each.
    pub incarnation: Incarnation,
    /// Time on the sidecar's own clock since then, in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    pub requests: u64,
    /// Of those, through an activator.
    pub proxied_requests: u64,
    /// Request-microseconds, in all.
    pub concurrency_us: u64,
    /// Of those, through an activator.
    pub proxied_concurrency_us: u64,
    /// In flight at this instant, upgraded ones included.
    pub in_flight: u32,
}

/// What an activator has counted for one revision since its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivatorReading {
    /// Counters begin again at zero with each.
    pub incarnation: Incarnation,
    /// Time on the activator's own clock since then, in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    pub requests: u64,
    /// Request-microseconds, held or forwarded, in all.
    pub concurrency_us: u64,
    /// Held or forwarded at this instant.
    pub in_flight: u32,
}

/// Counters of either kind of reporter. What an activator counts has no proxied part: it is the activator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    incarnation: Incarnation,
    elapsed_us: u64,
    requests: u64,
    proxied_requests: u64,
    concurrency_us: u64,
    proxied_concurrency_us: u64,
}

impl From<SidecarReading> for Counters {
    fn from(reading: SidecarReading) -> Self {
        Self {
            incarnation: reading.incarnation,
            elapsed_us: reading.elapsed_us,
            requests: reading.requests,
            proxied_requests: reading.proxied_requests,
            concurrency_us: reading.concurrency_us,
            proxied_concurrency_us: reading.proxied_concurrency_us,
        }
    }
}

impl From<ActivatorReading> for Counters {
    fn from(reading: ActivatorReading) -> Self {
        Self {
            incarnation: reading.incarnation,
            elapsed_us: reading.elapsed_us,
            requests: reading.requests,
            proxied_requests: 0,
            concurrency_us: reading.concurrency_us,
            proxied_concurrency_us: 0,
        }
    }
}

impl Counters {
    /// What was counted from `before` to this. A counter that went back, which an honest reporter's cannot, counts as
    /// one that stood still; and a part that grew by more than its whole, as the whole, for less than no load would hide
    /// the load of others.
    fn since(self, before: Self) -> Self {
        let requests = self.requests.saturating_sub(before.requests);
        let concurrency_us = self.concurrency_us.saturating_sub(before.concurrency_us);
        Self {
            incarnation: self.incarnation,
            elapsed_us: self.elapsed_us.saturating_sub(before.elapsed_us),
            requests,
            proxied_requests: self.proxied_requests.saturating_sub(before.proxied_requests).min(requests),
            concurrency_us,
            proxied_concurrency_us: self
                .proxied_concurrency_us
                .saturating_sub(before.proxied_concurrency_us)
                .min(concurrency_us),
        }
    }

    fn at_birth(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            elapsed_us: 0,
            requests: 0,
            proxied_requests: 0,
            concurrency_us: 0,
            proxied_concurrency_us: 0,
        }
    }
}

/// What each of some seconds was like, at one reporter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds {
    /// The first of them, as a Unix second.
    pub(crate) first: u64,
    /// The last of them; not before the first.
    pub(crate) last: u64,
    /// What each was like.
    pub(crate) each: Stat,
}

impl Seconds {
    /// How many they are, at least one.
    pub(crate) fn count(self) -> f64 {
        (self.last.saturating_sub(self.first) + 1) as f64
    }

    /// Those before a second, and those from it on.
    pub(crate) fn split(self, at: u64) -> (Option<Self>, Option<Self>) {
        let before = (self.first < at).then(|| Self { last: self.last.min(at - 1), ..self });
        let after = (at <= self.last).then(|| Self { first: self.first.max(at), ..self });
        (before, after)
    }
}

/// One sidecar or activator as it was heard so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter {
    counters: Option<Counters>,
    /// Every Unix second up to this one has its value.
    covered: u64,
    /// When it was last heard, and when before that.
    heard: Moment,
    heard_before: Moment,
    /// When it last said anything of this revision.
    read: Option<Moment>,
    /// Up to when nothing happened here since it was last read, as its frames without this revision have told.
    quiet_until: Option<Moment>,
    in_flight: u32,
    /// What its latest seconds were like.
    latest: Stat,
    leaves: bool,
}

impl Reporter {
    /// A reporter that is heard, or waited for, from now on.
    pub(crate) fn new(now: Moment) -> Self {
        let covered = second(now).saturating_sub(1);
        Self {
            counters: None,
            covered,
            heard: now,
            heard_before: now,
            read: None,
            quiet_until: None,
            in_flight: 0,
            latest: Stat::default(),
            leaves: false,
        }
    }

    /// It is on its way out, and falls silent sooner or later.
    pub(crate) fn leave(&mut self) {
        self.leaves = true;
    }

    /// Is it?
    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    /// In flight there when it last said.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What it would most likely say of the seconds that others have told and it has not yet, up to `newest`: how many
    /// they are, and what its latest ones were like. `None` if there are none, or if it had nothing in flight.
    pub(crate) fn late(&self, newest: u64) -> Option<(u64, Stat)> {
        (0 < self.in_flight && self.covered < newest).then(|| (newest - self.covered, self.latest))
    }

    /// The first second that has no value of it yet.
    pub(crate) fn first_uncovered(&self) -> u64 {
        self.covered + 1
    }

    /// When it was last heard.
    pub(crate) fn heard_at(&self) -> Moment {
        self.heard
    }

    /// For how long it was silent before it was last heard.
    pub(crate) fn was_silent_for(&self) -> Duration {
        self.heard.since(self.heard_before)
    }

    /// A reading came from one who sends nothing in between.
    pub(crate) fn note(&mut self, now: Moment) {
        if self.heard < now {
            self.heard_before = self.heard;
            self.heard = now;
        }
    }

    /// A frame came from one who sends one each second. If the frame before had nothing of this revision, then nothing
    /// happened up to there, and those seconds are zeros.
    pub(crate) fn hear(&mut self, now: Moment) -> Option<Seconds> {
        if now <= self.heard {
            return None;
        }
        self.note(now);
        if self.read.is_some_and(|read| self.heard_before <= read) {
            self.quiet_until = None;
            return None;
        }
        self.quiet_until = Some(self.heard_before);
        self.idle_until(self.heard_before)
    }

    /// To be asked when everything of the latest frame has been told. If it had nothing of this revision, then nothing
    /// happened up to it.
    pub(crate) fn idle(&mut self) -> Option<Seconds> {
        let silent_on_it = self.read.is_none_or(|read| read < self.heard) && self.heard_before < self.heard;
        if silent_on_it { self.idle_until(self.heard) } else { None }
    }

    fn idle_until(&mut self, until: Moment) -> Option<Seconds> {
        let (first, last) = self.cover(until)?;
        Some(Seconds { first, last, each: Stat::default() })
    }

    /// Its counters came, in something already told to [`Reporter::note`] or [`Reporter::hear`]. `observing` is since
    /// when the revision is observed: counters that began later are known from their birth.
    pub(crate) fn read(
        &mut self,
        now: Moment,
        observing: Moment,
        counters: Counters,
        in_flight: u32,
    ) -> Option<Seconds> {
        self.read = Some(now);
        self.in_flight = in_flight;

        let age = Duration::from_micros(counters.elapsed_us);
        let birth = second(now.minus(age)).min(second(now).saturating_sub(1));
        let before = match self.counters {
            Some(before) if before.incarnation == counters.incarnation => before,
            Some(_) => {
                self.covered = self.covered.max(birth);
                Counters::at_birth(counters.incarnation)
            }
            None if age <= now.since(observing) => {
                if self.quiet_until.is_none() {
                    self.covered = birth;
                }
                Counters::at_birth(counters.incarnation)
            }
            None => return self.begin(now, counters),
        };
        let counted = counters.since(before);
        if counted.elapsed_us == 0 {
            return None;
        }
        // Nothing to cover: two readings within one second. The next one will stand for both.
        let (first, last) = self.cover(now)?;
        self.counters = Some(counters);

        let elapsed = Duration::from_micros(counted.elapsed_us);
        let interval = self.quiet_until.map_or(elapsed, |quiet| now.since(quiet).max(FRAME).min(elapsed));
        let interval_us = interval.as_micros() as f64;
        let seconds = (last - first + 1) as f64;
        self.latest = Stat {
            average_concurrency: believed(counted.concurrency_us as f64 / interval_us),
            average_proxied_concurrency: believed(counted.proxied_concurrency_us as f64 / interval_us),
            request_count: believed(counted.requests as f64 / seconds),
            proxied_count: believed(counted.proxied_requests as f64 / seconds),
        };
        Some(Seconds { first, last, each: self.latest })
    }

    /// The first reading of counters that are older than the observation: from here on they are counted.
    ///
    /// How much of it is new cannot be known, so no more is believed than what is seen to be in flight; but at least
    /// one, if frames came before that had nothing of this revision, for then something has just happened.
    fn begin(&mut self, now: Moment, counters: Counters) -> Option<Seconds> {
        self.counters = Some(counters);
        let (_, last) = self.cover(now)?;
        let seen = f64::from(self.in_flight.max(u32::from(self.quiet_until.is_some())));
        let in_one_frame = |total_us: u64| (total_us as f64 / FRAME.as_micros() as f64).min(seen);
        let each = Stat {
            average_concurrency: in_one_frame(counters.concurrency_us),
            request_count: (counters.requests as f64).min(seen),
            // If any of it ever was proxied, then all of this may be, and an activator tells it.
            average_proxied_concurrency: in_one_frame(counters.proxied_concurrency_us),
            proxied_count: (counters.proxied_requests as f64).min(seen),
        };
        Some(Seconds { first: last, last, each })
    }

    /// The seconds that have no value yet, up to this one; they have from now on.
    fn cover(&mut self, now: Moment) -> Option<(u64, u64)> {
        let (first, last) = (self.covered + 1, second(now));
        if last < first {
            return None;
        }
        self.covered = last;
        Some((first, last))
    }
}

fn believed(value: f64) -> f64 {
    value.min(BEYOND_REASON)
}

fn second(at: Moment) -> u64 {
    at.unix().as_secs()
}

#[cfg(test)]
mod tests;
