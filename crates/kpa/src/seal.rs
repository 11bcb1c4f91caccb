//! The leader's side of the seal, for one revision: may its workload be set to zero right now?
//!
//! [`Leader`] asks every activator and every sidecar, counts the answers, allows one patch, finds out what became of it,
//! and tells everybody. It sends nothing itself: each call answers with [`Deed`]s. It leaves out when a revision is idle
//! (`Scaler` says so with `Step::Seal`) and how it is raised again.
//!
//! **How to drive it.** One `Leader` a revision and leadership, made anew with each epoch:
//! 1. While the scaler's step is `Seal`, call [`Leader::handle`] with [`Event::Wanted`] at every decision; as soon as it
//!    is another step, with [`Event::Unwanted`]. Both are levels: saying them again is free.
//! 2. Feed it what is heard: answers, wakes (each, for this revision, from whomever), ends of patches and reads; call it
//!    with [`Event::Time`] when the roster changed and when [`Leader::look_again_at`] has come.
//! 3. Carry out the deeds in their order, each once. Look at the clock right before writing a patch: past its `not_after`
//!    it is not sent but reported as [`PatchEnd::NotDone`].
//! 4. While [`Leader::patch_is_open`], order no other scale for the revision: nobody knows yet from what. That lasts as
//!    long as a patch takes, 1.5 s at most while the platform can be read; a wake is a level and comes again.
//! 5. When leadership is lost, [`Event::LeadershipLost`]; then drop it. Never feed it what belongs to a predecessor.
//!
//! **The roster** names whoever could forward: every activator whose pod exists or that is connected or named in any
//! slice, until its pod is gone or it has been out of every slice for the grace; and every sidecar of the revision; each
//! with the incarnation of its newest hello, or `None` while it is not connected. Whatever changes in it breaks a round.
//!
//! No answer is a veto, and so is anything that is not understood: whoever is silent blocks zero and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use units::{Incarnation, Moment, ReplicaCount};

/// The durations of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// How long a promise binds, counted here from when it is asked for.
    pub ttl: Duration,
    /// How much of that must be left when the patch is sent. Never less than a patch can take.
    pub least_left: Duration,
    /// A patch without an answer has taken effect or never will, so long after it was sent.
    pub patch_is_over: Duration,
}

impl Limits {
    /// What the programs run with. A patch times out after 1 s at either end; half a second more stands for its way to
    /// the API server and for clocks that do not run at quite the same rate.
    pub const ROUSE: Self = Self {
        ttl: Duration::from_secs(3),
        least_left: Duration::from_millis(1_500),
        patch_is_over: Duration::from_millis(1_500),
    };
}

/// The pause after a round that failed, doubled with each further one up to [`LONGEST_PAUSE`]. A round makes every other
/// activator hold what arrives for a moment, so one that is likely to fail again is not begun at once.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two rounds while zero is wanted.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Whoever has been silent for so long is named in the condition `ZeroBlocked`.
pub const BLOCKED_AFTER: Duration = Duration::from_secs(60);

/// A pause between two reads of `scale`, or before a new look at a roster that just changed.
const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// A read without any end for so long is given up and begun again.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Which round: the leadership it belongs to, and its number within that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SealId {
    /// The leadership.
    pub epoch: u64,
    /// 1, 2, 3 … for one revision within it.
    pub seq: u64,
}

/// Whoever is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Member {
    /// An activator, by the UID of its pod.
    Activator(Arc<str>),
    /// The sidecar of a replica, by the replica's name.
    Sidecar(Arc<str>),
}

/// Everybody whose answer counts, and as which incarnation each is connected.
pub type Roster = BTreeMap<Member, Option<Incarnation>>;

/// What is as it is at the instant of a call.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Everybody whose answer counts.
    pub roster: &'a Roster,
    /// Until when this autoscaler may act as the leader without having renewed: its renew deadline.
    pub lead_until: Moment,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Zero is wanted, of the workload as it was read at this version (UID and resourceVersion).
    Wanted {
        /// The precondition of the patch.
        expect: Arc<str>,
    },
    /// Zero is not wanted any more.
    Unwanted,
    /// A wake for this revision was heard.
    Woken,
    /// Somebody answered.
    Answered {
        /// Who.
        from: Member,
        /// As which incarnation the stream that it came on said hello.
        incarnation: Incarnation,
        /// Which round it answers.
        id: SealId,
        /// What.
        answer: Answer,
    },
    /// The patch of this round ended.
    Patched {
        /// Which round.
        id: SealId,
        /// How.
        end: PatchEnd,
    },
    /// A read of `scale` ended.
    ScaleRead {
        /// Repeated from [`Deed::ReadScale`].
        begun: Moment,
        /// What it said.
        seen: ScaleSeen,
    },
    /// Somebody else may lead now.
    LeadershipLost,
    /// Nothing but time, or a change of the roster.
    Time,
}

