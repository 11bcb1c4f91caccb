//! A catalogue that holds what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use units::{EndpointKey, RevisionKey};

use crate::{ActivatorPod, Board, Catalogue, Endpoint, Feed, Revision};

/// What exists, written to by whoever knows: a platform, or a program that has an activator or an autoscaler within itself.
#[derive(Debug)]
pub struct Boards {
    /// Endpoints.
    pub endpoints: Board<EndpointKey, Endpoint>,
    /// Revisions that they name.
    pub revisions: Board<RevisionKey, Revision>,
    /// Every activator there is; `None` until they are known.
    pub activators: watch::Sender<Option<Arc<[ActivatorPod]>>>,
    /// The data of the ConfigMap `config-autoscaler`; `None` until it has been read.
    pub config: watch::Sender<Option<Arc<BTreeMap<String, String>>>>,
}

impl Boards {
    /// Nothing is known.
    #[expect(clippy::new_without_default, reason = "knowing nothing is a deliberate beginning, not a default")]
    pub fn new() -> Self {
        Self {
            endpoints: Board::new(),
            revisions: Board::new(),
            activators: watch::Sender::new(None),
            config: watch::Sender::new(None),
        }
    }
}

impl Catalogue for Boards {
    fn endpoints(&self) -> Feed<EndpointKey, Endpoint> {
        self.endpoints.feed()
    }

    fn revisions(&self) -> Feed<RevisionKey, Revision> {
        self.revisions.feed()
    }

    fn activators(&self) -> watch::Receiver<Option<Arc<[ActivatorPod]>>> {
        self.activators.subscribe()
    }

    fn config(&self) -> watch::Receiver<Option<Arc<BTreeMap<String, String>>>> {
        self.config.subscribe()
    }
}
