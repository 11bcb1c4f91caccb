//! Two answers compared, where that delays nobody: small ones in passing, large ones one at a time on a thread of their own,
//! and those for which there is no time not at all.

use std::sync::Arc;

use compare::{Answer, Comparison, Rules};
use http::HeaderValue;
use tokio::sync::Semaphore;
use units::Moment;

use super::copy::Whole;
use super::tally::{Disagreement, Tally};

/// Both bodies together. JSON of this size takes some tens of microseconds.
const IN_PASSING: usize = 8 << 10;
/// Pairs that wait for the thread.
const MOST_WAITING: usize = 16;

/// Compares. Cheap to clone: a clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    waiting: Arc<Semaphore>,
    thread: Arc<Semaphore>,
}

/// What is to be compared, and where what comes of it is kept.
pub(super) struct Pair {
    pub(super) used: Arc<Whole>,
    pub(super) answer: Whole,
    pub(super) rules: Rules,
    pub(super) tally: Arc<Tally>,
    pub(super) request_id: HeaderValue,
    pub(super) at: Moment,
}

impl Judge {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::new(Semaphore::new(MOST_WAITING)), thread: Arc::new(Semaphore::new(1)) }
    }

    pub(super) async fn judge(&self, pair: Pair) {
        // Whether the statuses are alike can be said all the same.
        let packed = pair.used.head.is_encoded || pair.answer.head.is_encoded;
        if packed && pair.used.head.status == pair.answer.head.status {
            pair.tally.not_compared();
            return;
        }
        if pair.used.body.bytes.len() + pair.answer.body.bytes.len() <= IN_PASSING {
            pair.compare();
            return;
        }
        let Ok(_waits) = self.waiting.try_acquire() else {
            pair.tally.not_compared();
            return;
        };
        // Neither is ever closed, and a comparison does not panic: there is nothing to be told.
        let Ok(turn) = Arc::clone(&self.thread).acquire_owned().await else { return };
        let _ = tokio::task::spawn_blocking(move || {
            pair.compare();
            drop(turn);
        })
        .await;
    }
}

impl Pair {
    fn compare(self) {
        let comparison = compare::compare(answer_of(&self.used), answer_of(&self.answer), &self.rules);
        let disagreement = |comparison: &Comparison| Disagreement {
            at: self.at,
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            statuses: [self.used.head.status, self.answer.head.status],
            took: [self.used.took, self.answer.took],
            differences: comparison.differences.iter().map(ToString::to_string).collect(),
            more: comparison.more,
        };
        self.tally.compared(&comparison, [self.used.took, self.answer.took], disagreement);
    }
}

fn answer_of(whole: &Whole) -> Answer<'_> {
    let head = &whole.head;
    Answer {
        status: head.status,
        content_type: &head.content_type,
        json_bytes: head.json_bytes,
        body: &whole.body.bytes,
    }
}
