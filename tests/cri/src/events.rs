//! The stream that spares the kubelet its asking.
//!
//! A kubelet acts on a pod only with a picture younger than its last action, and it takes pictures from events. So besides
//! what happens, every pod is told of anew many times a second, as *created*: that brings a fresh picture and starts nothing.
//! Without it deleting a pod that has just changed waits for seconds.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::Runtime;
use crate::protocol::{self as p, ContainerEventType as Kind};
use crate::state::{State, now};

/// A kubelet that waits for a fresh picture waits half of this on average.
const BEAT: Duration = Duration::from_millis(50);

impl Runtime {
    /// Tells of a sandbox or a container, with the picture of its whole pod. To be called under the lock of the change that
    /// it tells of.
    pub(crate) fn tell(&self, state: &State, id: &str, kind: Kind) {
        if let Some(event) = picture(state, id, kind) {
            // Nobody listening is fine: a kubelet lists everything when it comes.
            let _ = self.events.send(event);
        }
    }

    /// Tells of every pod, again and again.
    pub(crate) async fn beat(&self) {
        let mut tick = tokio::time::interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.events.receiver_count() == 0 {
                continue;
            }
            let state = self.state.lock();
            for (id, sandbox) in &state.sandboxes {
                // A picture has one sandbox: that of an older one would have the kubelet make another.
                if state.newest(sandbox.pod()).is_some_and(|(newest, _)| newest == id) {
                    self.tell(&state, id, Kind::ContainerCreatedEvent);
                }
            }
        }
    }
}

/// A pod as it is now, told because of one of its parts.
fn picture(state: &State, id: &str, kind: Kind) -> Option<p::ContainerEventResponse> {
    let pod = state.pod_of(id)?;
    let (newest, sandbox) = state.newest(pod)?;
    Some(p::ContainerEventResponse {
        container_id: id.to_owned(),
        container_event_type: kind.into(),
        created_at: now(),
        pod_sandbox_status: Some(sandbox.status(newest)),
        containers_statuses: state.statuses(pod),
    })
}
