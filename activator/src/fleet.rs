//! The replicas of one revision: which there are, and since when each is known to answer.
//!
//! The catalogue says which exist; a probe of our own says which answer, sooner than the platform does. What follows
//! from both is the hold's to use.

use std::convert::Infallible;
use std::sync::Arc;

use balance::ReplicaId;
use daemon::Clock;
use forward::tls::ClientTls;
use platform::{ReplicaState, Revision, Workload};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;
use units::Moment;

use crate::hold::{Candidate, Hold};
use crate::probe;
use crate::replica::{Replica, UpstreamSettings};

/// Watches one revision's replicas for one hold.
pub(crate) struct Fleet {
    hold: Arc<Hold>,
    clock: Clock,
    upstream: watch::Receiver<UpstreamSettings>,
    sidecar_tls: Option<ClientTls>,
    plain_sidecars: bool,
    members: Vec<Member>,
    probes: JoinSet<(ReplicaId, Moment)>,
}

struct Member {
    replica: Arc<Replica>,
    state: ReplicaState,
    probe_begun: Option<Moment>,
    probing: Option<AbortHandle>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(probe) = &self.probing {
            probe.abort();
        }
    }
}

impl Fleet {
    pub(crate) fn new(
        hold: Arc<Hold>,
        clock: Clock,
        upstream: watch::Receiver<UpstreamSettings>,
        sidecar_tls: Option<ClientTls>,
        plain_sidecars: bool,
    ) -> Self {
        Self { hold, clock, upstream, sidecar_tls, plain_sidecars, members: Vec::new(), probes: JoinSet::new() }
    }

    /// Runs for as long as the revision is in the catalogue. May be dropped at any await: probes end with it.
    pub(crate) async fn run(mut self, mut revision: watch::Receiver<Arc<Revision>>) -> Option<Infallible> {
        loop {
            self.follow(&Arc::clone(&revision.borrow_and_update()));
            self.probe_who_needs_it();
            self.hold.offer(self.candidates());
            let next_look = self.hold.next_look();
            tokio::select! {
                changed = revision.changed() => changed.ok()?,
                changed = self.upstream.changed() => changed.ok()?,
                Some(probed) = self.probes.join_next() => self.heard(probed.ok()),
                () = self.hold.attention.notified() => {}
                () = self.clock.sleep_until(next_look.unwrap_or(Moment::from_unix_millis(0))), if next_look.is_some() => {}
            }
        }
    }

    fn follow(&mut self, revision: &Revision) {
        self.hold.set_gone(revision.workload == Workload::Missing);
        let upstream = *self.upstream.borrow_and_update();
        let mut before = std::mem::take(&mut self.members);
        for seen in &revision.replicas {
            let (Some(address), false) = (seen.address, seen.state == ReplicaState::Leaving) else { continue };
            let same = |member: &Member| {
                member.replica.name == seen.name
                    && member.replica.address == address
                    && member.replica.settings == upstream
                    && member.replica.sidecar == revision.sidecars
            };
            let mut member = match before.iter().position(same) {
                Some(position) => before.remove(position),
                None => {
                    let known = before.iter().find(|member| member.replica.name == seen.name);
                    let since = known.map_or(self.clock.now(), |member| member.replica.seen);
                    self.join(seen, (address, since), upstream, revision.sidecars)
                }
            };
            if member.state == ReplicaState::Ready && seen.state != ReplicaState::Ready {
                debug!(replica = %seen.name, "not ready any more, probing it again");
                member.probe_begun = None;
            }
            member.state = seen.state;
            self.members.push(member);
        }
    }

    fn join(
        &mut self,
        seen: &platform::Replica,
        (address, since): (std::net::SocketAddr, Moment),
        settings: UpstreamSettings,
        sidecar: bool,
    ) -> Member {
        let id = self.hold.number_replica();
        let tls = self.sidecar_tls.clone().filter(|_| seen.encrypted || !self.plain_sidecars);
        let replica = Replica::new(id, Arc::clone(&seen.name), address, settings, sidecar, tls, since);
        Member { replica: Arc::new(replica), state: seen.state, probe_begun: None, probing: None }
    }

    fn probe_who_needs_it(&mut self) {
        for member in &mut self.members {
            let known = member.probe_begun.is_some_and(|begun| self.hold.believes(&member.replica, begun));
            // A model without a sidecar takes connections whether it is ready or not: then the platform knows better.
            let only_platform_knows = !member.replica.sidecar && member.state == ReplicaState::Unready;
            if known || only_platform_knows || member.probing.is_some() {
                continue;
            }
            let (replica, clock) = (Arc::clone(&member.replica), self.clock);
            let probe = async move { (replica.id, probe::until_ready(&replica, clock).await) };
            member.probing = Some(self.probes.spawn(probe));
        }
    }

    fn heard(&mut self, probed: Option<(ReplicaId, Moment)>) {
        let Some((id, begun)) = probed else { return };
        let Some(member) = self.members.iter_mut().find(|member| member.replica.id == id) else { return };
        member.probing = None;
        member.probe_begun = Some(begun);
        member.replica.became_ready(self.clock.now());
        debug!(replica = %member.replica.name, "ready");
    }

    fn candidates(&self) -> Vec<Candidate> {
        let of = |member: &Member| Candidate { replica: Arc::clone(&member.replica), probe_begun: member.probe_begun };
        self.members.iter().map(of).collect()
    }
}
