//! A decision, and why.

use std::time::Duration;

use units::ReplicaCount;

/// How many replicas a revision should have, how much burst it can take, and why. No strings, no allocation: made and
/// kept some hundred thousand times a day for each revision.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a decision changes nothing until someone applies it"]
pub struct Decision {
    /// How many replicas; `None`: leave it as it is, not enough is known.
    pub want: Option<ReplicaCount>,
    /// Excess burst capacity. The revision may go direct while this is not negative.
    pub burst_room: BurstRoom,
    /// The rule that decided.
    pub because: Because,
    /// What it was decided on.
    pub seen: Seen,
    /// What bounded it.
    pub limits: Limits,
}

/// Knative's excess burst capacity, in units of the metric, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstRoom(pub i32);

/// What a decision was made on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The metric over the stable window, all replicas together; `None` without data.
    pub stable: Option<f64>,
    /// The same over the panic window.
    pub panic: Option<f64>,
    /// Replicas that are ready.
    pub ready: ReplicaCount,
    /// Replicas on their way up.
    pub starting: ReplicaCount,
    /// Requests held at activators for want of a replica.
    pub held: u32,
    /// Is the revision panicking after this evaluation?
    pub panicking: bool,
}

/// What bounded a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The least that was allowed.
    pub min: ReplicaCount,
    /// The most; `None` for no limit.
    pub max: Option<ReplicaCount>,
    /// The most that the growth rate allowed this time.
    pub rate_up: ReplicaCount,
    /// The least that the shrink rate allowed this time.
    pub rate_down: ReplicaCount,
    /// When it makes sense to decide again at the latest, where something is only being waited for.
    pub wait: Option<Duration>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Why. A closed list: logged, counted by its word, shown to people and asserted in tests, from here alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Because { $($(#[$doc])* $variant,)* }

        impl Because {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its word, as in labels and JSON.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

reasons! {
    /// The stable window asks for this many.
    Steady = "steady",
    /// The panic window asks for this many.
    Panicking = "panicking",
    /// The most of this panic; it is given back when the panic ends.
    HoldingPeak = "holding-peak",
    /// More was asked for than one evaluation may add.
    LimitedByRateUp = "limited-by-rate-up",
    /// Fewer was asked for than one evaluation may leave.
    LimitedByRateDown = "limited-by-rate-down",
    /// A higher wish within the scale-down delay holds.
    ScaleDownDelay = "scale-down-delay",
    /// From zero straight to the activation scale.
    ActivationScale = "activation-scale",
    /// The minimum.
    Minimum = "minimum",
    /// The maximum.
    Maximum = "maximum",
    /// The initial scale, not reached yet.
    InitialScale = "initial-scale",
    /// Not enough has been measured: nothing is changed; or a replica's sidecar is unheard, and it only goes upwards.
    NoData = "no-data",
    /// An activator that routed to it is unheard; only upwards.
    ActivatorUnheard = "activator-unheard",
    /// Not scaled below what it was found with until a request came through Rouse.
    NotAdopted = "not-adopted",
    /// Somebody reaches its replicas past Rouse; one is kept.
    Bypassed = "bypassed",
    /// Requests are held for it or in flight in it, so it is not given up.
    HeldRequests = "held-requests",
    /// Idle or less loaded, but not yet seen to be so for a whole stable window; or it is still on its way up.
    IdleUntilWindowEnds = "idle-until-window-ends",
    /// Idle; the activators have not all acknowledged that they are in the path.
    WaitingForActivators = "waiting-for-activators",
    /// Idle; routers are given time to learn of the path.
    Grace = "grace",
    /// Idle; the last replica is kept for the retention period.
    Retention = "retention",
    /// Idle; the activators are being asked for their promise to forward nothing.
    Sealed = "sealed",
    /// At zero, and nothing asks for it.
    Zero = "zero",
    /// Requests are held at zero: up.
    Waking = "waking",
    /// Its start failed; it is left at zero until the next try is due.
    StartFailed = "start-failed",
    /// It may not go to zero by configuration; one is kept.
    ScalingDisabled = "scaling-disabled",
}
