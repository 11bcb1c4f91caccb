//! The stream that spares the kubelet its asking.
//!
//! A kubelet acts on a pod only with a picture younger than its last action, and it takes pictures from events. So besides
//! what happens, every pod is told of anew many times a second, as *created*: that brings a fresh picture and starts nothing.
//! Without it deleting a pod that has just changed waits for seconds.

use std::time::Duration;

use crate::Runtime;
use crate::protocol::{self as p, ContainerEventType as Kind};
use crate::state::{Pod, State, now};

/// A kubelet that waits for a fresh picture waits half of this on average.
const BEAT: Duration = Duration::from_millis(50);

/// With many pods the beat is slower, so that neither side does little else.
const BEAT_PER_POD: Duration = Duration::from_millis(1);

impl Runtime {
    /// Tells of a sandbox or a container, with the picture of its whole pod. To be called under the lock of the change that
    /// it tells of.
    pub(crate) fn tell(&self, state: &State, id: &str, kind: Kind) {
        let Some(uid) = state.pod_of(id) else { return };
        if let Some(pod) = state.pods().remove(uid) {
            self.send(&pod, id, kind);
        }
    }

    /// Tells of every pod, again and again.
    pub(crate) async fn beat(&self) {
        loop {
            let pods = self.tell_of_all();
            tokio::time::sleep(BEAT.max(BEAT_PER_POD.saturating_mul(pods))).await;
        }
    }

    /// Tells of every pod, and how many there are.
    fn tell_of_all(&self) -> u32 {
        let state = self.state.lock();
        if self.events.receiver_count() == 0 {
            return 0;
        }
        let pods = state.pods();
        for pod in pods.values() {
            self.send(pod, pod.id, Kind::ContainerCreatedEvent);
        }
        u32::try_from(pods.len()).unwrap_or(u32::MAX)
    }

    fn send(&self, pod: &Pod<'_>, id: &str, kind: Kind) {
        // Nobody listening is fine: a kubelet lists everything when it comes.
        let _ = self.events.send(p::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at: now(),
            pod_sandbox_status: Some(pod.sandbox.status(pod.id)),
            containers_statuses: pod.statuses(),
        });
    }
}
