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
    ($(#[doc = $sentence:literal] $variant:ident = $word:literal,)*) => {
        /// Why. A closed list: logged, counted by its word, shown to people and asserted in tests, from here alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Because { $(#[doc = $sentence] $variant,)* }

        impl Because {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its word, as in labels and JSON.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The same in a sentence, for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence.trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// The average over the stable window asks for this many.
    Steady = "steady",
    /// A burst: the average over the short panic window asks for this many.
    Panicking = "panicking",
    /// The most that this burst asked for; it is given back when the panic ends.
    HoldingPeak = "holding-peak",
    /// More are asked for, but one evaluation adds only so many.
    LimitedByRateUp = "limited-by-rate-up",
    /// Fewer are enough, but one evaluation takes away only so many.
    LimitedByRateDown = "limited-by-rate-down",
    /// More are in flight than this many could serve, but those on their way up will have worked it off before others came.
    OnItsWay = "on-its-way",
    /// A higher wish within the scale-down delay holds.
    ScaleDownDelay = "scale-down-delay",
    /// From zero it goes straight to the activation scale.
    ActivationScale = "activation-scale",
    /// Fewer would be enough; the minimum says no.
    Minimum = "minimum",
    /// More are asked for; the maximum says no.
    Maximum = "maximum",
    /// The initial scale has not been reached yet.
    InitialScale = "initial-scale",
    /// Not enough has been measured: nothing is changed; or a replica's sidecar is unheard, and it only goes upwards.
    NoData = "no-data",
    /// An activator that routed to it is not heard, so what it holds is unknown: it only goes upwards.
    ActivatorUnheard = "activator-unheard",
    /// It is not scaled below what it was found with until a request has come through Rouse.
    NotAdopted = "not-adopted",
    /// Somebody reaches its replicas past Rouse, so one is kept.
    Bypassed = "bypassed",
    /// Others write its scale again and again, so it is only raised.
    ScaleConflict = "scale-conflict",
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
    /// Nothing runs, and nothing asks for it.
    Zero = "zero",
    /// Requests are held and nothing runs: it is started.
    Waking = "waking",
    /// Its start failed; it is left at zero until the next try is due.
    StartFailed = "start-failed",
    /// By configuration nothing goes to zero, so one is kept.
    ScalingDisabled = "scaling-disabled",
}
