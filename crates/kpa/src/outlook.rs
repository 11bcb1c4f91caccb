//! What would have to change for one replica more, for one fewer, and for none.
//!
//! A decision says what is wanted and by which rule; this turns the rules around. It is asked by people, seldom, from a
//! decision and from the moments ([`Timers`]) that the scaler keeps to itself; nothing is decided by it.

use std::num::NonZeroU32;
use std::time::Duration;

use units::Moment;

use crate::zero::remaining;
use crate::{Because, Decision, PathState, Policy, Status};

/// When something will change by itself: what the rules wait for, beyond a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timers {
    /// On its way up, in use, or out of use.
    pub status: Status,
    /// Since when.
    pub status_since: Moment,
    /// The end of the last second in which anything was counted; `None` if there was none within a stable window.
    pub busy_until: Option<Moment>,
    /// Requests that its reporters last said to be there.
    pub in_flight: u32,
    /// When the panic ends at the earliest, if there is one.
    pub panic_until: Option<Moment>,
    /// Until when a wish within the scale-down delay asks for as many as are wanted.
    pub delay_until: Option<Moment>,
    /// Until when one asks for any.
    pub delay_to_zero_until: Option<Moment>,
    /// When a start that has failed may be tried again.
    pub next_start: Option<Moment>,
    /// The condition under which nothing is lowered now, also if less is not asked for.
    pub only_upwards: Option<Because>,
    /// Does somebody reach its replicas past Rouse, so that one is kept?
    pub bypassed: bool,
    /// Until when nothing is lowered because the windows are too young.
    pub young_until: Option<Moment>,
    /// Does what was learned of starts stand between the demand and the wish?
    pub learned: bool,
}

/// What would have to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// For one replica more.
    pub more: Turn,
    /// For one fewer.
    pub fewer: Turn,
    /// For none.
    pub zero: ToZero,
}

/// A way to another number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// By what.
    pub by: By,
    /// More: above this over the stable window. Fewer: at this or below.
    pub stable: Option<f64>,
    /// More: above this over the panic window, at once.
    pub panic: Option<f64>,
    /// Not before this while.
    pub wait: Option<Duration>,
}

/// By what a number would change, or why it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A demand that is told beside this.
    Demand,
    /// By demand, but what is on its way and what a request takes count too, so there is no one number for it.
    LearnedDemand,
    /// The first request that is held.
    FirstRequest,
    /// The next evaluation, which may add only so many to those that are ready.
    Growth,
    /// The next evaluation, which may take only so many of those that are ready.
    Shrinking,
    /// The end of the panic.
    PanicEnd,
    /// The end of the scale-down delay of a higher wish.
    DelayEnd,
    /// A start that is tried again.
    NextStart,
    /// The way to zero.
    WayToZero,
    /// It cannot: the maximum.
    Maximum,
    /// It cannot: the minimum.
    Minimum,
    /// It cannot before the initial scale was reached once.
    InitialScale,
    /// It cannot: there is none.
    NothingThere,
    /// It cannot while this is so.
    Not(Because),
}

impl By {
    /// Its word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::LearnedDemand => "learned-demand",
            Self::FirstRequest => "first-request",
            Self::Growth => "growth",
            Self::Shrinking => "shrinking",
            Self::PanicEnd => "panic-end",
            Self::DelayEnd => "delay-end",
            Self::NextStart => "next-start",
            Self::WayToZero => "way-to-zero",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::InitialScale => "initial-scale",
            Self::NothingThere => "nothing-there",
            Self::Not(because) => because.word(),
        }
    }
}

/// What stands before zero.
#[derive(Clone, Debug, PartialEq)]
pub struct ToZero {
    /// In the order in which they fall; empty if it is there.
    pub obstacles: Vec<Obstacle>,
    /// When they will all have fallen at the earliest, if nothing comes; `None` where that is not known.
    pub within: Option<Duration>,
}

/// Something that stands before zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Obstacle {
    /// What.
    pub what: What,
    /// For so long, where it ends by itself; from when those before it have fallen.
    pub wait: Option<Duration>,
}

