//! What is in flight, over time.
//!
//! The count of requests is integrated over time: two that take half a second each, within one second, are a demand of
//! 1.0 on average. Totals only grow and are never reset, so a reading that is lost loses nothing, and the average over
//! any stretch is exact: the difference of two readings ([`Reading::since`]).
//!
//! Time is kept in whole microseconds of the clock itself, not of each step, so that a hundred thousand events a second
//! lose no more than one does. Threads may report out of order: an event earlier than the latest counts, but accounts
//! for no time; and a leave may come before its arrival, which makes the count negative for that moment.
//!
//! A plain small struct without allocation: it sits behind a lock that is held for a few nanoseconds.

use units::{Concurrency, Moment};

#[cfg(test)]
mod tests;

/// By which way a request came to a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Straight from a client.
    Direct,
    /// Through an activator, which reports it too.
    Activator,
}

/// Counts requests from arrival to their last byte.
#[derive(Clone, Debug)]
pub struct Meter {
    latest_us: u64,
    elapsed_us: u64,
    requests: u64,
    proxied_requests: u64,
    in_flight: i64,
    proxied_in_flight: i64,
    upgraded: i64,
    concurrency_us: i64,
    proxied_concurrency_us: i64,
}

/// All a [`Meter`] has counted, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Time since the meter was made, in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    pub requests: u64,
    /// Of those, through an activator.
    pub proxied_requests: u64,
    /// Here at this moment, upgraded ones included.
    pub in_flight: u32,
    /// Of those, through an activator.
    pub proxied_in_flight: u32,
    /// Of those in flight, upgraded connections.
    pub upgraded: u32,
    concurrency_us: i64,
    proxied_concurrency_us: i64,
}

/// What happened between two readings of the same meter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Its length in microseconds.
    pub elapsed_us: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Of those, through an activator.
    pub proxied_requests: u64,
    /// Requests in flight on average; 0 for a stretch without length. Below zero only if more left than came.
    pub mean_concurrency: f64,
    /// Of those, through an activator.
    pub mean_proxied_concurrency: f64,
}

impl Meter {
    /// A meter that starts to count at `now`, with nothing in flight.
    pub fn new(now: Moment) -> Self {
        Self {
            latest_us: micros(now),
            elapsed_us: 0,
            requests: 0,
            proxied_requests: 0,
            in_flight: 0,
            proxied_in_flight: 0,
            upgraded: 0,
            concurrency_us: 0,
            proxied_concurrency_us: 0,
        }
    }

    /// A request arrived.
    pub fn arrive(&mut self, now: Moment, via: Via) {
        self.advance(now);
        self.requests += 1;
        self.in_flight += 1;
        if via == Via::Activator {
            self.proxied_requests += 1;
            self.proxied_in_flight += 1;
        }
    }

    /// The last byte of a request's answer is gone. Call it with the `via` of its arrival, exactly once.
    pub fn leave(&mut self, now: Moment, via: Via) {
        self.advance(now);
        self.in_flight -= 1;
        if via == Via::Activator {
            self.proxied_in_flight -= 1;
        }
    }

    /// A request in flight became an upgraded connection. It stays in flight.
    pub fn upgrade(&mut self) {
        self.upgraded += 1;
    }

    /// An upgraded connection ended. [`Meter::leave`] is called for its request as for any other.
    pub fn end_upgrade(&mut self) {
        self.upgraded -= 1;
    }

    /// All that was counted until `now`. Takes nothing away.
    pub fn read(&mut self, now: Moment) -> Reading {
        self.advance(now);
        let in_flight = count(self.in_flight);
        Reading {
            elapsed_us: self.elapsed_us,
            requests: self.requests,
            proxied_requests: self.proxied_requests,
            in_flight,
            proxied_in_flight: count(self.proxied_in_flight).min(in_flight),
            upgraded: count(self.upgraded).min(in_flight),
            concurrency_us: self.concurrency_us,
            proxied_concurrency_us: self.proxied_concurrency_us,
        }
    }

    fn advance(&mut self, now: Moment) {
        let now_us = micros(now);
        let passed_us = now_us.saturating_sub(self.latest_us);
        self.latest_us = self.latest_us.max(now_us);
        self.elapsed_us += passed_us;
        // 64 bits of request-microseconds: a thousand requests in flight for three hundred years.
        let passed_us = passed_us.cast_signed();
        self.concurrency_us += self.in_flight * passed_us;
        self.proxied_concurrency_us += self.proxied_in_flight * passed_us;
    }
}

impl Reading {
    /// Requests in flight, integrated over time: request-microseconds, in all.
    pub fn concurrency_us(&self) -> u64 {
        u64::try_from(self.concurrency_us).unwrap_or(0)
    }

    /// Of those, through an activator. Never more than [`Reading::concurrency_us`].
    pub fn proxied_concurrency_us(&self) -> u64 {
        u64::try_from(self.proxied_concurrency_us).unwrap_or(0).min(self.concurrency_us())
    }

    /// What happened since `earlier`, a reading of the same meter.
    pub fn since(&self, earlier: &Self) -> Stretch {
        let elapsed_us = self.elapsed_us.saturating_sub(earlier.elapsed_us);
        Stretch {
            elapsed_us,
            requests: self.requests.saturating_sub(earlier.requests),
            proxied_requests: self.proxied_requests.saturating_sub(earlier.proxied_requests),
            mean_concurrency: mean(self.concurrency_us - earlier.concurrency_us, elapsed_us),
            mean_proxied_concurrency: mean(self.proxied_concurrency_us - earlier.proxied_concurrency_us, elapsed_us),
        }
    }
}

impl Stretch {
    /// [`Stretch::mean_concurrency`] as a quantity.
    pub fn concurrency(&self) -> Concurrency {
        Concurrency::new(self.mean_concurrency).unwrap_or(Concurrency::ZERO)
    }
}

fn mean(integral_us: i64, elapsed_us: u64) -> f64 {
    if elapsed_us == 0 { 0.0 } else { integral_us as f64 / elapsed_us as f64 }
}

fn count(in_flight: i64) -> u32 {
    u32::try_from(in_flight.max(0)).unwrap_or(u32::MAX)
}

fn micros(moment: Moment) -> u64 {
    let since_epoch = moment.unix();
    since_epoch.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(since_epoch.subsec_micros()))
}
