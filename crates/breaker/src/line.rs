//! A bounded line in front of a capacity that changes under it.
//!
//! It never waits and wakes no one: each call says who may go now, and the owner, who holds the lock, tells them. So
//! every interleaving is a sequence of plain calls, and a test can write the sequence down.
//!
//! What holds after every call: whoever came first goes first; while anyone waits there is no room; and what goes is
//! never more than the capacity, but for those who went before it was lowered.
//!
//! A request is known by its id only while it waits. Once it goes it is a number, and its owner's ticket brings that
//! number back with [`Line::finish`]. A request that was told to go and cannot (its client left just then) finishes too.
//!
//! Places are kept in order of arrival in a `BTreeMap`, found by id in a `HashMap`: anyone leaves in O(log n) from
//! anywhere and leaves nothing behind, so that ten thousand clients that give up at once cost ten thousand small steps.
//!
//! Not here: how long anyone may wait (the owner's timers call [`Line::give_up`]), and the budget of the whole process (`budget`).

use std::collections::{BTreeMap, HashMap};

use units::Capacity;

#[cfg(test)]
mod tests;

/// Who waits. Chosen by the caller; no two that wait at the same time may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// What became of a request that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a request that may go counts until `finish`"]
pub enum Entry {
    /// It may go, and counts until [`Line::finish`].
    Go,
    /// It has a place in the line, until it is told to go or [`Line::give_up`].
    Wait,
    /// It has no place: refuse it.
    Full,
}

/// What one line holds at most. Lowering one sends nobody away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait.
    pub waiting: u32,
    /// Requests that wait and requests that go, together. `None`: only those that wait are limited.
    pub in_flight: Option<u32>,
    /// Bytes of the bodies of those that wait.
    pub bytes: u64,
}

impl Limits {
    /// As Knative's breaker counts: at most `queue_depth + max_concurrency` in flight, whatever the capacity is, so that
    /// with a capacity of 0 that many wait.
    pub fn of_breaker(queue_depth: u32, max_concurrency: u32, bytes: u64) -> Self {
        let in_flight = queue_depth.saturating_add(max_concurrency);
        Self { waiting: in_flight, in_flight: Some(in_flight), bytes }
    }
}

/// Those who wait, those who go, and how many may. See the module's header for what holds.
#[derive(Debug)]
pub struct Line {
    limits: Limits,
    capacity: Capacity,
    running: u32,
    bytes: u64,
    places: BTreeMap<u64, Waiter>,
    place_of: HashMap<WaiterId, u64>,
    /// The place of the next to arrive. Starts in the middle, because some step back to the front.
    next_place: u64,
}

#[derive(Debug)]
struct Waiter {
    id: WaiterId,
    bytes: u64,
}

impl Line {
    /// An empty line.
    pub fn new(capacity: Capacity, limits: Limits) -> Self {
        Self {
            limits,
            capacity,
            running: 0,
            bytes: 0,
            places: BTreeMap::new(),
            place_of: HashMap::new(),
            next_place: u64::MAX / 2,
        }
    }

