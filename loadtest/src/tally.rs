//! What is counted while a load runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::exchange::{Answer, Failure};
use crate::executed::End;
use crate::results::{Counts, Results, Second};
use crate::times::Times;

/// A load that runs, for who looks on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<Tally>>);

/// A request, and when it was due, since the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// 0 is the first.
    pub(crate) number: usize,
    pub(crate) at: Duration,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests that were due.
    pub due: u64,
    /// On their way now.
    pub in_flight: u64,
    /// Answered in full, whatever the status.
    pub answered: u64,
    /// Of those, with a status of 2xx.
    pub well: u64,
    /// Not answered, and over: no connection, cut, timed out, not sent.
    pub unanswered: u64,
}

impl Live {
    /// How far it is.
    pub fn snapshot(&self) -> Snapshot {
        let tally = self.0.lock();
        Snapshot {
            due: tally.due,
            in_flight: tally.in_flight,
            answered: tally.answered,
            well: tally.by_status.range(200..300).map(|(_, count)| count).sum(),
            unanswered: tally.failures.values().sum(),
        }
    }

    /// How long those took that are answered, from when each was due.
    pub fn times(&self) -> Times {
        self.0.lock().from_due.clone()
    }

    /// From now on it is this stage.
    pub fn enter(&self, stage: usize) {
        self.0.lock().stage = stage;
    }

    /// Who answered how many of those that were sent and answered within one stage, by stage and revision. Who was on the
    /// way when another began is in neither.
    pub fn answered_by(&self) -> BTreeMap<(usize, String), u64> {
        self.0.lock().answered_by.clone()
    }

    pub(crate) fn is_due(&self, due: Due) {
        let mut tally = self.0.lock();
        tally.due += 1;
        tally.second(due.at).due += 1;
        tally.ends.resize(due.number + 1, End::Open);
    }

    /// Returns in which stage.
    pub(crate) fn is_sent(&self, at: Duration) -> usize {
        let mut tally = self.0.lock();
        tally.in_flight += 1;
        let in_flight = tally.in_flight;
        let second = tally.second(at);
        second.sent += 1;
        second.in_flight = second.in_flight.max(in_flight);
        tally.stage
    }

    /// One that was sent has ended at `now`; all moments are since the beginning.
    pub(crate) fn has_ended(
        &self,
        due: Due,
        (sent, stage): (Duration, usize),
        now: Duration,
        ended: Result<Answer, Failure>,
    ) {
        let mut tally = self.0.lock();
        tally.in_flight -= 1;
        match ended {
            Ok(answer) => {
                if let Some(revision) = answer.revision.clone().filter(|_| stage == tally.stage) {
                    *tally.answered_by.entry((stage, revision)).or_default() += 1;
                }
                tally.answered(due, sent, now, answer);
            }
            Err(failure) => tally.failed(due, now, failure),
        }
    }

    pub(crate) fn was_not_sent(&self, due: Due, now: Duration) {
        self.0.lock().failed(due, now, Failure::NotSent);
    }

    /// Whoever is still on the way is not waited for any more.
    pub(crate) fn are_given_up(&self) {
        let mut tally = self.0.lock();
        tally.in_flight = 0;
        let open = tally.ends.iter().filter(|end| **end == End::Open).count();
        if open != 0 {
            *tally.failures.entry(Failure::Interrupted).or_default() += open as u64;
        }
    }

    /// Seconds in which nothing was due or ended have a place too.
    pub(crate) fn reaches(&self, at: Duration) {
        let mut tally = self.0.lock();
        let in_flight = tally.in_flight;
        let second = tally.second(at);
        second.in_flight = second.in_flight.max(in_flight);
    }

    /// Everything, as far as it has come.
    pub(crate) fn results(&self, of: Results) -> Results {
        let tally = self.0.lock();
        Results {
            counts: Counts {
                due: tally.due,
                answered: tally.answered,
                by_status: tally.by_status.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
                refused_by_rouse: tally.refused.clone(),
                unanswered: tally.failures.iter().map(|(failure, count)| (failure.word().to_owned(), *count)).collect(),
            },
            latency: tally.from_due.quantiles(),
            latency_from_sending: tally.from_sent.quantiles(),
            first_byte: tally.first_byte.quantiles(),
            seconds: tally.seconds.iter().enumerate().map(|(number, bin)| bin.told(number)).collect(),
            ends: tally.ends.clone(),
            ..of
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    due: u64,
    in_flight: u64,
    answered: u64,
    by_status: BTreeMap<u16, u64>,
    refused: BTreeMap<String, u64>,
    failures: BTreeMap<Failure, u64>,
    from_due: Times,
    from_sent: Times,
    first_byte: Times,
    seconds: Vec<Bin>,
    stage: usize,
    answered_by: BTreeMap<(usize, String), u64>,
    /// Of each request, by its number.
    ends: Vec<End>,
}

impl Tally {
    fn second(&mut self, at: Duration) -> &mut Bin {
        let number = usize::try_from(at.as_secs()).unwrap_or(usize::MAX).min(LAST_SECOND);
        if self.seconds.len() <= number {
            self.seconds.resize_with(number + 1, Bin::default);
        }
        &mut self.seconds[number]
    }

    fn answered(&mut self, due: Due, sent: Duration, now: Duration, answer: Answer) {
        let latency = now.saturating_sub(due.at);
        self.answered += 1;
        self.ends[due.number] = if answer.refused.is_some() { End::Refused } else { End::Answered };
        *self.by_status.entry(answer.status).or_default() += 1;
        self.from_due.record(latency);
        self.from_sent.record(now.saturating_sub(sent));
        self.first_byte.record(answer.first_byte_at.saturating_sub(due.at));
        if let Some(reason) = answer.refused {
            *self.refused.entry(reason).or_default() += 1;
        }
        self.second(due.at).latencies.push(latency);
        let second = self.second(now);
        second.answered += 1;
        second.errors += u64::from(500 <= answer.status);
    }

    fn failed(&mut self, due: Due, now: Duration, failure: Failure) {
        self.ends[due.number] = if failure == Failure::NotSent { End::NotSent } else { End::Unanswered };
        *self.failures.entry(failure).or_default() += 1;
        self.second(now).errors += 1;
    }
}

/// A load lasts a day at most, and the last of it may be waited for.
const LAST_SECOND: usize = 2 * 24 * 3600;

#[derive(Debug, Default)]
struct Bin {
    due: u64,
    sent: u64,
    answered: u64,
    errors: u64,
    /// The most within the second.
    in_flight: u64,
    /// Of those that were due in it.
    latencies: Vec<Duration>,
}

impl Bin {
    fn told(&self, number: usize) -> Second {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let at = |quantile: f64| {
            // The nearest rank: the smallest value that so many do not exceed.
            let rank = (latencies.len() as f64 * quantile).ceil() as usize;
            latencies.get(rank.saturating_sub(1)).map(Duration::as_secs_f64)
        };
        Second {
            second: number,
            due: self.due,
            sent: self.sent,
            answered: self.answered,
            errors: self.errors,
            in_flight: self.in_flight,
            p50_seconds: at(0.5),
            p99_seconds: at(0.99),
        }
    }
}
