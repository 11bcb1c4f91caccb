//! Orders for one revision that are under way: what was asked of the platform, and how it ended.
//!
//! Several futures that the revision's task polls among other things, so that a wake is heard while an order is out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kpa::seal::SealId;
use platform::{Actuator, Scale, ScaleError, ScaleOrder};
use tokio::time::{sleep, timeout};
use units::{Moment, ReplicaCount, RevisionKey};

/// An order ends within this, says the seam; one that does not has an unknown end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A decision's.
    Decision,
    /// The last step of a seal.
    Seal(SealId),
}

/// Who wants to know what `scale` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Whoever ordered and got no answer.
    Decision,
    /// A seal, since this moment.
    Seal(Moment),
}

/// What ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// An order for so many.
    Scale(Whose, ReplicaCount, Result<Scale, ScaleError>),
    /// A reading.
    Read(Reader, Result<Scale, ScaleError>),
}

/// What is under way.
pub(crate) struct Orders {
    actuator: Arc<dyn Actuator>,
    revision: RevisionKey,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
}

impl Orders {
    /// Nothing yet.
    pub(crate) fn new(actuator: Arc<dyn Actuator>, revision: RevisionKey) -> Self {
        Self { actuator, revision, under_way: FuturesUnordered::new() }
    }

    /// Orders replicas.
    pub(crate) fn scale(&mut self, whose: Whose, order: ScaleOrder) {
        let actuator = Arc::clone(&self.actuator);
        self.under_way.push(Box::pin(async move {
            let to = order.to;
            let ended = timeout(PATIENCE, actuator.scale(order)).await;
            Ended::Scale(whose, to, ended.unwrap_or_else(|_| Err(no_answer())))
        }));
    }

    /// Reads `scale`, after a pause.
    pub(crate) fn read(&mut self, reader: Reader, pause: Duration) {
        let (actuator, revision) = (Arc::clone(&self.actuator), self.revision.clone());
        self.under_way.push(Box::pin(async move {
            sleep(pause).await;
            let ended = timeout(PATIENCE, actuator.read_scale(&revision)).await;
            Ended::Read(reader, ended.unwrap_or_else(|_| Err(no_answer())))
        }));
    }

    /// The next that ends; never, while nothing is under way. Dropping this loses nothing.
    pub(crate) async fn next(&mut self) -> Ended {
        match self.under_way.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

fn no_answer() -> ScaleError {
    ScaleError::Unknown { why: format!("nothing was heard for {PATIENCE:?}") }
}
