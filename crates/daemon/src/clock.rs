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
        Self::beginning_at(Moment::from_unix(unix))
    }

    /// One on which it is `anchor` now: what is tried on it comes out the same whenever it is tried.
    pub fn beginning_at(anchor: Moment) -> Self {
        Self { anchor, started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.anchor.plus(self.started.elapsed())
    }

    /// Returns once `moment` has come; at once if it has passed, and never if it is beyond what the clock can say.
    pub async fn sleep_until(&self, moment: Moment) {
        match self.started.checked_add(moment.since(self.anchor)) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_beyond_all_clocks_never_comes_and_breaks_nothing() {
        let clock = Clock::start();
        let never = clock.sleep_until(clock.now().plus(Duration::MAX));
        tokio::time::timeout(Duration::from_secs(3_600), never).await.unwrap_err();
    }
}
