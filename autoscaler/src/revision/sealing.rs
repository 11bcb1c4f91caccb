//! The leader's side of the seal for one revision: what `kpa::seal` wants done is said over the streams and ordered, and
//! what came of it is told back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kpa::Because;
use kpa::seal::{
    Answer, BLOCKED_AFTER, Deed, Ending, Event, Leader, Limits, Member, PatchEnd, Roster, ScaleSeen, SealId, View,
};
use platform::{Scale, ScaleError, ScaleOrder, ScaleVersion};
use tracing::{debug, info, warn};
use units::{Incarnation, Moment, ReplicaCount};
use wire::{Down, Verdict};

use super::Revision;
use crate::orders::{Reader, Whose};
use crate::roster::roster;

impl Revision {
    /// This leadership began or ended.
    pub(super) fn lead_anew(&mut self, now: Moment) {
        self.seal(now, Event::LeadershipLost);
        let epoch = *self.epoch.borrow_and_update();
        self.leader = epoch.map(|epoch| Leader::new(epoch, Limits::ROUSE).numbered_after(self.unused_rounds()));
    }

    /// Where the numbers of a new leader's rounds begin: above all that an earlier one has used for this revision. The
    /// epoch alone does not tell them apart, when the revision came back or its task began anew.
    fn unused_rounds(&self) -> u64 {
        const ROUNDS_EACH: u64 = 1 << 32;
        self.ground.leaders.fetch_add(1, Ordering::Relaxed).saturating_mul(ROUNDS_EACH)
    }

    /// Who keeps it from zero by being silent, as people call them: whoever did not answer a seal, or is not even there
    /// to be asked.
    pub(super) fn blocked_by(&mut self, now: Moment, because: Because) -> Vec<Arc<str>> {
        let waits = matches!(
            because,
            Because::ActivatorUnheard | Because::WaitingForActivators | Because::NoData | Because::Sealed
        );
        if !waits {
            self.absent.clear();
            return Vec::new();
        }
        let roster = self.roster(now);
        self.absent.retain(|member, _| roster.get(member) == Some(&None));
        for member in roster.into_iter().filter(|(_, incarnation)| incarnation.is_none()).map(|(member, _)| member) {
            self.absent.entry(member).or_insert(now);
        }
        let absent = self.absent.iter().filter(|(_, since)| BLOCKED_AFTER <= now.since(**since));
        let mut blocked_by: BTreeSet<&Member> = absent.map(|(member, _)| member).collect();
        blocked_by.extend(self.leader.iter().flat_map(|leader| leader.blocked_by(now)).map(|(member, _)| member));
        let pods = self.ground.activators.borrow();
        let name = |uid: &Arc<str>| {
            let pod = pods.iter().flat_map(|pods| pods.iter()).find(|pod| pod.uid == *uid);
            pod.map_or_else(|| self.ground.peers.name_of(uid), |pod| Arc::clone(&pod.name))
        };
        let names = blocked_by.into_iter().map(|member| match member {
            Member::Activator(uid) => name(uid),
            Member::Sidecar(replica) => Arc::clone(replica),
        });
        names.collect()
    }

    /// Says whether zero is wanted: a level.
    pub(super) fn want_seal(&mut self, now: Moment, wanted: bool) {
        let scale = self.scale().filter(|_| wanted && !self.ordering);
        match scale {
            Some(scale) => self.seal(now, Event::Wanted { expect: scale.version.0 }),
            None if self.zero_wanted => self.seal(now, Event::Unwanted),
            None => {}
        }
        self.zero_wanted = wanted;
    }

    /// A wake breaks the seal.
    pub(super) fn seal_woken(&mut self, now: Moment) {
        if self.leader.as_ref().is_some_and(Leader::in_round) {
            self.seal(now, Event::Woken);
        }
    }

    /// Time passed, or the roster may have changed.
    pub(super) fn seal_time(&mut self) {
        if self.leader.as_ref().is_some_and(Leader::in_round) {
            self.seal(self.ground.clock.now(), Event::Time);
        }
    }

    pub(super) fn seal_answer(&mut self, activator: Arc<str>, incarnation: Incarnation, said: &wire::SealAnswer) {
        let answer = match said.verdict() {
            Verdict::Sealed => Answer::Yes,
            Verdict::Veto | Verdict::Unknown => Answer::No,
            Verdict::Outdated => Answer::Outdated,
        };
        let id = SealId { epoch: said.epoch, seq: said.seq };
        let from = Member::Activator(activator);
        self.seal(self.ground.clock.now(), Event::Answered { from, incarnation, id, answer });
    }

    pub(super) fn idle_answer(&mut self, replica: Arc<str>, incarnation: Incarnation, said: wire::IdleAnswer) {
        let answer = if said.idle { Answer::Yes } else { Answer::No };
        let id = SealId { epoch: said.epoch, seq: said.seq };
        let from = Member::Sidecar(replica);
        self.seal(self.ground.clock.now(), Event::Answered { from, incarnation, id, answer });
    }

