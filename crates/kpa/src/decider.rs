//! When to add replicas, and when to give them back.
//!
//! Two averages of the same load are looked at: a long one (stable) and a short one (panic). The long one decides, until
//! the short one shows that load has outgrown the ready replicas by the panic threshold. From then on replicas are only
//! added, until a whole stable window has passed without that sign.
//!
//! Left out: minimum, maximum, initial scale and the way to zero, which are applied to what comes out of here.

use std::time::Duration;

use units::{Moment, ReplicaCount};

use crate::delay::DelayWindow;
use crate::{Because, BurstRoom, Policy, Rules, TargetBurstCapacity};

/// Slots of the scale-down delay: one for each tick.
const DELAY_SLOT: Duration = Duration::from_secs(2);

/// The metric over both windows, all replicas together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// What a decider asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a wish changes nothing until someone applies it"]
pub struct Wish {
    /// So many replicas, before minimum and maximum.
    pub want: ReplicaCount,
    /// By which rule.
    pub because: Because,
    /// Excess burst capacity.
    pub burst_room: BurstRoom,
    /// The most that the growth rate allowed.
    pub rate_up: ReplicaCount,
    /// The least that the shrink rate allowed.
    pub rate_down: ReplicaCount,
}

/// One revision's mode and its scale-down delay.
#[derive(Clone, Debug, PartialEq)]
pub struct Decider {
    mode: Mode,
    delay: Option<DelayWindow>,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Stable {
        /// What the peak of the next panic begins with: what was found at first, and nothing after a panic.
        floor: ReplicaCount,
    },
    Panic {
        last_over: Moment,
        peak: ReplicaCount,
    },
}

impl Mode {
    fn step(self, now: Moment, over: bool, stable_window: Duration) -> Self {
        match self {
            Self::Stable { floor } if over => Self::Panic { last_over: now, peak: floor },
            Self::Panic { peak, .. } if over => Self::Panic { last_over: now, peak },
            Self::Panic { last_over, .. } if stable_window < now.since(last_over) => {
                Self::Stable { floor: ReplicaCount::ZERO }
            }
            Self::Stable { .. } | Self::Panic { .. } => self,
        }
    }
}

/// One window's wish within the rate limits, and what made it so.
#[derive(Clone, Copy)]
struct Clamped {
    count: i64,
    because: Because,
}

impl Decider {
    /// A decider for a revision that was found with `ready` replicas. Several, and with the rule also one, are
    /// protected by a panic that begins now, so that a restart with empty windows takes nothing away.
    pub fn new(policy: &Policy, rules: Rules, now: Moment, ready: ReplicaCount) -> Self {
        let unprotected = if rules.one_ready_is_protected { 0 } else { 1 };
        let mode = if unprotected < ready.0 {
            Mode::Panic { last_over: now, peak: ready }
        } else {
            Mode::Stable { floor: ready }
        };
        Self { mode, delay: delay_window(policy), rules }
    }

    /// Follows changed settings, as far as the rules want it.
    pub fn follow(&mut self, policy: &Policy) {
        if !self.rules.delay_follows_setting {
            return;
        }
        match &mut self.delay {
            Some(delay) if !policy.scale_down_delay.is_zero() => delay.resize(policy.scale_down_delay),
            Some(_) | None => self.delay = delay_window(policy),
        }
    }

    /// Is it panicking?
    pub fn panicking(&self) -> bool {
        matches!(self.mode, Mode::Panic { .. })
    }

    /// When the panic ends at the earliest, if it is panicking.
    pub(crate) fn panics_until(&self, stable_window: Duration) -> Option<Moment> {
        match self.mode {
            Mode::Stable { .. } => None,
            Mode::Panic { last_over, .. } => Some(last_over.plus(stable_window)),
        }
    }

