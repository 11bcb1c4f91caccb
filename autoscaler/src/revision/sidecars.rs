//! What a revision's sidecars are told, and what is known through them: who is idle, who runs with which settings.

use std::sync::Arc;
use std::time::Duration;

use platform::{Endpoint, Replica, ReplicaState};
use tracing::warn;
use wire::Down;

use super::Revision;

impl Revision {
    /// A replica said what it cut as it left. Said and counted by whoever leads alone, for all of them hear it.
    pub(super) fn were_cut(&self, replica: &str, before: [u64; 3], cut: [u64; 3]) {
        let [unary, streaming, upgraded] = std::array::from_fn(|class| cut[class].saturating_sub(before[class]));
        if [unary, streaming, upgraded] == [0; 3] || self.ground.leading().is_none() {
            return;
        }
        self.metrics.all().were_cut([unary, streaming, upgraded]);
        warn!(
            revision = %self.key, replica, unary, streaming, upgraded,
            "a replica that left cut what had not ended in time"
        );
    }

    /// Tells each connected sidecar what to run with, unless it was told.
    pub(super) fn tell_settings(&mut self, endpoint: Option<&Endpoint>) {
        let Some(endpoint) = endpoint.filter(|_| self.ground.leading().is_some()) else { return };
        let facts = Arc::clone(&self.facts.borrow());
        if !facts.sidecars {
            return;
        }
        let settings = sidecar_settings(&facts, endpoint);
        let sidecars = self.ground.peers.sidecars(&self.key);
        self.told.retain(|replica, _| sidecars.contains_key(replica));
        for (replica, sidecar) in sidecars {
            let knows = self
                .told
                .get(&replica)
                .is_some_and(|(outbox, generation)| outbox.is(&sidecar.outbox) && *generation == settings.generation);
            if !knows && sidecar.outbox.say(Down::Settings(settings.clone())) {
                self.told.insert(replica, (sidecar.outbox, settings.generation));
            }
        }
    }

    /// Has every replica a sidecar that runs with the settings in force?
    pub(super) fn sidecars_are_ready_for_direct(&self, facts: &platform::Revision) -> bool {
        let current = |replica: &Replica| {
            let told = self.told.get(&replica.name).map(|(_, generation)| *generation);
            told.is_some() && self.sidecars.get(&replica.name).map(|seen| seen.settings) == told
        };
        facts.sidecars && facts.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready).all(current)
    }

    /// The replicas to take first: those that serve nobody yet, then the idlest; whom nobody knows about comes last.
    pub(super) fn victims(&self) -> Vec<Arc<str>> {
        let facts = self.facts.borrow();
        let mut staying: Vec<&Replica> =
            facts.replicas.iter().filter(|replica| replica.state != ReplicaState::Leaving).collect();
        staying.sort_by_key(|replica| {
            let in_flight = self.sidecars.get(&replica.name).map_or(u32::MAX, |seen| seen.in_flight);
            (replica.state == ReplicaState::Ready, in_flight, std::cmp::Reverse(replica.created))
        });
        staying.into_iter().map(|replica| Arc::clone(&replica.name)).collect()
    }
}

/// What a sidecar of this revision is to run with. The number is made of the values, so that every autoscaler, also after
/// a restart, gives the same name to the same settings.
fn sidecar_settings(revision: &platform::Revision, endpoint: &Endpoint) -> wire::Settings {
    let millis =
        |limit: Option<Duration>| limit.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let mut settings = wire::Settings {
        generation: 0,
        container_concurrency: revision.container_concurrency.to_field(),
        request_timeout_ms: millis(endpoint.timeouts.request),
        response_start_timeout_ms: millis(endpoint.timeouts.response_start),
        idle_timeout_ms: millis(endpoint.timeouts.idle),
    };
    let values = [
        u64::from(settings.container_concurrency),
        settings.request_timeout_ms,
        settings.response_start_timeout_ms,
        settings.idle_timeout_ms,
    ];
    // FNV-1a; 0 is taken.
    let hash = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    settings.generation = hash.max(1);
    settings
}
