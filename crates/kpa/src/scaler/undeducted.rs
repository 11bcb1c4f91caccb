//! What replicas report as proxied while no activator tells of it: it counts once, whoever tells first.

use crate::Stat;
use crate::collect::Seconds;

/// Sums over seconds: request-seconds, and requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Undeducted {
    /// The first and the last second that they are of; of none at first.
    pub(super) span: Option<(u64, u64)>,
    concurrency: f64,
    requests: f64,
}

impl Undeducted {
    /// What a replica reports as proxied, and no activator has told yet.
    pub(super) fn add(&mut self, told: Seconds) {
        if 0.0 < told.each.average_proxied_concurrency || 0.0 < told.each.proxied_count {
            let (first, last) = self.span.unwrap_or((told.first, told.last));
            self.span = Some((first.min(told.first), last.max(told.last)));
        }
        self.concurrency += told.each.average_proxied_concurrency * told.count();
        self.requests += told.each.proxied_count * told.count();
    }

    /// What is left of each of an activator's seconds.
    pub(super) fn take_off(&mut self, told: Seconds) -> Stat {
        let left = |sum: &mut f64, each: f64| {
            let taken = sum.min(each * told.count()).max(0.0);
            *sum -= taken;
            each - taken / told.count()
        };
        let average_concurrency = left(&mut self.concurrency, told.each.average_concurrency);
        let request_count = left(&mut self.requests, told.each.request_count);
        Stat { average_concurrency, request_count, ..told.each }
    }
}