    /// Until when the scale-down delay asks for as many, if it does.
    pub(crate) fn delays_until(&self, count: ReplicaCount) -> Option<Moment> {
        self.delay.as_ref().and_then(|delay| delay.reaches_until(i64::from(count.0)))
    }

    /// One evaluation. An evaluation that cannot be made, for want of data, is simply not made: it changes nothing.
    pub fn decide(&mut self, now: Moment, ready: ReplicaCount, load: Load, policy: &Policy) -> Wish {
        let at_least_one = f64::from(ready.0.max(1));
        let rate_up = (policy.max_scale_up_rate * at_least_one).ceil() as i64;
        let rate_down = if policy.reachable { (at_least_one / policy.max_scale_down_rate).floor() as i64 } else { 0 };

        let raw_panic = (load.panic / policy.target).ceil() as i64;
        let stable = clamp((load.stable / policy.target).ceil() as i64, rate_down, rate_up, policy, Because::Steady);
        let panic = clamp(raw_panic, rate_down, rate_up, policy, Because::Panicking);

        // Rounded up before it is compared, so that one replica panics at 1.01 times its target: Knative's Q01, and
        // what makes cold bursts fast.
        let over = policy.panic_threshold <= raw_panic as f64 / at_least_one;
        self.mode = self.mode.step(now, over, policy.stable_window);

        let chosen = match &mut self.mode {
            Mode::Stable { .. } => stable,
            Mode::Panic { peak, .. } => {
                let asked = if stable.count <= panic.count { panic } else { stable };
                if asked.count < i64::from(peak.0) {
                    Clamped { count: i64::from(peak.0), because: Because::HoldingPeak }
                } else {
                    *peak = replicas(asked.count);
                    asked
                }
            }
        };
        let held = match &mut self.delay {
            Some(delay) if policy.reachable => delay.record(now, chosen.count),
            Some(_) | None => chosen.count,
        };
        Wish {
            want: replicas(held.max(chosen.count)),
            because: if chosen.count < held { Because::ScaleDownDelay } else { chosen.because },
            burst_room: burst_room(ready, load.panic, policy),
            rate_up: replicas(rate_up),
            rate_down: replicas(rate_down),
        }
    }
}

/// A raw wish within the rate limits; from nothing at least the activation scale, even past the growth rate.
fn clamp(raw: i64, rate_down: i64, rate_up: i64, policy: &Policy, unclamped: Because) -> Clamped {
    let count = raw.max(rate_down).min(rate_up);
    let activation = policy.activation.map_or(0, |scale| i64::from(scale.get()));
    if 1 < activation && 0 < raw && count < activation {
        return Clamped { count: activation, because: Because::ActivationScale };
    }
    let because = match count.cmp(&raw) {
        std::cmp::Ordering::Less => Because::LimitedByRateUp,
        std::cmp::Ordering::Greater if raw < rate_down && 0 < rate_down => Because::LimitedByRateDown,
        std::cmp::Ordering::Greater | std::cmp::Ordering::Equal => unclamped,
    };
    Clamped { count, because }
}

/// What is there for bursts beyond the target burst capacity and the present load. With the real number of replicas:
/// none has no room.
pub(crate) fn burst_room(ready: ReplicaCount, panic: f64, policy: &Policy) -> BurstRoom {
    match policy.burst {
        TargetBurstCapacity::Unlimited => BurstRoom(-1),
        TargetBurstCapacity::Of(0.0) => BurstRoom(0),
        TargetBurstCapacity::Of(burst) => BurstRoom((f64::from(ready.0) * policy.total - burst - panic).floor() as i32),
    }
}

fn delay_window(policy: &Policy) -> Option<DelayWindow> {
    (!policy.scale_down_delay.is_zero()).then(|| DelayWindow::new(policy.scale_down_delay, DELAY_SLOT))
}

fn replicas(count: i64) -> ReplicaCount {
    ReplicaCount(count.clamp(0, i64::from(u32::MAX)) as u32)
}
