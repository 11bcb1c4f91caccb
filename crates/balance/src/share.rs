//! Which part of a revision's replicas belongs to this activator, and how much it may have in flight.
//!
//! Activators do not talk to one another. Each sorts the activators in the path and the replicas the same way, finds its
//! own index, and takes its slice; so no two fill the same replica, but where there are more activators than replicas.

use std::sync::Arc;

use units::{Capacity, ConcurrencyLimit};

#[cfg(test)]
mod tests;

/// The largest capacity that is not unlimited.
const LARGEST: u32 = i32::MAX.cast_unsigned();

/// What one activator may have in flight for a revision.
///
/// `backends` are its ready replicas; `assigned` those that are this activator's when it sends to replicas itself, 0
/// when it sends to a cluster address and cannot tell them apart. Then `activators` share what the backends take, and
/// each has at least 1, so that none of them starves.
pub fn revision_capacity(limit: ConcurrencyLimit, backends: u32, assigned: u32, activators: u32) -> Capacity {
    let limit = match limit {
        ConcurrencyLimit::Unlimited if backends == 0 => return Capacity::NONE,
        ConcurrencyLimit::Unlimited => return Capacity::Unlimited,
        ConcurrencyLimit::AtMost(limit) => u64::from(limit.get()),
    };
    let capacity = if assigned != 0 {
        limit * u64::from(assigned)
    } else if backends != 0 {
        (limit * u64::from(backends) / u64::from(activators.max(1))).max(1)
    } else {
        0
    };
    Capacity::AtMost(u32::try_from(capacity).unwrap_or(LARGEST).min(LARGEST))
}

/// Which of `replicas` (sorted, named 0, 1, 2 …) are the activator's with this `index` among `activators`.
///
/// All of them while the index is unknown or there is nothing to divide. With more activators than replicas, one each,
/// shared. Else equal slices, and of those left over at the end one each to the first activators.
pub fn assign_slice(replicas: usize, index: Option<usize>, activators: usize) -> Vec<usize> {
    let Some(index) = index else { return (0..replicas).collect() };
    if replicas <= 1 || activators <= 1 {
        return (0..replicas).collect();
    }
    if replicas < activators {
        return vec![index % replicas];
    }
    let each = replicas / activators;
    let left_over = replicas % activators;
    let mut assigned: Vec<usize> = (index * each..(index + 1) * each).collect();
    if index < left_over {
        assigned.push(replicas - left_over + index);
    }
    assigned
}

/// The position of `own` among the addresses of all activators, sorted as text; `None` if it is not among them.
pub fn activator_index(addresses: &[Arc<str>], own: &str) -> Option<usize> {
    let is_there = addresses.iter().any(|address| **address == *own);
    is_there.then(|| addresses.iter().filter(|address| ***address < *own).count())
}

/// What this activator knows of a revision's replicas and of its fellow activators.
#[derive(Clone, Debug)]
pub struct View {
    own: Arc<str>,
    limit: ConcurrencyLimit,
    backends: Backends,
    index: Option<usize>,
    activators: u32,
}

#[derive(Clone, Debug)]
enum Backends {
    /// Addresses of ready replicas, sorted as text.
    Replicas(Vec<Arc<str>>),
    /// So many behind one address.
    ClusterAddress(u32),
}

impl View {
    /// Knows nothing yet: no replicas, and not its place among activators.
    pub fn new(own: Arc<str>, limit: ConcurrencyLimit) -> Self {
        Self { own, limit, backends: Backends::Replicas(Vec::new()), index: None, activators: 0 }
    }

    /// These replicas are ready, and can be sent to directly. In any order.
    pub fn set_replicas(&mut self, mut addresses: Vec<Arc<str>>) {
        addresses.sort_unstable();
        self.backends = Backends::Replicas(addresses);
    }

    /// So many are ready behind the revision's cluster address, which is used from now on.
    pub fn set_cluster_address(&mut self, backends: u32) {
        self.backends = Backends::ClusterAddress(backends);
    }

    /// These activators are in the path, in any order. A list without this one is old or not meant for it, and ignored.
    pub fn set_activators(&mut self, addresses: &[Arc<str>]) {
        let Some(index) = activator_index(addresses, &self.own) else { return };
        self.index = Some(index);
        self.activators = count(addresses.len());
    }

    /// From now on this is a replica's limit.
    pub fn set_limit(&mut self, limit: ConcurrencyLimit) {
        self.limit = limit;
    }

    /// The replicas that are this activator's, in order. Without a limit all are everyone's: nothing can be overfilled,
    /// and the choice among many is the better one. None with a cluster address.
    pub fn assigned(&self) -> Vec<Arc<str>> {
        let Backends::Replicas(addresses) = &self.backends else { return Vec::new() };
        match self.limit {
            ConcurrencyLimit::Unlimited => addresses.clone(),
            ConcurrencyLimit::AtMost(_) => {
                let slice = assign_slice(addresses.len(), self.index, self.activators as usize);
                slice.into_iter().filter_map(|position| addresses.get(position).cloned()).collect()
            }
        }
    }

    /// What this activator may have in flight for the revision.
    pub fn capacity(&self) -> Capacity {
        match &self.backends {
            Backends::ClusterAddress(backends) => revision_capacity(self.limit, *backends, 0, self.activators),
            Backends::Replicas(addresses) => {
                let assigned = count(self.assigned().len());
                revision_capacity(self.limit, count(addresses.len()), assigned, self.activators)
            }
        }
    }

    /// This activator's position among all in the path; `None` while it has not been told.
    pub fn activator_index(&self) -> Option<usize> {
        self.index
    }

    /// How many activators are in the path; 0 while it has not been told.
    pub fn activators(&self) -> u32 {
        self.activators
    }

    /// Is it the cluster address that is sent to?
    pub fn uses_cluster_address(&self) -> bool {
        matches!(self.backends, Backends::ClusterAddress(_))
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