/// A member's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// `Sealed` from an activator, `Idle` from a sidecar.
    Yes,
    /// A veto, not idle, or a verdict that is not known. A sidecar may say so after it said yes.
    No,
    /// It has seen a higher epoch.
    Outdated,
}

/// How a patch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PatchEnd {
    /// The workload is at zero.
    Done,
    /// Nothing was changed and nothing will be: conflict, refused, or not sent in time.
    NotDone,
    /// The workload does not exist.
    Gone,
    /// No answer: it may have been carried out, or still be.
    Unknown,
}

/// What a read of `scale` said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScaleSeen {
    /// So many, at this version.
    At {
        /// `spec.replicas`.
        replicas: ReplicaCount,
        /// The version it was read at.
        version: Arc<str>,
    },
    /// The workload does not exist.
    Gone,
    /// The read failed.
    Unknown,
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Send `Seal` to an activator, the idle question to a sidecar.
    Ask {
        /// Whom.
        to: Member,
        /// Which round.
        id: SealId,
        /// The seal's time to live.
        ttl: Duration,
    },
    /// Set the workload to zero, and report [`Event::Patched`].
    Patch {
        /// Which round.
        id: SealId,
        /// Only if it is still at this version.
        expect: Arc<str>,
        /// Not to be sent later than this.
        not_after: Moment,
    },
    /// Read `scale` from the source, not from a cache, and report [`Event::ScaleRead`].
    ReadScale {
        /// When: repeated in the report, because an older read may not speak for a newer one.
        begun: Moment,
    },
    /// Tell an activator how the round ended.
    Tell {
        /// Whom.
        to: Member,
        /// Which round.
        id: SealId,
        /// How.
        ending: Ending,
    },
    /// Somebody has seen a higher epoch: step down, and lead again only with one above it. This leader does nothing more.
    StepDown,
}

/// How a round ended, for activators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// The revision is at zero, or may be.
    Committed,
    /// Nothing was changed and nothing will be.
    Released,
}

/// One revision's way to zero, in one leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    limits: Limits,
    /// The newest round's; `seq` 0 before the first.
    newest: SealId,
    phase: Phase,
    /// Rounds that failed in a row since zero was wanted.
    failures: u32,
    /// Who did not answer, since when, while zero was wanted.
    silent: BTreeMap<Member, Moment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// No round; none is begun before this moment.
    Resting { until: Option<Moment> },
    /// Asked, and not everybody answered yet.
    Asking { round: Round, missing: BTreeSet<Member> },
    /// The patch was handed over at `sent` and has not ended.
    Patching { round: Round, sent: Moment },
    /// The patch ended without an answer; `scale` is read until it is known.
    FindingOut { round: Round, sent: Moment, read: Read },
    /// Not the leader any more.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    asked: Moment,
    expect: Arc<str>,
    members: Roster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Read {
    Due(Moment),
    Begun(Moment),
}

impl Leader {
    /// A leader of this epoch that has asked nobody yet.
    pub fn new(epoch: u64, limits: Limits) -> Self {
        Self {
            limits,
            newest: SealId { epoch, seq: 0 },
            phase: Phase::Resting { until: None },
            failures: 0,
            silent: BTreeMap::new(),
        }
    }

    /// The same, whose rounds are numbered from `seq` on: for a leader that follows another of the same epoch, whose
    /// numbers members have seen. To them a lower number is of a round that is over.
    #[must_use]
    pub fn numbered_after(mut self, seq: u64) -> Self {
        self.newest.seq = seq;
        self
    }

    /// Something happened: what is to be done about it?
    #[must_use = "nothing happens until the deeds are done"]
    pub fn handle(&mut self, now: Moment, view: View<'_>, event: Event) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.silent.retain(|member, _| view.roster.contains_key(member));
        match event {
            Event::Wanted { expect } => self.wanted(now, view, expect, &mut deeds),
            Event::Unwanted => self.unwanted(&mut deeds),
            Event::Woken => self.abandon(now.plus(self.pause()), &mut deeds),
            Event::Answered { from, incarnation, id, answer } => {
                self.answered(now, from, incarnation, id, answer, &mut deeds);
            }
            Event::Patched { id, end } if id == self.newest => self.patched(now, end, &mut deeds),
            Event::Patched { .. } | Event::Time => {}
            Event::ScaleRead { begun, seen } => self.scale_read(now, begun, seen, &mut deeds),
            Event::LeadershipLost => self.over(&mut deeds),
        }
        self.look(now, view, &mut deeds);
        deeds
    }

