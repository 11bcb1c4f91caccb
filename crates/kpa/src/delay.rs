//! The maximum over the last while, which holds back scaling down.

use std::collections::VecDeque;
use std::time::Duration;

use units::Moment;

/// A sliding maximum over time slots. It does not age by itself, only when something is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayWindow {
    granularity: Duration,
    slots: u64,
    /// Slots with their values, oldest first. Values fall strictly: one that a newer value equals or exceeds can never
    /// again be the maximum. So the first is the maximum.
    falling: VecDeque<(u64, i64)>,
}

impl DelayWindow {
    /// An empty window. `granularity` is taken in whole seconds, at least one; in Knative it is the tick, 2 s.
    pub fn new(duration: Duration, granularity: Duration) -> Self {
        let granularity = Duration::from_secs(granularity.as_secs().max(1));
        let slots = slots(duration, granularity);
        Self { granularity, slots, falling: VecDeque::with_capacity(room(slots)) }
    }

    /// Records a value and answers with the maximum.
    pub fn record(&mut self, now: Moment, value: i64) -> i64 {
        let slot = now.unix().as_secs() / self.granularity.as_secs();
        while self.falling.back().is_some_and(|(_, older)| *older <= value) {
            self.falling.pop_back();
        }
        if self.falling.back().is_none_or(|(newest, _)| *newest != slot) {
            self.falling.push_back((slot, value));
        }
        while self.falling.front().is_some_and(|(oldest, _)| self.slots <= slot.saturating_sub(*oldest)) {
            self.falling.pop_front();
        }
        self.current()
    }

    /// The maximum as of the newest record; 0 before any.
    pub fn current(&self) -> i64 {
        self.falling.front().map_or(0, |(_, value)| *value)
    }

    /// When the maximum is below `count` at the earliest, if nothing higher is recorded; `None` if it is already.
    pub fn reaches_until(&self, count: i64) -> Option<Moment> {
        let (slot, _) = self.falling.iter().rev().find(|(_, value)| count <= *value)?;
        let seconds = slot.saturating_add(self.slots).saturating_mul(self.granularity.as_secs());
        Some(Moment::from_unix(Duration::from_secs(seconds)))
    }

    /// Another duration. What was recorded within both is kept.
    pub fn resize(&mut self, duration: Duration) {
        self.slots = slots(duration, self.granularity);
        self.falling.reserve(room(self.slots).saturating_sub(self.falling.len()));
    }
}

fn slots(duration: Duration, granularity: Duration) -> u64 {
    duration.as_nanos().div_ceil(granularity.as_nanos()).max(1) as u64
}

/// Room for one value a slot and the one that comes in before the oldest leaves, so that recording never allocates.
fn room(slots: u64) -> usize {
    slots as usize + 1
}