    pub(super) fn seal_patched(&mut self, now: Moment, id: SealId, end: &Result<Scale, ScaleError>) {
        let end = match end {
            Ok(_) => PatchEnd::Done,
            Err(ScaleError::Gone) => PatchEnd::Gone,
            Err(ScaleError::Unknown { why }) => {
                warn!(revision = %self.key, error = why, "the order for zero went unanswered, reading what became of it");
                PatchEnd::Unknown
            }
            Err(error @ (ScaleError::Conflict { .. } | ScaleError::NotLeading | ScaleError::Refused { .. })) => {
                info!(revision = %self.key, %error, "it was not set to zero");
                PatchEnd::NotDone
            }
        };
        self.seal(now, Event::Patched { id, end });
        // Whatever waited for the patch to end may be ordered now.
        self.due = now;
    }

    pub(super) fn seal_read(&mut self, now: Moment, begun: Moment, seen: &Result<Scale, ScaleError>) {
        let seen = match seen {
            Ok(Scale { replicas, version }) => ScaleSeen::At { replicas: *replicas, version: version.0.clone() },
            Err(ScaleError::Gone) => ScaleSeen::Gone,
            Err(_) => ScaleSeen::Unknown,
        };
        self.seal(now, Event::ScaleRead { begun, seen });
        self.due = now;
    }

    /// Tells the leader what happened, and does what it wants done.
    fn seal(&mut self, now: Moment, event: Event) {
        let Some(mut leader) = self.leader.take() else { return };
        let (_, lead_until) = self.ground.leading().unwrap_or((0, now));
        let roster = self.roster(now);
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let was_in_round = leader.in_round();
            let deeds = leader.handle(now, View { roster: &roster, lead_until }, event);
            if was_in_round && !leader.in_round() {
                debug!(revision = %self.key, ?deeds, "a seal ended");
            }
            let mut told = None;
            for deed in deeds {
                if let Deed::Tell { ending, .. } = &deed {
                    told = Some(*ending);
                }
                events.extend(self.deal(deed));
            }
            match told {
                Some(Ending::Committed) => self.metrics.all().seal("committed"),
                Some(Ending::Released) => self.metrics.all().seal("released"),
                None => {}
            }
        }
        self.place.lock().sealing = leader.in_round();
        self.leader = Some(leader);
    }

    /// Does one thing. What is known of it at once is told back.
    fn deal(&mut self, deed: Deed) -> Option<Event> {
        match deed {
            Deed::Ask { to: Member::Activator(uid), id, ttl } => {
                self.ground.peers.tell_activator(&uid, Down::Seal(self.seal_frame(id, ttl)));
            }
            Deed::Ask { to: Member::Sidecar(replica), id, ttl: _ } => {
                let question = wire::IdleQuestion { epoch: id.epoch, seq: id.seq };
                if let Some(sidecar) = self.ground.peers.sidecars(&self.key).get(&replica) {
                    sidecar.outbox.say(Down::IdleQuestion(question));
                }
            }
            Deed::Patch { id, expect, not_after } => {
                if not_after < self.ground.clock.now() {
                    return Some(Event::Patched { id, end: PatchEnd::NotDone });
                }
                let order = ScaleOrder {
                    revision: self.key.clone(),
                    to: ReplicaCount::ZERO,
                    epoch: id.epoch,
                    expect: Some(ScaleVersion(expect)),
                    victims: self.victims(),
                };
                self.orders.scale(Whose::Seal(id), order);
            }
            Deed::ReadScale { begun } => self.orders.read(Reader::Seal(begun), Duration::ZERO),
            Deed::Tell { to: Member::Activator(uid), id, ending } => {
                let outcome = match ending {
                    Ending::Committed => wire::Outcome::Committed,
                    Ending::Released => wire::Outcome::Released,
                };
                let outcome = wire::SealOutcome {
                    namespace: self.key.namespace.to_string(),
                    revision: self.key.name.to_string(),
                    epoch: id.epoch,
                    seq: id.seq,
                    outcome: outcome as i32,
                };
                self.ground.peers.tell_activator(&uid, Down::Outcome(outcome));
            }
            Deed::Tell { to: Member::Sidecar(_), .. } => {}
            Deed::StepDown => {
                let over = self.ground.leading().map_or(0, |(epoch, _)| epoch);
                warn!(revision = %self.key, epoch = over, "an activator has seen a higher epoch, stepping down");
                let least = over.saturating_add(1);
                self.ground.highest.send_if_modified(|highest| std::mem::replace(highest, least.max(*highest)) < least);
            }
        }
        None
    }

    fn seal_frame(&self, id: SealId, ttl: Duration) -> wire::Seal {
        wire::Seal {
            namespace: self.key.namespace.to_string(),
            revision: self.key.name.to_string(),
            epoch: id.epoch,
            seq: id.seq,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn roster(&self, now: Moment) -> Roster {
        let facts = Arc::clone(&self.facts.borrow());
        let endpoint = self.endpoint();
        roster(&self.ground, &facts, endpoint.as_deref(), now, self.scaler.policy().grace)
    }
}
