//! Wakes: what is held for want of a replica, and how far each wake has come.

use std::sync::Arc;

use platform::{Replica, ReplicaState};
use std::time::Duration;

use tracing::info;
use units::Moment;

use super::{Revision, count};
use crate::ring::{Wake, WakeEnd};

impl Revision {
    /// A request for it has come through Rouse.
    pub(super) fn was_asked_for(&mut self) {
        if !std::mem::replace(&mut self.asked_for, true) {
            self.place.lock().asked_for = true;
        }
    }

    /// A wake: decided at once, unless an order for it is out already or it was only repeated.
    pub(super) fn hear_wake(&mut self, activator: Arc<str>, at: Moment, wake: &wire::Wake) {
        let was_quiet = self.held.level(at) == 0;
        self.held.wake(Arc::clone(&activator), wake.held, at);
        self.was_asked_for();
        self.seal_woken(at);
        let is_at_zero = self.scale().is_none_or(|scale| scale.replicas.is_zero());
        if was_quiet || is_at_zero {
            self.due = self.due.min(at);
        }
        if self.failed.is_some() {
            // The first wake after the pause is what tries again.
            self.judge_start(at);
        }
        if self.failed.is_some() {
            self.tell_refusal(&activator, at);
            return;
        }
        let nothing_ready = count(&self.facts.borrow().replicas, ReplicaState::Ready).is_zero();
        let mut shown = self.place.lock();
        if let Some(under_way) = shown.wakes.under_way() {
            under_way.held = under_way.held.max(wake.held);
        } else if nothing_ready {
            shown.wakes.begin(Wake {
                at,
                asked_by: self.ground.peers.name_of(&activator),
                request_id: wake.request_id.as_str().into(),
                held: wake.held,
                ordered: None,
                made: None,
                started: None,
                end: None,
            });
        }
    }

    pub(super) fn wake_was_ordered(&mut self, now: Moment) {
        let mut shown = self.place.lock();
        if let Some(wake) = shown.wakes.under_way().filter(|wake| wake.ordered.is_none()) {
            wake.ordered = Some(now);
            self.metrics.wake_ordered(wake.after(now));
        }
    }

    pub(super) fn wake_went_on(&mut self, now: Moment, replicas: &[Replica]) {
        let mut shown = self.place.lock();
        let Some(wake) = shown.wakes.under_way() else { return };
        let staying = || replicas.iter().filter(|replica| replica.state != ReplicaState::Leaving);
        let there = staying().next().is_some();
        if there {
            wake.made.get_or_insert(now);
        }
        if there && wake.ordered.is_none() {
            // What is there was ordered, also if the answer to the order is still on its way.
            wake.ordered = Some(now);
            self.metrics.wake_ordered(wake.after(now));
        }
        let is_ready = staying().any(|replica| replica.state == ReplicaState::Ready);
        // Who is ready runs, whether or not the platform says since when.
        let spawned = staying().filter_map(|replica| replica.spawned).min().or(is_ready.then_some(now));
        if wake.started.is_none()
            && let Some(spawned) = spawned
        {
            // The order was carried out before we heard that it was.
            let started = wake.ordered.map_or(spawned, |ordered| ordered.max(spawned));
            wake.started = Some(started);
            self.metrics.wake_started(wake.after(started));
        }
        if is_ready {
            self.metrics.wake_ready(wake.after(now));
        }
        let went_back = !there && wake.made.is_some();
        drop(shown);
        // One that crashed is made anew, and whoever is held goes on waiting.
        let went_back = went_back && self.held.level(now) == 0;
        if is_ready {
            self.wake_ended(now, WakeEnd::Ready);
        } else if went_back {
            self.wake_ended(now, WakeEnd::Abandoned);
        }
    }

    pub(super) fn wake_ended(&mut self, now: Moment, end: WakeEnd) {
        let mut shown = self.place.lock();
        let Some(wake) = shown.wakes.under_way() else { return };
        let after = Duration::from_millis(u64::try_from(wake.after(now).as_millis()).unwrap_or(u64::MAX));
        info!(revision = %self.key, outcome = end.word(), ?after, "a wake ended");
        self.metrics.all().wake(end.word());
        wake.end = Some((now, end));
    }
}
