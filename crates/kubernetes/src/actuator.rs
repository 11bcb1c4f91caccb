//! The seam that makes it so, on a cluster. What it does is in `scale` and `route`; here is who may.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use platform::{Actuator, Leadership, RouteError, RouteOrder, Scale, ScaleError, ScaleOrder};
use tokio::sync::watch;
use units::{Moment, RevisionKey};

use crate::cluster::{Cluster, PROMPT};

impl Cluster {
    /// Makes it so, as long as `leadership` says that this program leads.
    pub fn actuator(&self, leadership: watch::Receiver<Leadership>) -> Arc<dyn Actuator> {
        Arc::new(self.hands(leadership))
    }

    /// The same, as what it is.
    pub(crate) fn hands(&self, leadership: watch::Receiver<Leadership>) -> Hands {
        Hands { cluster: self.clone(), leadership }
    }
}

/// What changes the cluster.
pub(crate) struct Hands {
    pub(crate) cluster: Cluster,
    leadership: watch::Receiver<Leadership>,
}

impl Hands {
    /// May what this leadership has ordered be written now? Asked right before each write: whoever decided may have been
    /// held up since.
    pub(crate) fn may_write(&self, epoch: u64) -> bool {
        may_write(*self.leadership.borrow(), epoch, self.cluster.clock.now())
    }
}

/// A write that begins now has ended by the renew deadline: it is given so long and no longer. So it has ended before
/// anybody else can lead, unless a network keeps it for longer than a lease outlasts the deadline; and what is kept so
/// long comes with a version that is not current any more.
fn may_write(leadership: Leadership, ordered: u64, now: Moment) -> bool {
    match leadership {
        Leadership::Following => false,
        Leadership::Leading { epoch, until } => epoch == ordered && now.plus(PROMPT) < until,
    }
}

impl Actuator for Hands {
    fn scale(&self, order: ScaleOrder) -> BoxFuture<'_, Result<Scale, ScaleError>> {
        Box::pin(self.order_scale(order))
    }

    fn read_scale<'a>(&'a self, revision: &'a RevisionKey) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        Box::pin(self.ask_scale(revision))
    }

    fn set_route(&self, order: RouteOrder) -> BoxFuture<'_, Result<(), RouteError>> {
        Box::pin(self.order_route(order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix_millis(millis)
    }

    #[test]
    fn only_the_leadership_that_ordered_it_writes() {
        let leading = Leadership::Leading { epoch: 4, until: at(10_000) };
        assert!(may_write(leading, 4, at(0)));
        assert!(!may_write(leading, 3, at(0)));
        assert!(!may_write(leading, 5, at(0)));
        assert!(!may_write(Leadership::Following, 4, at(0)));
    }

    #[test]
    fn nothing_is_begun_that_might_not_end_by_the_renew_deadline() {
        let leading = Leadership::Leading { epoch: 4, until: at(10_000) };
        assert!(may_write(leading, 4, at(8_999)));
        assert!(!may_write(leading, 4, at(9_000)));
    }

    #[test]
    fn who_is_alone_may_always_write() {
        assert!(may_write(Leadership::ALONE, 1, Moment::from_unix_millis(1_700_000_000_000)));
    }
}