    /// When to call again with [`Event::Time`] at the latest; `None` if only for an event.
    pub fn look_again_at(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Resting { until } => *until,
            Phase::Asking { round, .. } => Some(round.asked.plus(self.limits.ttl).minus(self.limits.least_left)),
            Phase::Patching { sent, .. } => Some(sent.plus(self.limits.patch_is_over)),
            Phase::FindingOut { read: Read::Due(due), .. } => Some(*due),
            Phase::FindingOut { read: Read::Begun(begun), .. } => Some(begun.plus(READ_TIMEOUT)),
            Phase::Over => None,
        }
    }

    /// Is a round under way: are members asked, or is a patch open?
    pub fn in_round(&self) -> bool {
        matches!(self.phase, Phase::Asking { .. }) || self.patch_is_open()
    }

    /// Is a patch under way, or its outcome unknown?
    pub fn patch_is_open(&self) -> bool {
        matches!(self.phase, Phase::Patching { .. } | Phase::FindingOut { .. })
    }

    /// Who has been silent for [`BLOCKED_AFTER`] while zero was wanted, and since when: for the condition `ZeroBlocked`.
    pub fn blocked_by(&self, now: Moment) -> impl Iterator<Item = (&Member, Moment)> {
        self.silent
            .iter()
            .filter(move |(_, since)| BLOCKED_AFTER <= now.since(**since))
            .map(|(member, since)| (member, *since))
    }

    fn wanted(&mut self, now: Moment, view: View<'_>, expect: Arc<str>, deeds: &mut Vec<Deed>) {
        let Phase::Resting { until } = self.phase else { return };
        if until.is_some_and(|until| now < until) || view.lead_until <= now {
            return;
        }
        let mut absent = false;
        for member in view.roster.iter().filter(|(_, incarnation)| incarnation.is_none()).map(|(member, _)| member) {
            self.silent.entry(member.clone()).or_insert(now);
            absent = true;
        }
        // Without an activator nobody would hold what arrives, and nobody could wake it.
        let held_by_someone = view.roster.keys().any(|member| matches!(member, Member::Activator(_)));
        if absent || !held_by_someone {
            return;
        }
        self.newest.seq += 1;
        let round = Round { asked: now, expect, members: view.roster.clone() };
        let missing: BTreeSet<Member> = view.roster.keys().cloned().collect();
        let (id, ttl) = (self.newest, self.limits.ttl);
        deeds.extend(missing.iter().map(|to| Deed::Ask { to: to.clone(), id, ttl }));
        self.phase = Phase::Asking { round, missing };
    }

    fn unwanted(&mut self, deeds: &mut Vec<Deed>) {
        self.release(None, deeds);
        if let Phase::Resting { until } = &mut self.phase {
            *until = None;
        }
        self.failures = 0;
        self.silent.clear();
    }

    fn answered(
        &mut self,
        now: Moment,
        from: Member,
        incarnation: Incarnation,
        id: SealId,
        answer: Answer,
        deeds: &mut Vec<Deed>,
    ) {
        if id != self.newest {
            return;
        }
        self.silent.remove(&from);
        let Phase::Asking { round, missing } = &mut self.phase else { return };
        if round.members.get(&from) != Some(&Some(incarnation)) {
            return;
        }
        match answer {
            Answer::Yes => {
                missing.remove(&from);
            }
            Answer::No => self.abandon(now.plus(self.pause()), deeds),
            Answer::Outdated => {
                self.over(deeds);
                deeds.push(Deed::StepDown);
            }
        }
    }

    fn patched(&mut self, now: Moment, end: PatchEnd, deeds: &mut Vec<Deed>) {
        let (Phase::Patching { sent, .. } | Phase::FindingOut { sent, .. }) = self.phase else { return };
        match end {
            PatchEnd::Done | PatchEnd::Gone => self.end(Ending::Committed, now, deeds),
            PatchEnd::NotDone => self.end(Ending::Released, now, deeds),
            PatchEnd::Unknown => self.find_out(sent, now),
        }
    }

    fn scale_read(&mut self, now: Moment, begun: Moment, seen: ScaleSeen, deeds: &mut Vec<Deed>) {
        let Phase::FindingOut { round, sent, read } = &self.phase else { return };
        if *read != Read::Begun(begun) {
            return;
        }
        let sent = *sent;
        match seen {
            ScaleSeen::Gone => self.end(Ending::Committed, now, deeds),
            ScaleSeen::At { replicas: ReplicaCount(0), .. } => self.end(Ending::Committed, now, deeds),
            // Another version may mean that the patch was done and somebody has raised it since. Committed is right then,
            // and where it is not, it costs a probe.
            ScaleSeen::At { version, .. } if version != round.expect => self.end(Ending::Committed, now, deeds),
            ScaleSeen::At { .. } if sent.plus(self.limits.patch_is_over) <= begun => {
                self.end(Ending::Released, now, deeds);
            }
            // Too early to know: the patch may still be on its way.
            ScaleSeen::At { .. } | ScaleSeen::Unknown => self.find_out(sent, now.plus(SHORT_PAUSE)),
        }
    }

    /// What follows from the time and the roster, whatever happened.
    fn look(&mut self, now: Moment, view: View<'_>, deeds: &mut Vec<Deed>) {
        match &mut self.phase {
            Phase::Asking { round, .. } if round.members != *view.roster => {
                self.release(Some(now.plus(SHORT_PAUSE)), deeds);
            }
            Phase::Asking { round, missing } => {
                let not_after = round.asked.plus(self.limits.ttl).minus(self.limits.least_left).min(view.lead_until);
                if missing.is_empty() && now <= not_after {
                    deeds.push(Deed::Patch { id: self.newest, expect: round.expect.clone(), not_after });
                    self.phase = Phase::Patching { round: round.clone(), sent: now };
                } else if not_after <= now {
                    for member in std::mem::take(missing) {
                        self.silent.entry(member).or_insert(round.asked);
                    }
                    self.abandon(now.plus(self.pause()), deeds);
                }
            }
            Phase::Patching { sent, .. } if sent.plus(self.limits.patch_is_over) <= now => {
                let sent = *sent;
                self.find_out(sent, now);
                self.read_if_due(now, deeds);
            }
            Phase::FindingOut { .. } => self.read_if_due(now, deeds),
            Phase::Resting { .. } | Phase::Patching { .. } | Phase::Over => {}
        }
    }

    fn find_out(&mut self, sent: Moment, due: Moment) {
        let (Phase::Patching { round, .. } | Phase::FindingOut { round, .. }) = &self.phase else { return };
        self.phase = Phase::FindingOut { round: round.clone(), sent, read: Read::Due(due) };
    }

    fn read_if_due(&mut self, now: Moment, deeds: &mut Vec<Deed>) {
        let Phase::FindingOut { read, .. } = &mut self.phase else { return };
        let due = match *read {
            Read::Due(due) => due,
            Read::Begun(begun) => begun.plus(READ_TIMEOUT),
        };
        if due <= now {
            *read = Read::Begun(now);
            deeds.push(Deed::ReadScale { begun: now });
        }
    }

    /// Gives a round up that has not patched, because it failed.
    fn abandon(&mut self, rest_until: Moment, deeds: &mut Vec<Deed>) {
        if self.release(Some(rest_until), deeds) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Gives a round up that has not patched. Did it?
    fn release(&mut self, rest_until: Option<Moment>, deeds: &mut Vec<Deed>) -> bool {
        let Phase::Asking { round, .. } = &self.phase else { return false };
        tell(round, self.newest, Ending::Released, deeds);
        self.phase = Phase::Resting { until: rest_until };
        true
    }

    /// Ends a round that has patched.
    fn end(&mut self, ending: Ending, now: Moment, deeds: &mut Vec<Deed>) {
        let (Phase::Patching { round, .. } | Phase::FindingOut { round, .. }) = &self.phase else { return };
        tell(round, self.newest, ending, deeds);
        let until = match ending {
            Ending::Committed => {
                self.failures = 0;
                None
            }
            Ending::Released => {
                let until = now.plus(self.pause());
                self.failures = self.failures.saturating_add(1);
                Some(until)
            }
        };
        self.phase = Phase::Resting { until };
    }

    /// Leads no more. What was only asked is taken back; what was patched is left to the time to live, because its
    /// outcome is the next leader's to see.
    fn over(&mut self, deeds: &mut Vec<Deed>) {
        self.release(None, deeds);
        self.phase = Phase::Over;
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE)
    }
}

fn tell(round: &Round, id: SealId, ending: Ending, deeds: &mut Vec<Deed>) {
    let activators = round.members.keys().filter(|member| matches!(member, Member::Activator(_)));
    deeds.extend(activators.map(|to| Deed::Tell { to: to.clone(), id, ending }));
}

#[cfg(test)]
mod tests;
