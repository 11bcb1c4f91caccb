//! What arrives, and when.

use std::sync::Arc;

use super::{Cluster, Event};
use crate::plan::Load;
use crate::queue::Millis;

/// Before the end of a run faults stop first, then what arrives.
pub(super) const CALM: Millis = 30 * 60_000;
const QUIET: Millis = 25 * 60_000;
/// One last request shows that all is well again.
pub(super) const LAST: Millis = 3 * 60_000;

/// Where the load stands.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Requests a second, on average, in this stretch.
    rate: f64,
    /// Arrivals of an earlier stretch do not count.
    arrives_at: Option<Millis>,
    second: usize,
}

impl Cluster {
    pub(super) fn load_changes(&mut self) {
        match self.plan.load.clone() {
            Load::Stretches => self.next_stretch(),
            Load::Constant { .. } => self.queue.plan(self.now, Event::Arrival),
            Load::Seconds { counts, .. } => self.next_second(&counts),
        }
    }

    fn next_second(&mut self, counts: &Arc<[u32]>) {
        let Some(count) = counts.get(self.load.second).copied() else { return };
        self.load.second += 1;
        self.queue.plan(self.now + 1_000, Event::LoadChanges);
        for number in 0..u64::from(count) {
            self.queue.plan(self.now + number * 1_000 / u64::from(count), Event::Arrival);
        }
    }

    fn next_stretch(&mut self) {
        let left = self.plan.length - self.now;
        if left <= QUIET {
            self.load.rate = 0.0;
            self.load.arrives_at = None;
            let last = self.plan.length.saturating_sub(LAST);
            if self.now < last {
                self.load.arrives_at = Some(last);
                self.queue.plan(last, Event::Arrival);
            }
            return;
        }
        let (rate, seconds) = match self.draw.u8(..10) {
            0..3 => (0.0, self.draw.u64(30..1_800)),
            // About as rare as it takes to go to zero, so that some come while it does.
            3..5 => (0.005 + 0.02 * self.draw.f64(), self.draw.u64(600..3_600)),
            5..7 => (0.02 + 0.1 * self.draw.f64(), self.draw.u64(60..1_800)),
            7..9 => (0.3 + 2.0 * self.draw.f64(), self.draw.u64(60..900)),
            _ => (4.0 + 12.0 * self.draw.f64(), self.draw.u64(5..60)),
        };
        self.load.rate = rate;
        self.queue.plan(self.now + (seconds * 1_000).min(left - QUIET), Event::LoadChanges);
        self.plan_arrival();
    }

    fn plan_arrival(&mut self) {
        self.load.arrives_at = None;
        if 0.0 < self.load.rate {
            let pause_s = -(1.0 - self.draw.f64()).ln() / self.load.rate;
            let at = self.now + 1 + (pause_s * 1_000.0) as Millis;
            self.load.arrives_at = Some(at);
            self.queue.plan(at, Event::Arrival);
        }
    }

    pub(super) fn arrival(&mut self) {
        let takes = match &self.plan.load {
            Load::Stretches => {
                if self.load.arrives_at != Some(self.now) {
                    return;
                }
                self.plan_arrival();
                match self.draw.u8(..100) {
                    0 => self.draw.u64(10_000..90_000),
                    1..20 => self.draw.u64(1_000..5_000),
                    _ => self.draw.u64(20..800),
                }
            }
            Load::Constant { every, takes } => {
                let (every, takes) = (*every, *takes);
                self.queue.plan(self.now + every, Event::Arrival);
                takes
            }
            Load::Seconds { takes, slow_from, counts } => {
                let count = self.load.second.checked_sub(1).and_then(|second| counts.get(second)).copied();
                let is_slow = slow_from.is_some_and(|slow_from| count.is_some_and(|count| slow_from <= count));
                if is_slow { takes * 5 } else { *takes }
            }
        };
        self.request_arrives(takes);
    }
}
