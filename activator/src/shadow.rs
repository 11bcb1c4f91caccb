//! Copies of requests to shadows: revisions that are asked what the others are asked, and whose answers nobody gets.
//!
//! A client never waits for a copy. What it sends is written down as it goes by, and the copy goes out on its own once the
//! last byte has gone to the replica; what it is answered is written down likewise. All of that is bounded, in number and in
//! bytes, by a budget beside that of the clients; what has no room is dropped and counted.
//!
//! - here: who gets a copy of a request, and what of it may go by
//! - `copy`: one request, from its last byte to what its copies came to
//! - `judge`: two answers, compared where that delays nobody
//! - `tally`: what came of them, counted, with the last disagreements
//!
//! Which requests are sampled is `traffic`'s to say, and whether two answers are alike `compare`'s.

mod copy;
mod judge;
mod shown;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use breaker::{Budget, Share};
use dashmap::DashMap;
use forward::{Answer, Exchange, Tap};
use http::HeaderValue;
use platform::{Endpoint, Timeouts};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use traffic::is_sampled;
use units::{Moment, RevisionKey};

use crate::hold::{HELD_REQUEST_BYTES, Hold};
use crate::metrics::Metrics;
use copy::{Ask, Used};
use judge::Judge;
pub(crate) use tally::{COMPARED, FATES, ROWS};
use tally::{Fate, Tally};

/// The most of a request, and of each answer, that is copied. Tensors of a picture are below it.
const LARGEST_BODY: usize = 1 << 20;
/// Copies under way to one shadow, those included that wait for it.
const MOST_AT_ONCE: usize = 128;
/// All copies of a process, as a part of what clients may take while they wait.
const PART_OF_THE_BUDGET: u64 = 8;
/// And never more than this, whatever memory there is: what has no room here is not worth a machine's memory.
const MOST_BYTES: u64 = 64 << 20;

/// What all copies of an activator have in common.
pub(crate) struct Shadows {
    budget: Budget,
    metrics: Metrics,
    judge: Judge,
    tasks: TaskTracker,
    ended: CancellationToken,
    /// Of each shadow that an endpoint names.
    tallies: DashMap<RevisionKey, Arc<Tally>>,
}

/// A shadow, as it is in force.
#[derive(Clone)]
pub(crate) struct Shadow {
    spec: platform::Shadow,
    hold: Arc<Hold>,
    tally: Arc<Tally>,
    timeouts: Timeouts,
    /// The longest that a copy waits for a replica.
    max_wait: Duration,
}

/// Copies of one request that are on their way, as long as its client's answer has not begun.
pub(crate) struct Copies {
    tell: oneshot::Sender<Used>,
    budget: Budget,
}

impl Shadows {
    pub(crate) fn new(clients: &Budget, metrics: Metrics) -> Self {
        Self {
            budget: Budget::new((clients.limit() / PART_OF_THE_BUDGET).min(MOST_BYTES)),
            metrics,
            judge: Judge::new(),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
            tallies: DashMap::new(),
        }
    }

    /// Those of an endpoint, each with its hold, in their order.
    pub(crate) fn of(&self, endpoint: &Endpoint, hold: impl Fn(&RevisionKey) -> Arc<Hold>) -> Vec<Shadow> {
        let of = |spec: &platform::Shadow| {
            let new = || Arc::new(Tally::new(endpoint.key.clone(), self.metrics.of_shadow(&spec.revision)));
            let mut entry = self.tallies.entry(spec.revision.clone()).or_insert_with(new);
            if *entry.endpoint() != endpoint.key {
                entry.end();
                *entry = new();
            }
            let tally = Arc::clone(&entry);
            drop(entry);
            tally.is_for(spec);
            let (timeouts, max_wait) = (endpoint.timeouts, endpoint.queue.max_wait);
            Shadow { spec: spec.clone(), hold: hold(&spec.revision), tally, timeouts, max_wait }
        };
        endpoint.shadows.iter().map(of).collect()
    }

    /// Only these are there still. Copies under way to others are given up: in the line of a revision that has become a
    /// target they would stand before clients.
    pub(crate) fn keep(&self, named: impl Fn(&RevisionKey) -> bool) {
        self.tallies.retain(|revision, tally| {
            let stays = named(revision);
            if !stays {
                tally.end();
                self.metrics.forget_shadow(revision);
            }
            stays
        });
    }

    /// Nobody is asked any more. Returns once what was under way is dropped.
    pub(crate) async fn end(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Listens in to a request that goes to a replica now, for those that are to have a copy of it. `number`: how many
    /// came to this endpoint before it. `None`: nobody is.
    pub(crate) fn listen(
        &self,
        shadows: &[Shadow],
        number: u64,
        exchange: &mut Exchange,
        request_id: &HeaderValue,
    ) -> Option<Copies> {
        // What becomes of the connection is between its two ends.
        let copied = |shadow: &&Shadow| is_sampled(shadow.spec.percent, number) && !exchange.noted().upgrade;
        let chosen = shadows.iter().filter(copied).filter_map(|shadow| shadow.take(&self.budget));
        let chosen: Vec<(Shadow, Room)> = chosen.collect();
        if chosen.is_empty() {
            return None;
        }
        let Ok((tap, body)) = Tap::new(&self.budget, LARGEST_BODY) else {
            chosen.iter().for_each(|(shadow, _)| shadow.tally.fell(Fate::NoRoom));
            return None;
        };
        exchange.copy_to(tap);
        let (tell, used) = oneshot::channel();
        let ask = Ask {
            chosen,
            body,
            used,
            head: copy::head_of(exchange),
            request_id: request_id.clone(),
            budget: self.budget.clone(),
            judge: self.judge.clone(),
        };
        self.tasks.spawn(self.ended.clone().run_until_cancelled_owned(ask.run()));
        Some(Copies { tell, budget: self.budget.clone() })
    }

    /// What came of them, by the name of the shadow.
    pub(crate) fn shown(&self) -> Vec<admin::Shadow> {
        let mut shown: Vec<_> = self.tallies.iter().map(|entry| shown::shadow(entry.key(), entry.value())).collect();
        shown.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        shown
    }
}

/// What a copy takes beside its body, until it has come to its end.
struct Room {
    _one_of_many: OwnedSemaphorePermit,
    _share: Share,
}

impl Shadow {
    /// Room for one copy more, or that there is none is counted.
    fn take(&self, budget: &Budget) -> Option<(Self, Room)> {
        if !self.spec.wake && !self.hold.has_replica() {
            self.tally.fell(Fate::Asleep);
            return None;
        }
        let Ok(one_of_many) = Arc::clone(self.tally.at_once()).try_acquire_owned() else {
            self.tally.fell(Fate::TooMany);
            return None;
        };
        let Some(share) = budget.take(HELD_REQUEST_BYTES) else {
            self.tally.fell(Fate::NoRoom);
            return None;
        };
        Some((self.clone(), Room { _one_of_many: one_of_many, _share: share }))
    }
}

impl Copies {
    /// The client's answer begins: it is written down too, so that those of shadows can be compared with it.
    pub(crate) fn compare_with(self, answer: &mut Answer, handed_over: Moment) {
        // Nobody compares, or all copies were dropped already.
        if self.tell.is_closed() {
            return;
        }
        let Ok((tap, body)) = Tap::new(&self.budget, LARGEST_BODY) else { return };
        answer.copy_to(tap);
        let _ = self.tell.send(Used { head: copy::AnswerHead::of(&answer.head), body, handed_over });
    }
}
