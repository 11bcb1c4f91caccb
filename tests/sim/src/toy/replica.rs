//! One replica: a model server behind a sidecar with the real line and meter.

use std::sync::Arc;

use balance::ReplicaId;
use breaker::{Entry, Limits, Line, Meter, Via, WaiterId};
use units::{Capacity, ConcurrencyLimit, Moment};

use crate::queue::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Has never been ready.
    Starting,
    Ready,
    /// Was ready, and its model server crashed.
    Unready,
    /// On its way out: it ends what it has, and gets nothing new.
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) name: Arc<str>,
    pub(crate) created: Millis,
    pub(crate) state: State,
    /// When it was ready for the first time.
    pub(crate) first_ready: Option<Millis>,
    /// Its sidecar's clock, against the toy's.
    pub(crate) skew: i64,
    pub(crate) meter: Meter,
    line: Line,
    /// Requests in it, waiting or worked on.
    pub(crate) inside: Vec<(u64, Via)>,
    /// Until when its stream to each autoscaler is cut.
    pub(crate) cut_until: [Millis; 2],
    /// What its sidecar said last: `None` before anything, else its requests and whether any were in flight.
    pub(crate) said: Option<(u64, bool)>,
}

impl Replica {
    pub(crate) fn new(id: ReplicaId, revision: usize, created: Millis, skew: i64, limit: ConcurrencyLimit) -> Self {
        let limits = match limit {
            ConcurrencyLimit::Unlimited => Limits { waiting: 1_000, in_flight: None, bytes: 1 << 30 },
            ConcurrencyLimit::AtMost(limit) => Limits::of_breaker(limit.get() * 10, limit.get(), 1 << 30),
        };
        Self {
            id,
            name: format!("r{revision}-{}", id.0).into(),
            created,
            state: State::Starting,
            first_ready: None,
            skew,
            meter: Meter::new(super::moment(created, skew)),
            line: Line::new(Capacity::from(limit), limits),
            inside: Vec::new(),
            cut_until: [0; 2],
            said: None,
        }
    }

    pub(crate) fn arrive(&mut self, now: Moment, request: u64, via: Via) -> Entry {
        let entry = self.line.arrive(WaiterId(request), 0);
        if entry != Entry::Full {
            self.meter.arrive(now, via);
            self.inside.push((request, via));
        }
        entry
    }

    /// A request leaves; `worked_on` unless it still waited. Who is worked on in its stead?
    pub(crate) fn leave(&mut self, now: Moment, request: u64, worked_on: bool) -> Option<u64> {
        let position = self.inside.iter().position(|(inside, _)| *inside == request)?;
        let (_, via) = self.inside.swap_remove(position);
        self.meter.leave(now, via);
        if worked_on {
            self.line.finish().map(|next| next.0)
        } else {
            self.line.give_up(WaiterId(request));
            None
        }
    }

    /// Its model server crashed: everybody in it leaves.
    pub(crate) fn crash(&mut self, now: Moment) -> Vec<u64> {
        let _ = self.line.dismiss_all();
        while 0 < self.line.running() {
            let _ = self.line.finish();
        }
        let all = std::mem::take(&mut self.inside);
        for (_, via) in &all {
            self.meter.leave(now, *via);
        }
        all.into_iter().map(|(request, _)| request).collect()
    }
}
