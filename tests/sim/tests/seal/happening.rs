//! What can happen in the world, how much of it, and what its parts say to each other.

use kpa::seal::{Answer, Ending, Limits, PatchEnd, SealId};
use units::Moment;

/// What may happen, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub sidecar: bool,
    pub arrivals: u8,
    pub crashes: u8,
    pub losses: u8,
    pub leader_changes: u8,
    /// Rounds that each leader may begin.
    pub rounds: u8,
    pub ticks: u8,
    /// Do leaders keep their pauses between rounds? At the worst they do not.
    pub pauses: bool,
    /// Is a request that is forwarded to a replica which was taken away a broken promise, or just answered by nobody?
    pub gone_matters: bool,
    pub limits: Limits,
    pub broken: Option<Broken>,
}

/// A line that is left out, to see that the search notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The leader patches without asking anybody.
    NoRound,
    /// An activator promises and forwards on.
    PromiseNotKept,
    /// An activator that starts knows nothing and forwards at once.
    NoHoldAfterStart,
    /// After a promise has run out or was committed to, old probes are believed.
    StaleProbes,
    /// A sidecar always says that it is idle.
    SidecarAlwaysIdle,
    /// Leaders take an activator that started again for the one that was there before.
    IncarnationsNotCompared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Party {
    Activator(u8),
    Sidecar(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Message {
    Ask { leader: u8, to: Party, id: SealId },
    Answered { leader: u8, from: Party, incarnation: u8, id: SealId, answer: Answer },
    Tell { to: u8, id: SealId, ending: Ending },
    Patched { leader: u8, id: SealId, end: PatchEnd },
    Read { leader: u8, begun: Moment, replicas: u8, version: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Arrive(u8),
    Forward(u8, u8),
    Finish(u8),
    Probe(u8),
    Crash(u8),
    Restart(u8),
    Hello { leader: u8, activator: u8 },
    Begin(u8),
    Look(u8),
    ChangeLeader,
    LoseLead(u8),
    PatchTakesEffect(u8),
    PatchConnectionBreaks(u8),
    Deliver(Message),
    Wake { leader: u8, from: u8 },
    Lose(Message),
    DirectEnds,
    Tick,
}

impl Message {
    /// Was it sent to this activator over a stream that ends with it?
    pub(crate) fn is_to(&self, activator: u8) -> bool {
        match self {
            Self::Ask { to, .. } => *to == Party::Activator(activator),
            Self::Tell { to, .. } => *to == activator,
            Self::Answered { .. } | Self::Patched { .. } | Self::Read { .. } => false,
        }
    }
}
