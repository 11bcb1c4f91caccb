//! Has a revision's start failed? `kpa::start` judges; here it is told how the start goes, and activators are told.

use std::sync::Arc;
use std::time::Duration;

use kpa::{StartState, Starting};
use platform::{ReplicaState, Workload};
use tracing::{info, warn};
use units::Moment;
use wire::Down;

use super::{Revision, count};
use crate::ring::WakeEnd;

impl Revision {
    /// Asks whether its start has failed. Is the answer a new one?
    pub(super) fn judge_start(&mut self, now: Moment) -> bool {
        let facts = Arc::clone(&self.facts.borrow());
        let ready = !count(&facts.replicas, ReplicaState::Ready).is_zero();
        let first = facts.replicas.iter().filter(|replica| replica.state == ReplicaState::Starting);
        // A replica that is made anew does not begin the start anew.
        self.starting_since = match first.map(|replica| replica.created).min() {
            Some(created) => Some(self.starting_since.map_or(created, |since| since.min(created))),
            None => None,
        }
        .filter(|_| !ready);
        let starting = Starting {
            generation: generation(&facts),
            ready,
            crashes_in_a_row: facts.trouble.as_ref().map_or(0, |trouble| trouble.crashes_in_a_row),
            starting_for: self.starting_since.map(|since| now.since(since)),
            progress_deadline: facts.progress_deadline,
            wanted: 0 < self.held.level(now) || !self.scaler.policy().min.is_zero(),
        };
        match (self.start.judge(now, &starting), self.failed.is_some()) {
            (StartState::Failed { retry_in }, false) => {
                let why: Arc<str> = match &facts.trouble {
                    Some(trouble) => Arc::clone(&trouble.last_words),
                    None => format!("no replica was ready after {:?}", facts.progress_deadline).into(),
                };
                warn!(revision = %self.key, reason = %why, ?retry_in, "its start failed");
                self.failed = Some((Arc::clone(&why), now.plus(retry_in)));
                self.place.lock().failed = Some(Arc::clone(&why));
                self.wake_ended(now, WakeEnd::Failed(why));
                self.tell_all_of_refusal(now);
                true
            }
            (StartState::Fine, true) => {
                info!(revision = %self.key, "its start may be tried again");
                self.failed = None;
                self.place.lock().failed = None;
                self.tell_all_of_refusal(now);
                true
            }
            (StartState::Failed { retry_in }, true) => {
                // It may have failed again without having been given up between. A pause that is over is not news: said
                // again, it would refuse whoever comes to try, and have the next decision at once, and again.
                let until = now.plus(retry_in);
                if let Some((_, told)) = &mut self.failed
                    && !retry_in.is_zero()
                    && *told < until
                {
                    *told = until;
                    self.tell_all_of_refusal(now);
                }
                false
            }
            (StartState::Fine, false) => false,
        }
    }

    /// Tells an activator that a wake cannot be answered now, or that it can again.
    pub(super) fn tell_refusal(&self, activator: &str, now: Moment) {
        if self.ground.leading().is_some() {
            self.ground.peers.tell_activator(activator, Down::Refusal(self.refusal(now)));
        }
    }

    pub(super) fn tell_all_of_refusal(&self, now: Moment) {
        for activator in self.ground.peers.activators() {
            self.tell_refusal(&activator.uid, now);
        }
    }

    pub(super) fn refusal(&self, now: Moment) -> wire::Refusal {
        let (reason, detail, retry_after) = match &self.failed {
            Some((why, until)) => ("start-failed", why.to_string(), until.since(now)),
            None => ("", String::new(), Duration::ZERO),
        };
        wire::Refusal {
            namespace: self.key.namespace.to_string(),
            revision: self.key.name.to_string(),
            reason: reason.to_owned(),
            detail,
            retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

pub(super) fn generation(revision: &platform::Revision) -> u64 {
    match &revision.workload {
        Workload::Missing => 0,
        Workload::Present { generation, .. } => *generation,
    }
}