/// What can stand before zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing goes to zero, by configuration.
    Disabled,
    /// The minimum.
    Minimum,
    /// The initial scale, not reached yet.
    InitialScale,
    /// One of the conditions under which nothing is lowered.
    Condition(Because),
    /// Requests are there.
    Requests,
    /// It is on its way up, and not yet ready.
    Start,
    /// The stable window is not empty yet, or it has not been in use for so long.
    Window,
    /// A higher wish within the scale-down delay.
    Delay,
    /// The activators are not all in the path yet.
    Activators,
    /// The last replica is kept for a while.
    Retention,
    /// Routers are given a while to learn of the path.
    Grace,
    /// The promise of every activator and replica that it holds nothing.
    Promise,
}

impl What {
    /// Its word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disabled => "scaling-disabled",
            Self::Minimum => "minimum",
            Self::InitialScale => "initial-scale",
            Self::Condition(because) => because.word(),
            Self::Requests => "requests",
            Self::Start => "start",
            Self::Window => "window",
            Self::Delay => "scale-down-delay",
            Self::Activators => "activators",
            Self::Retention => "retention",
            Self::Grace => "grace",
            Self::Promise => "promise",
        }
    }
}

/// What would have to change, as of a decision that was made now.
pub fn outlook(now: Moment, decision: &Decision, policy: &Policy, timers: &Timers, path: PathState) -> Outlook {
    Outlook {
        more: more(now, decision, policy, timers),
        fewer: fewer(now, decision, policy, timers),
        zero: to_zero(now, decision, policy, timers, path),
    }
}

fn turn(by: By) -> Turn {
    Turn { by, stable: None, panic: None, wait: None }
}

fn more(now: Moment, decision: &Decision, policy: &Policy, timers: &Timers) -> Turn {
    let (seen, limits) = (&decision.seen, &decision.limits);
    let of = |replicas: u32| f64::from(replicas) * policy.target;
    match decision.want {
        _ if decision.because == Because::StartFailed => {
            Turn { wait: timers.next_start.map(|next| next.since(now)), ..turn(By::NextStart) }
        }
        None if decision.because != Because::Zero => turn(By::Not(decision.because)),
        None => turn(By::FirstRequest),
        Some(want) if want.is_zero() => turn(By::FirstRequest),
        Some(want) if limits.max.is_some_and(|max| max <= want) => turn(By::Maximum),
        Some(want) if seen.stable.is_some() && limits.rate_up <= want => turn(By::Growth),
        Some(_) if timers.learned => turn(By::LearnedDemand),
        Some(want) => {
            // A window asks for its demand over the target, rounded up. The panic window is asked only in a panic, and
            // that begins when it asks for so many times what is ready.
            let panics_at = (policy.panic_threshold * f64::from(seen.ready.0.max(1))).ceil() as u32;
            let by_panic = if seen.panicking { want.0 } else { want.0.max(panics_at.saturating_sub(1)) };
            Turn { stable: Some(of(want.0)), panic: Some(of(by_panic)), ..turn(By::Demand) }
        }
    }
}

fn fewer(now: Moment, decision: &Decision, policy: &Policy, timers: &Timers) -> Turn {
    let Some(want) = decision.want else { return turn(By::Not(decision.because)) };
    let left = |until: Option<Moment>| until.map(|until| until.since(now));
    let at = Some(f64::from(want.0.saturating_sub(1)) * policy.target);
    if want.is_zero() {
        return turn(By::NothingThere);
    }
    if let Some(because) = timers.only_upwards {
        return turn(By::Not(because));
    }
    match decision.because {
        Because::InitialScale => turn(By::InitialScale),
        because @ (Because::NoData
        | Because::NotAdopted
        | Because::Bypassed
        | Because::ScaleConflict
        | Because::HeldRequests
        | Because::Waking
        | Because::StartFailed) => turn(By::Not(because)),
        _ if want <= decision.limits.min => turn(By::Minimum),
        // Below the activation scale there is only nothing.
        _ if want.0 <= policy.activation.map_or(1, NonZeroU32::get) => turn(By::WayToZero),
        because @ Because::IdleUntilWindowEnds => {
            Turn { wait: decision.limits.wait.or(left(timers.young_until)), ..turn(By::Not(because)) }
        }
        _ if decision.seen.panicking => Turn { stable: at, wait: left(timers.panic_until), ..turn(By::PanicEnd) },
        Because::ScaleDownDelay => Turn { stable: at, wait: left(timers.delay_until), ..turn(By::DelayEnd) },
        Because::LimitedByRateDown => turn(By::Shrinking),
        _ if timers.learned => turn(By::LearnedDemand),
        _ => {
            let delay = Some(policy.scale_down_delay).filter(|delay| policy.reachable && !delay.is_zero());
            Turn { stable: at, wait: delay, ..turn(By::Demand) }
        }
    }
}

