//! The one place where time is read.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use units::Moment;

/// Makes [`Moment`]s. Anchored once to the wall clock, and from then on monotonic: a step of the wall clock never
/// reaches what is decided. Runs on tokio's clock, so that a paused test pauses it too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Moment,
    started: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    #[expect(clippy::disallowed_methods, reason = "this is the edge at which moments are made")]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { anchor: Moment::from_unix(unix), started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.anchor.plus(self.started.elapsed())
    }

    /// Returns once `moment` has come; at once if it has passed.
    pub async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.started + moment.since(self.anchor)).await;
    }
}
