//! One metric of one revision over both windows.

use std::time::Duration;

use units::Moment;

use crate::decider::Load;
use crate::window::Window;
use crate::{Policy, Rules};

const BUCKET: Duration = Duration::from_secs(1);

/// The same values in a stable and a panic window.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    stable: Window,
    panic: Window,
}

impl Series {
    /// Two empty windows of the policy's lengths.
    pub fn new(policy: &Policy) -> Self {
        Self {
            stable: Window::new(policy.aggregation, policy.stable_window, BUCKET),
            panic: Window::new(policy.aggregation, policy.panic_window, BUCKET),
        }
    }

    /// How long the stable window is, in seconds.
    pub fn seconds(&self) -> u64 {
        self.stable.width().as_secs()
    }

    /// Adds what was measured in the second of `at`.
    pub fn record(&mut self, at: Moment, value: f64) {
        self.stable.record(at, value);
        self.panic.record(at, value);
    }

    /// Follows the policy's lengths. How seconds are averaged is fixed when the series is made.
    pub fn resize(&mut self, now: Moment, policy: &Policy, rules: Rules) {
        self.stable.resize(now, policy.stable_window, rules.resize_keeps_age);
        self.panic.resize(now, policy.panic_window, rules.resize_keeps_age);
    }

    /// Was nothing measured within the stable window?
    pub fn is_empty(&self, now: Moment) -> bool {
        self.stable.is_empty(now)
    }

    /// Both averages; zeros if nothing was measured.
    pub fn load(&self, now: Moment) -> Load {
        Load { stable: self.stable.average(now), panic: self.panic.average(now) }
    }

    /// The newest second that has a value.
    pub fn newest(&self) -> Option<u64> {
        self.stable.newest().map(|newest| newest.unix().as_secs())
    }

    /// What one unit in each of the newest so many seconds adds to both averages.
    pub fn share_of_newest(&self, now: Moment, seconds: u64) -> Load {
        Load { stable: self.stable.share_of_newest(now, seconds), panic: self.panic.share_of_newest(now, seconds) }
    }
}