    /// A request arrives and is willing to wait; while it waits, `bytes` of its body are held.
    ///
    /// An id that waits already keeps its place.
    pub fn arrive(&mut self, id: WaiterId, bytes: u64) -> Entry {
        if self.place_of.contains_key(&id) {
            return Entry::Wait;
        }
        if self.reserve() {
            return Entry::Go;
        }
        let full = self.in_flight_is_full()
            || self.limits.waiting <= self.waiting()
            || self.limits.bytes.saturating_sub(self.bytes) < bytes;
        if full {
            return Entry::Full;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.put(place, id, bytes);
        Entry::Wait
    }

    /// A request that goes at once or not at all. `true`: it goes, and counts until [`Line::finish`].
    #[must_use = "what was reserved counts until `finish`"]
    pub fn reserve(&mut self) -> bool {
        let may_go = self.capacity.has_room(self.running) && !self.in_flight_is_full();
        if may_go {
            self.running += 1;
        }
        may_go
    }

    /// One that went is done. Returns who goes in its stead.
    #[must_use = "this one may go now, and only you can tell it"]
    pub fn finish(&mut self) -> Option<WaiterId> {
        debug_assert!(0 < self.running, "more finished than went");
        self.running = self.running.saturating_sub(1);
        self.admit()
    }

    /// One that waits leaves: its client went away, or its time is over. `false` if it does not wait (it was told to go
    /// already, and must finish).
    pub fn give_up(&mut self, id: WaiterId) -> bool {
        let Some(place) = self.place_of.remove(&id) else { return false };
        if let Some(waiter) = self.places.remove(&place) {
            self.bytes -= waiter.bytes;
        }
        true
    }

    /// All that wait leave, first come first. For a revision that is gone or cannot be woken.
    #[must_use = "these were sent away, and only you can tell them"]
    pub fn dismiss_all(&mut self) -> Vec<WaiterId> {
        self.place_of.clear();
        self.bytes = 0;
        std::mem::take(&mut self.places).into_values().map(|waiter| waiter.id).collect()
    }

    /// One that went found that it cannot (its replica refused the connection, or is gone): it gives its place among
    /// those that go back, and waits before everyone else. Set the capacity to what is left first: with room it is told
    /// to [`Entry::Go`] again. Never [`Entry::Full`], for it was accepted.
    pub fn step_back(&mut self, id: WaiterId, bytes: u64) -> Entry {
        debug_assert!(0 < self.running, "more stepped back than went");
        let others = self.running.saturating_sub(1);
        if self.capacity.has_room(others) || self.place_of.contains_key(&id) {
            return Entry::Go;
        }
        self.running = others;
        let front = self.places.first_key_value().map_or(self.next_place, |(place, _)| *place);
        self.put(front - 1, id, bytes);
        Entry::Wait
    }

    /// `more` bytes of the body of one that waits are to be read. `false`: there is no room for them and they are not
    /// counted; do not read on, or refuse the request. `true` for one that does not wait, whose bytes are not held here.
    #[must_use = "bytes without room must not be kept"]
    pub fn hold_bytes(&mut self, id: WaiterId, more: u64) -> bool {
        let Some(waiter) = self.place_of.get(&id).and_then(|place| self.places.get_mut(place)) else { return true };
        if self.limits.bytes.saturating_sub(self.bytes) < more {
            return false;
        }
        waiter.bytes += more;
        self.bytes += more;
        true
    }

    /// From now on so many may go at once. Those who go already are left alone. Returns who may go now, in order.
    #[must_use = "these may go now, and only you can tell them"]
    pub fn set_capacity(&mut self, capacity: Capacity) -> Vec<WaiterId> {
        self.capacity = capacity;
        std::iter::from_fn(|| self.admit()).collect()
    }

    /// From now on these limits hold, for those who come.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many may go at once.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// How many go.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// How many wait and go, together.
    pub fn in_flight(&self) -> u32 {
        self.running.saturating_add(self.waiting())
    }

    /// Bytes of bodies held for those who wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Who is next.
    pub fn first(&self) -> Option<WaiterId> {
        self.places.first_key_value().map(|(_, waiter)| waiter.id)
    }

    fn in_flight_is_full(&self) -> bool {
        self.limits.in_flight.is_some_and(|most| most <= self.in_flight())
    }

    fn put(&mut self, place: u64, id: WaiterId, bytes: u64) {
        self.places.insert(place, Waiter { id, bytes });
        self.place_of.insert(id, place);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn admit(&mut self) -> Option<WaiterId> {
        if !self.capacity.has_room(self.running) {
            return None;
        }
        let (_, next) = self.places.pop_first()?;
        self.place_of.remove(&next.id);
        self.bytes -= next.bytes;
        self.running += 1;
        Some(next.id)
    }
}
