//! One budget of memory for everything that waits in a process, whichever line it waits in.
//!
//! Each line has limits of its own, but there may be a thousand lines. What a request takes while it waits is a [`Share`]
//! of the budget; dropping the share is the only way to give it back, so it goes where the request goes and is free in
//! the moment in which its client leaves.
//!
//! What holds after every call, from whatever thread: what is used is the sum of the shares that live, and never more than
//! the limit.
//!
//! Not here: what the process has besides (connections, answers on their way). The limit leaves room for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// Bytes that may be held, all together. Cheap to clone: a clone is the same budget.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
#[must_use = "what is dropped is free again"]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    /// So many bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Inner { limit, used: AtomicU64::new(0) }))
    }

    /// Bytes there are.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes that are taken now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes so many bytes; `None` if they are not there, and then nothing is taken.
    pub fn take(&self, bytes: u64) -> Option<Share> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow(bytes).then_some(share)
    }
}

impl Share {
    /// Takes so many bytes more; `false` if they are not there, and then nothing is taken.
    #[must_use = "bytes without room must not be kept"]
    pub fn grow(&mut self, more: u64) -> bool {
        // The count guards no other memory, so its own order is enough.
        let Inner { limit, used } = &*self.budget.0;
        let room = |used: u64| used.checked_add(more).filter(|sum| sum <= limit);
        let fits = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if fits {
            self.bytes += more;
        }
        fits
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.0.used.fetch_sub(surplus, Ordering::Relaxed);
    }

    /// Bytes of this share.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
