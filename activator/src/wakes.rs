//! Which revisions something is held for without a replica: said at once, and again while it is so.

use tokio::sync::broadcast;
use units::RevisionKey;

/// Where holds say that they need a replica. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Wakes(broadcast::Sender<RevisionKey>);

impl Wakes {
    /// Pokes that nobody has read yet, at most. One that is lost is made up for by the next repetition.
    const DEPTH: usize = 1024;

    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(Self::DEPTH))
    }

    /// Something came for a revision that has no replica that may be used.
    pub(crate) fn poke(&self, revision: &RevisionKey) {
        // Nobody listens while no autoscaler is connected; the first frame on a new stream repeats what is held.
        let _ = self.0.send(revision.clone());
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<RevisionKey> {
        self.0.subscribe()
    }
}
