//! What came of the copies of one shadow: counted, and the last disagreements kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use compare::{Comparison, Labels, Numbers};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use units::{EndpointKey, Moment};
use wire::durations;

use super::MOST_AT_ONCE;
use crate::metrics::ShadowMetrics;

/// Disagreements that are kept, of each shadow.
const KEPT: usize = 32;

/// Answers that do not say how long they are, and were too long, one after the other. With more, most are not read at all:
/// each would be read to its limit and thrown away, at the cost of whoever else is served here.
const TOO_LONG_IN_A_ROW: u32 = 8;
/// Of those that follow the 8th, the 16th, the 32nd … is read all the same, for they may have become shorter; and one in so
/// many at least.
const READ_ONE_IN: u32 = 1 << 10;

/// How a copy ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was answered, with a status below 500.
    Answered,
    /// It was answered with a status of 500 or more.
    Error,
    /// The connection broke, before or within the answer.
    Broke,
    /// A time-out of the endpoint passed.
    Timeout,
    /// Its answer is larger than what is copied; or it did not say how large it is, and was not read as others were.
    AnswerTooLarge,
    /// It could not be woken, its line was full, or it waited too long.
    Refused,
    /// It is no shadow any more: what is under way is given up.
    Ended,
    /// Dropped: the shadow has no replica, and is not to be woken.
    Asleep,
    /// Dropped: as many as may be are under way.
    TooMany,
    /// Dropped: the budget of all copies is used.
    NoRoom,
    /// Dropped: the request is larger than what is copied.
    RequestTooLarge,
    /// Dropped: the request never came to its end.
    RequestBroke,
}

/// Each with its word.
pub(crate) const FATES: [(Fate, &str); 12] = [
    (Fate::Answered, "answered"),
    (Fate::Error, "error"),
    (Fate::Broke, "broke"),
    (Fate::Timeout, "timeout"),
    (Fate::AnswerTooLarge, "answer-too-large"),
    (Fate::Refused, "refused"),
    (Fate::Ended, "ended"),
    (Fate::Asleep, "asleep"),
    (Fate::TooMany, "too-many"),
    (Fate::NoRoom, "no-room"),
    (Fate::RequestTooLarge, "request-too-large"),
    (Fate::RequestBroke, "request-broke"),
];

/// What came of comparing, as a label.
pub(crate) const COMPARED: [&str; 3] = ["alike", "different", "not-compared"];

/// Whether the largest score of a row is in the same place, as a label.
pub(crate) const ROWS: [&str; 2] = ["agree", "disagree"];

/// Of one shadow, since it was first named.
#[derive(Debug)]
pub(crate) struct Tally {
    endpoint: EndpointKey,
    metrics: ShadowMetrics,
    at_once: Arc<Semaphore>,
    /// It is no shadow of this endpoint any more: none of its copies goes on.
    ended: CancellationToken,
    /// How many of the last answers were too long, of those that do not say how long they are.
    too_long: AtomicU32,
    /// How many of those came since that was too many.
    passed_over: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    spec: Option<platform::Shadow>,
    fates: [u64; FATES.len()],
    compared: [u64; COMPARED.len()],
    numbers: Numbers,
    labels: Labels,
    /// Of answers that were compared: the client's, the shadow's.
    took: [Took; 2],
    kept: VecDeque<Disagreement>,
}

#[derive(Clone, Debug)]
struct Took([u64; durations::BUCKETS]);

impl Default for Took {
    fn default() -> Self {
        Self([0; durations::BUCKETS])
    }
}

/// Two answers that differ. No values, no path, no header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disagreement {
    pub(crate) at: Moment,
    pub(crate) request_id: String,
    /// The client's, the shadow's.
    pub(crate) statuses: [u16; 2],
    pub(crate) took: [Duration; 2],
    pub(crate) differences: Vec<String>,
    /// Those beyond.
    pub(crate) more: usize,
}

/// All of it at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) spec: Option<platform::Shadow>,
    pub(crate) under_way: usize,
    pub(crate) fates: Vec<(&'static str, u64)>,
    /// Alike, different, not compared.
    pub(crate) compared: [u64; 3],
    pub(crate) numbers: Numbers,
    pub(crate) labels: Labels,
    /// The client's, the shadow's: what half, and what 99 of 100, do not exceed.
    pub(crate) took: [[Option<Duration>; 2]; 2],
    /// Oldest first.
    pub(crate) kept: Vec<Disagreement>,
}

