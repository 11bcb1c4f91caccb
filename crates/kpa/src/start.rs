//! Whether a start has failed, and when the next may be tried.

use std::time::Duration;

use units::Moment;

/// So many crashes in a row, and a start has failed.
const CRASHES: u32 = 5;
/// The first pause after a failed start. Each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How a revision's start is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starting {
    /// Version of what the workload runs. Another one deserves a new try at once.
    pub generation: u64,
    /// Is at least one replica ready?
    pub ready: bool,
    /// Starts that failed in a row.
    pub crashes_in_a_row: u32,
    /// For how long the first replica has been starting; `None` if none is.
    pub starting_for: Option<Duration>,
    /// How long a start may take.
    pub progress_deadline: Duration,
    /// Does anybody want it: is a request held, or is there a minimum? Without, a start that failed is not tried again.
    pub wanted: bool,
}

/// Whether it may be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartState {
    /// Nothing speaks against it.
    Fine,
    /// Its start has failed. What is held is refused, and a wake is allowed again after this while.
    Failed {
        /// Zero once it may be tried again and nobody wants it yet.
        retry_in: Duration,
    },
}

/// Remembers how often in a row a revision's start has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartJudge {
    generation: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After so many failures in a row.
    Trying {
        failures: u32,
    },
    Failed {
        failures: u32,
        until: Moment,
    },
}

impl StartJudge {
    /// Nothing has failed yet.
    pub fn new(generation: u64) -> Self {
        Self { generation, state: State::Trying { failures: 0 } }
    }

    /// Judges how the start stands now. A replica that is ready, or a changed workload, clears what was.
    pub fn judge(&mut self, now: Moment, starting: &Starting) -> StartState {
        if starting.ready || starting.generation != self.generation {
            *self = Self::new(starting.generation);
        }
        if let State::Failed { failures, until } = self.state
            && until <= now
            && starting.wanted
        {
            self.state = State::Trying { failures };
        }
        let too_long = starting.starting_for.is_some_and(|spent| starting.progress_deadline < spent);
        if let State::Trying { failures } = self.state
            && !starting.ready
            && (CRASHES <= starting.crashes_in_a_row || too_long)
        {
            self.state = State::Failed { failures: failures.saturating_add(1), until: now.plus(pause(failures)) };
        }
        match self.state {
            State::Trying { .. } => StartState::Fine,
            State::Failed { until, .. } => StartState::Failed { retry_in: until.since(now) },
        }
    }
}

/// The pause after a failure that so many have gone before.
fn pause(failures_before: u32) -> Duration {
    2_u32
        .checked_pow(failures_before)
        .map_or(LONGEST_PAUSE, |factor| FIRST_PAUSE.saturating_mul(factor))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(1_700_000_000 + seconds))
    }

    fn starting(crashes_in_a_row: u32, starting_for_s: u64) -> Starting {
        Starting {
            generation: 1,
            ready: false,
            crashes_in_a_row,
            starting_for: Some(Duration::from_secs(starting_for_s)),
            progress_deadline: Duration::from_secs(600),
            wanted: true,
        }
    }

    fn failed(seconds: u64) -> StartState {
        StartState::Failed { retry_in: Duration::from_secs(seconds) }
    }

    #[test]
    fn five_crashes_or_the_deadline_make_a_failed_start() {
        let mut judge = StartJudge::new(1);
        assert_eq!(judge.judge(at(0), &starting(4, 600)), StartState::Fine);
        assert_eq!(judge.judge(at(1), &starting(5, 3)), failed(10));
        assert_eq!(StartJudge::new(1).judge(at(0), &starting(0, 601)), failed(10));
    }

    #[test]
    fn nobody_tries_again_before_somebody_wants_it() {
        let mut judge = StartJudge::new(1);
        assert_eq!(judge.judge(at(0), &starting(5, 0)), failed(10));
        let unwanted = Starting { wanted: false, ..starting(0, 0) };
        assert_eq!(judge.judge(at(60), &unwanted), failed(0));
        assert_eq!(judge.judge(at(61), &starting(0, 0)), StartState::Fine);
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let mut judge = StartJudge::new(1);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let StartState::Failed { retry_in } = judge.judge(now, &starting(5, 0)) else { panic!("should fail") };
            pauses.push(retry_in.as_secs());
            now = now.plus(retry_in);
            assert_eq!(judge.judge(now, &starting(0, 0)), StartState::Fine);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_ready_replica_or_another_workload_clears_it() {
        for cleared in [
            Starting { ready: true, ..starting(5, 0) },
            Starting { generation: 2, crashes_in_a_row: 0, ..starting(0, 0) },
        ] {
            let mut judge = StartJudge::new(1);
            assert_eq!(judge.judge(at(0), &starting(5, 0)), failed(10));
            assert_eq!(judge.judge(at(10), &starting(5, 0)), failed(20));
            assert_eq!(judge.judge(at(11), &cleared), StartState::Fine);
            assert_eq!(judge.judge(at(12), &Starting { crashes_in_a_row: 5, ..cleared.but_not_ready() }), failed(10));
        }
    }

    impl Starting {
        fn but_not_ready(self) -> Self {
            Self { ready: false, ..self }
        }
    }
}