fn to_zero(now: Moment, decision: &Decision, policy: &Policy, timers: &Timers, path: PathState) -> ToZero {
    let of = |what, wait| Obstacle { what, wait };
    let only = |what| ToZero { obstacles: vec![of(what, None)], within: None };
    let seen = &decision.seen;
    let nothing_runs = seen.ready.is_zero() && seen.starting.is_zero();
    let wants_none = decision.want.is_some_and(|want| want.is_zero()) || decision.because == Because::Zero;
    if wants_none && nothing_runs {
        return ToZero { obstacles: Vec::new(), within: None };
    }
    if wants_none {
        return only(What::Promise);
    }
    if !policy.scale_to_zero {
        return only(What::Disabled);
    }
    if !decision.limits.min.is_zero() {
        let is_initial = policy.min < decision.limits.min;
        return only(if is_initial { What::InitialScale } else { What::Minimum });
    }
    let mut obstacles = Vec::new();
    let bypassed = Some(Because::Bypassed).filter(|_| timers.bypassed);
    obstacles.extend(
        [timers.only_upwards, bypassed].into_iter().flatten().map(|because| of(What::Condition(because), None)),
    );
    let is_busy = timers.in_flight != 0 || seen.held != 0;
    if is_busy {
        obstacles.push(of(What::Requests, None));
    }
    let spent = now.since(timers.status_since);
    let mut begins = Duration::ZERO;
    match timers.status {
        Status::Activating { .. } => obstacles.push(of(What::Start, None)),
        Status::Active => {
            let quiet = match timers.busy_until {
                _ if is_busy => policy.stable_window,
                Some(busy) => remaining(policy.stable_window, now.since(busy)).unwrap_or_default(),
                None => Duration::ZERO,
            };
            let panic = timers.panic_until.map_or(Duration::ZERO, |until| until.since(now));
            let in_use = remaining(policy.stable_window, spent).unwrap_or_default();
            let young = timers.young_until.map_or(Duration::ZERO, |until| until.since(now));
            let window = quiet.max(panic).max(in_use).max(young);
            if !window.is_zero() {
                obstacles.push(of(What::Window, Some(window)));
            }
            let delay = match timers.delay_to_zero_until {
                _ if policy.scale_down_delay.is_zero() || !policy.reachable => Duration::ZERO,
                // As long as the window asks for any, the delay begins anew.
                _ if !quiet.max(panic).is_zero() => policy.scale_down_delay,
                Some(until) => until.since(now),
                None => Duration::ZERO,
            };
            if !delay.is_zero() {
                // Of several only so many are taken at once, and for those that are left the delay begins anew.
                let is_last = decision.limits.rate_down.is_zero();
                obstacles.push(of(What::Delay, Some(delay).filter(|_| is_last)));
            }
            begins = window + delay;
        }
        Status::Inactive { .. } => {}
    }
    let proxied = match path {
        PathState::Direct => None,
        PathState::Proxied { since, acknowledged } => acknowledged.map(|_| now.since(since)),
    };
    if proxied.is_none() {
        obstacles.push(of(What::Activators, None));
    }
    let idle_for = if matches!(timers.status, Status::Inactive { .. }) { spent } else { Duration::ZERO };
    let retention = if policy.reachable { policy.retention } else { Duration::ZERO };
    let retention = remaining(retention, idle_for);
    // It runs from the switch of the path, so it may be over when it is asked for; and beside retention.
    let grace = match path {
        PathState::Proxied { since, .. } => remaining(policy.grace, now.since(since).saturating_add(begins)),
        PathState::Direct => Some(policy.grace).filter(|grace| !grace.is_zero()),
    };
    obstacles.extend(retention.map(|rest| of(What::Retention, Some(rest))));
    obstacles.extend(grace.map(|rest| of(What::Grace, Some(rest))));
    let is_known = obstacles.iter().all(|obstacle| obstacle.wait.is_some());
    let waits = begins + retention.unwrap_or_default().max(grace.unwrap_or_default());
    obstacles.push(of(What::Promise, None));
    ToZero { obstacles, within: is_known.then_some(waits) }
}

#[cfg(test)]
mod tests;