impl Tally {
    pub(crate) fn new(endpoint: EndpointKey, metrics: ShadowMetrics) -> Self {
        let at_once = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let (too_long, passed_over) = (AtomicU32::new(0), AtomicU32::new(0));
        let (ended, inner) = (CancellationToken::new(), Mutex::default());
        Self { endpoint, metrics, at_once, ended, too_long, passed_over, inner }
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// What it comes to, unless it ends before.
    pub(super) async fn unless_ended<T>(&self, copy: impl Future<Output = T>) -> Option<T> {
        self.ended.run_until_cancelled(copy).await
    }

    pub(super) fn endpoint(&self) -> &EndpointKey {
        &self.endpoint
    }

    pub(super) fn at_once(&self) -> &Arc<Semaphore> {
        &self.at_once
    }

    /// What is asked of it. What was counted of answers by other rules says nothing of these.
    pub(super) fn is_for(&self, spec: &platform::Shadow) {
        let mut inner = self.inner.lock();
        if inner.spec.as_ref().is_some_and(|before| before.compare != spec.compare) {
            *inner = Inner { fates: inner.fates, ..Inner::default() };
        }
        inner.spec = Some(spec.clone());
    }

    /// Is an answer worth reading that does not say how long it is? Asked once of each.
    pub(super) fn is_worth_reading(&self) -> bool {
        if self.too_long.load(Ordering::Relaxed) <= TOO_LONG_IN_A_ROW {
            return true;
        }
        let turn = self.passed_over.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        TOO_LONG_IN_A_ROW <= turn && (turn.is_power_of_two() || turn.is_multiple_of(READ_ONE_IN))
    }

    /// One of those was read, to its end or as far as may be.
    pub(super) fn was_read(&self, to_its_end: bool) {
        if to_its_end {
            self.too_long.store(0, Ordering::Relaxed);
            self.passed_over.store(0, Ordering::Relaxed);
        } else {
            self.too_long.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A copy came to its end.
    pub(super) fn fell(&self, fate: Fate) {
        if let Some(position) = FATES.iter().position(|(known, _)| *known == fate) {
            self.metrics.fates[position].inc();
            self.inner.lock().fates[position] += 1;
        }
    }

    /// It was answered, and there was nothing to compare that with, or no time.
    pub(super) fn not_compared(&self) {
        self.metrics.compared[2].inc();
        self.inner.lock().compared[2] += 1;
    }

    /// It was compared. `disagreement` is asked for only where they differ.
    pub(super) fn compared(
        &self,
        comparison: &Comparison,
        took: [Duration; 2],
        disagreement: impl FnOnce(&Comparison) -> Disagreement,
    ) {
        let differs = usize::from(!comparison.is_alike());
        self.metrics.compared[differs].inc();
        let Labels { rows, agree } = comparison.labels;
        self.metrics.rows[0].inc_by(agree);
        self.metrics.rows[1].inc_by(rows - agree);
        for (histogram, took) in self.metrics.took.iter().zip(took) {
            histogram.observe(took.as_secs_f64());
        }
        let mut inner = self.inner.lock();
        inner.compared[differs] += 1;
        inner.labels.rows += rows;
        inner.labels.agree += agree;
        inner.numbers = sum(inner.numbers, comparison.numbers);
        for (counts, took) in inner.took.iter_mut().zip(took) {
            counts.0[durations::bucket(took)] += 1;
        }
        if differs != 0 {
            if inner.kept.len() == KEPT {
                inner.kept.pop_front();
            }
            inner.kept.push_back(disagreement(comparison));
        }
    }

    pub(super) fn read(&self) -> Read {
        let inner = self.inner.lock();
        let quantiles = |took: &Took| [0.5, 0.99].map(|share| durations::quantile(&took.0, share));
        Read {
            spec: inner.spec.clone(),
            under_way: MOST_AT_ONCE - self.at_once.available_permits(),
            fates: FATES.iter().zip(inner.fates).map(|((_, word), count)| (*word, count)).collect(),
            compared: inner.compared,
            numbers: inner.numbers,
            labels: inner.labels,
            took: [quantiles(&inner.took[0]), quantiles(&inner.took[1])],
            kept: inner.kept.iter().cloned().collect(),
        }
    }
}

/// Distances of both together.
#[expect(clippy::cast_precision_loss, reason = "more numbers than 2^53 are never compared")]
fn sum(one: Numbers, other: Numbers) -> Numbers {
    let compared = one.compared + other.compared;
    let total = one.mean * one.compared as f64 + other.mean * other.compared as f64;
    Numbers {
        compared,
        largest: one.largest.max(other.largest),
        mean: if compared == 0 { 0.0 } else { total / compared as f64 },
    }
}
