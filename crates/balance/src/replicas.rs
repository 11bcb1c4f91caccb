//! The replicas of a revision as one activator uses them.
//!
//! Each has requests in flight and room for more. A replica that refuses a connection is set aside for a while that
//! doubles with each refusal, and comes back by itself. One that is no longer offered gets nothing new, but is remembered
//! until its last request is done, so that it comes back with its true count.
//!
//! The capacity of the line before these replicas is [`Replicas::capacity`]: the slots of those in use, and what is still
//! in flight to the others. So the line has room exactly when a pick succeeds; a long answer of a replica that is going
//! keeps nobody from the next one. It changes with [`Replicas::offer`], [`Replicas::set_limit`],
//! [`Replicas::set_aside`], [`Replicas::answered`], when [`Replicas::next_return`] has come, and when
//! [`Replicas::done`] says so.

use std::time::Duration;

use units::{Capacity, ConcurrencyLimit, Moment};

use crate::policy::{self, Load, Policy};

#[cfg(test)]
mod tests;

/// A replica, as the caller numbers it. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// Set aside for so long after the first refusal: about what a server takes between its port's opening and closing when
/// it restarts a worker. Doubles with each further one.
const FIRST_ASIDE: Duration = Duration::from_millis(100);

/// The longest a replica is set aside. By then its readiness has told the truth.
const LONGEST_ASIDE: Duration = Duration::from_secs(5);

/// Why no replica was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReplica {
    /// None is offered.
    NoneOffered,
    /// All that might be used are as full as they may be.
    AllFull,
    /// All that have room are set aside; the first comes back at this moment.
    SetAside {
        /// When to ask again.
        until: Moment,
    },
}

/// The replicas on offer, what is in flight to each, and the rule to choose by.
#[derive(Debug)]
pub struct Replicas {
    limit: ConcurrencyLimit,
    policy: Policy,
    /// In the order of the offer. Found by scanning: a revision has a handful, rarely hundreds.
    offered: Vec<Replica>,
    /// No longer offered, but still with requests in flight.
    leaving: Vec<Replica>,
    cursor: usize,
    /// Kept from pick to pick, so that a pick does not allocate.
    candidates: Vec<usize>,
    loads: Vec<Load>,
}

#[derive(Clone, Copy, Debug)]
struct Replica {
    id: ReplicaId,
    in_flight: u32,
    refusals: u32,
    aside_until: Option<Moment>,
    /// When it joined others; `None` if there were none.
    joined: Option<Moment>,
}

impl Replica {
    fn new(id: ReplicaId, joined: Option<Moment>) -> Self {
        Self { id, in_flight: 0, refusals: 0, aside_until: None, joined }
    }

    fn is_aside(&self, now: Moment) -> bool {
        self.aside_until.is_some_and(|until| now < until)
    }
}

impl Replicas {
    /// No replicas yet; each will take at most `limit`, and is chosen by the policy for that limit.
    pub fn new(limit: ConcurrencyLimit) -> Self {
        Self {
            limit,
            policy: policy::choose(limit),
            offered: Vec::new(),
            leaving: Vec::new(),
            cursor: 0,
            candidates: Vec::new(),
            loads: Vec::new(),
        }
    }

    /// From now on each replica takes at most `limit`. What is in flight stays.
    pub fn set_limit(&mut self, limit: ConcurrencyLimit) {
        self.limit = limit;
        self.policy = policy::choose(limit);
    }

    /// From now on these are on offer, in this order. Counts of those known already stay. Those that join others get their
    /// whole share bit by bit; see [`policy::WARMING`].
    pub fn offer(&mut self, ids: &[ReplicaId], now: Moment) {
        // Those that come together have nobody to be compared with.
        let joined = (!self.offered.is_empty()).then_some(now);
        let mut known = std::mem::take(&mut self.offered);
        known.append(&mut self.leaving);
        for id in ids {
            if self.offered.iter().any(|replica| replica.id == *id) {
                continue;
            }
            let replica = match known.iter().position(|replica| replica.id == *id) {
                Some(position) => known.swap_remove(position),
                None => Replica::new(*id, joined),
            };
            self.offered.push(replica);
        }
        known.retain(|replica| replica.in_flight != 0);
        self.leaving = known;
    }

    /// Chooses a replica and counts a request in flight to it, until [`Replicas::done`]. `random` are 64 even bits.
    ///
    /// # Errors
    /// If none can take it, and why.
    pub fn pick(&mut self, now: Moment, random: u64) -> Result<ReplicaId, NoReplica> {
        if self.offered.is_empty() {
            return Err(NoReplica::NoneOffered);
        }
        let chosen = self.choose(now, random).ok_or_else(|| self.why_none(now))?;
        let replica = &mut self.offered[chosen];
        replica.in_flight += 1;
        Ok(replica.id)
    }

