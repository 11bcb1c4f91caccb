//! What a revision hears from its peers, and the way there.
//!
//! Never waits: everything that peers say is cumulative (counts) or a level (wakes) or answers within a time limit
//! (seals), so what does not fit is dropped and costs time at most.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::mpsc;
use units::{Incarnation, Moment, RevisionKey};

/// What may wait for one revision. It is read at once; so many are a second of frames from 100 activators and 400
/// replicas.
const INBOX: usize = 512;

/// Something that a peer said about a revision, or that changed around it.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// Requests are held, and no replica can take them.
    Wake {
        /// By whom.
        activator: Arc<str>,
        /// When it was heard.
        at: Moment,
        /// How many, how long, and which.
        wake: wire::Wake,
    },
    /// What an activator counted.
    Demand {
        /// Who.
        activator: Arc<str>,
        /// Which run of it.
        incarnation: Incarnation,
        /// When it was heard.
        at: Moment,
        /// Time on its clock.
        elapsed_us: u64,
        /// The counts.
        demand: Box<wire::Demand>,
    },
    /// What a sidecar counted.
    Sidecar {
        /// Of which replica.
        replica: Arc<str>,
        /// Which run of it.
        incarnation: Incarnation,
        /// When it was heard.
        at: Moment,
        /// The counts.
        stats: wire::SidecarStats,
    },
    /// An activator's answer to a seal.
    SealAnswer {
        /// Who.
        activator: Arc<str>,
        /// Which run of it.
        incarnation: Incarnation,
        /// The answer.
        answer: wire::SealAnswer,
    },
    /// A sidecar's answer.
    IdleAnswer {
        /// Of which replica.
        replica: Arc<str>,
        /// Which run of it.
        incarnation: Incarnation,
        /// The answer.
        answer: wire::IdleAnswer,
    },
    /// A sidecar of it connected, and knows no settings yet.
    SidecarCame,
    /// Its endpoint changed.
    EndpointChanged,
}

/// The ways to all revisions. Shared.
#[derive(Debug, Default)]
pub(crate) struct Inboxes(DashMap<RevisionKey, mpsc::Sender<Heard>>);

impl Inboxes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A revision is there; what it hears comes out at this end. An older end of the same name hears no more.
    pub(crate) fn open(&self, revision: RevisionKey) -> mpsc::Receiver<Heard> {
        let (sender, receiver) = mpsc::channel(INBOX);
        self.0.insert(revision, sender);
        receiver
    }

    /// It is gone.
    pub(crate) fn close(&self, revision: &RevisionKey) {
        self.0.remove(revision);
    }

    /// Tells a revision. `false` if there is none, or it has too much to read.
    pub(crate) fn tell(&self, revision: &RevisionKey, heard: Heard) -> bool {
        self.0.get(revision).is_some_and(|inbox| inbox.try_send(heard).is_ok())
    }
}
