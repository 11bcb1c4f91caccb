//! What a demonstration has seen so far, as the admin port tells it: kept for the terminal and for the report.

use std::time::Duration;

use api::admin::{Decision, DecisionList, Endpoint, EndpointList, Point, Revision, Series, Wake, WakeList};

use crate::admin::{Server, typed};

/// The revision of `model.yaml`.
const REVISION: &str = "/api/v1/revisions/default/demo-v1";

/// How often is looked.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// Everything that was seen last, and how many replicas were ready at each look.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) points: Vec<Point>,
    pub(super) decisions: Vec<Decision>,
    pub(super) wakes: Vec<Wake>,
    /// In their order.
    pub(super) ready: Vec<u32>,
}

impl Seen {
    /// Looks once more.
    ///
    /// # Errors
    /// If the admin port does not answer.
    pub(super) async fn look(&mut self, admin: &Server) -> anyhow::Result<()> {
        self.endpoints = typed::<EndpointList>(admin.get("/api/v1/endpoints").await?)?.endpoints;
        self.points = typed::<Series>(admin.get(&format!("{REVISION}/series")).await?)?.points;
        self.decisions = typed::<DecisionList>(admin.get(&format!("{REVISION}/decisions")).await?)?.decisions;
        self.wakes = typed::<WakeList>(admin.get(&format!("{REVISION}/wakes")).await?)?.wakes;
        self.ready.extend(self.revision().map(|revision| revision.ready_replicas));
        Ok(())
    }

    /// The revision as it was last.
    pub(super) fn revision(&self) -> Option<&Revision> {
        self.endpoints.first()?.revisions.first()
    }

    /// Has it gone to sleep, with no replica left?
    pub(super) fn is_asleep(&self) -> bool {
        let state = self.revision().map(|revision| (revision.state, revision.replicas.is_empty()));
        state == Some((api::admin::State::Zero, true))
    }
}