    /// A request that [`Replicas::pick`] gave to `id` is over, or never began. `true`: its slot went with it, as its
    /// replica is not in use or above its limit, and [`Replicas::capacity`], if limited, is one
    /// less. Tell the line before it lets
    /// the next one go.
    #[must_use = "the line must hear of a capacity that changed"]
    pub fn done(&mut self, id: ReplicaId, now: Moment) -> bool {
        if let Some(replica) = self.offered.iter_mut().find(|replica| replica.id == id) {
            debug_assert!(0 < replica.in_flight, "more done than picked");
            replica.in_flight = replica.in_flight.saturating_sub(1);
            let is_above_limit = !Capacity::from(self.limit).has_room(replica.in_flight);
            return replica.is_aside(now) || is_above_limit;
        }
        if let Some(replica) = self.leaving.iter_mut().find(|replica| replica.id == id) {
            debug_assert!(0 < replica.in_flight, "more done than picked");
            replica.in_flight = replica.in_flight.saturating_sub(1);
        }
        self.leaving.retain(|replica| replica.in_flight != 0);
        true
    }

    /// `id` refused a connection: nothing goes to it for a while. Returns when it comes back.
    ///
    /// Refusals of connections that were begun before it was set aside say nothing new and prolong nothing.
    pub fn set_aside(&mut self, id: ReplicaId, now: Moment) -> Option<Moment> {
        let replica = self.find(id)?;
        if !replica.is_aside(now) {
            let doubled = FIRST_ASIDE.saturating_mul(2_u32.saturating_pow(replica.refusals));
            replica.refusals = replica.refusals.saturating_add(1);
            replica.aside_until = Some(now.plus(doubled.min(LONGEST_ASIDE)));
        }
        replica.aside_until
    }

    /// `id` took a connection, or its probe was answered: it is used again, and its refusals are forgotten.
    pub fn answered(&mut self, id: ReplicaId) {
        if let Some(replica) = self.find(id) {
            replica.refusals = 0;
            replica.aside_until = None;
        }
    }

    /// How many requests there may be in flight: as many as those in use (on offer, not set aside) may have, and as are
    /// still in flight to the others.
    pub fn capacity(&self, now: Moment) -> Capacity {
        let mut slots: u32 = self.leaving.iter().map(|replica| replica.in_flight).sum();
        for replica in &self.offered {
            let of_replica = match self.limit {
                _ if replica.is_aside(now) => replica.in_flight,
                ConcurrencyLimit::Unlimited => return Capacity::Unlimited,
                ConcurrencyLimit::AtMost(limit) => limit.get().max(replica.in_flight),
            };
            slots = slots.saturating_add(of_replica);
        }
        Capacity::AtMost(slots)
    }

    /// When the next of those set aside comes back; from then on [`Replicas::capacity`] is larger.
    pub fn next_return(&self, now: Moment) -> Option<Moment> {
        self.offered.iter().filter_map(|replica| replica.aside_until).filter(|until| now < *until).min()
    }

    /// Requests in flight to `id` from here.
    pub fn in_flight(&self, id: ReplicaId) -> u32 {
        let all = self.offered.iter().chain(&self.leaving);
        all.filter(|replica| replica.id == id).map(|replica| replica.in_flight).sum()
    }

    /// Requests in flight to all of them, those no longer on offer included.
    pub fn total_in_flight(&self) -> u32 {
        self.offered.iter().chain(&self.leaving).map(|replica| replica.in_flight).sum()
    }

    /// Those on offer, in order.
    pub fn offered(&self) -> impl Iterator<Item = ReplicaId> {
        self.offered.iter().map(|replica| replica.id)
    }

    fn choose(&mut self, now: Moment, random: u64) -> Option<usize> {
        let capacity = Capacity::from(self.limit);
        self.candidates.clear();
        self.loads.clear();
        for (position, replica) in self.offered.iter().enumerate() {
            // One set aside is shown as full rather than left out, so that the cursor of round robin keeps its meaning.
            let aside = replica.is_aside(now);
            if aside && self.policy == Policy::RandomChoice2 {
                continue;
            }
            let capacity = if aside { Capacity::NONE } else { capacity };
            let percent = replica.joined.map_or(100, |joined| policy::warmth(now.since(joined)));
            self.candidates.push(position);
            self.loads.push(Load { in_flight: replica.in_flight, capacity, percent });
        }
        let chosen = match self.policy {
            Policy::FirstAvailable => policy::first_available(&self.loads),
            Policy::RoundRobin => policy::round_robin(&self.loads, &mut self.cursor),
            Policy::RandomChoice2 => policy::random_choice_2(&self.loads, random),
        };
        chosen.map(|chosen| self.candidates[chosen])
    }

    fn why_none(&self, now: Moment) -> NoReplica {
        let capacity = Capacity::from(self.limit);
        let with_room = self.offered.iter().filter(|replica| capacity.has_room(replica.in_flight));
        match with_room.filter_map(|replica| replica.aside_until).filter(|until| now < *until).min() {
            Some(until) => NoReplica::SetAside { until },
            None => NoReplica::AllFull,
        }
    }

    fn find(&mut self, id: ReplicaId) -> Option<&mut Replica> {
        self.offered.iter_mut().chain(&mut self.leaving).find(|replica| replica.id == id)
    }
}
