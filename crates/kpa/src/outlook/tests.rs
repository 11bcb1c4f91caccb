//! The numbers that are told are those at which the rules ask for another number.

use proptest::prelude::*;
use units::ReplicaCount;

use super::*;
use crate::{Aggregation, Bounds, BurstRoom, Decider, Limits, Load, Metric, Rules, Seen, TargetBurstCapacity};

const NOW: Moment = Moment::from_unix(Duration::from_secs(1_700_000_000));

fn policy(target: f64, panic_threshold: f64) -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target,
        total: target,
        burst: TargetBurstCapacity::Of(0.0),
        panic_threshold,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 1000.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: Duration::from_secs(30),
        min: ReplicaCount::ZERO,
        max: None,
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

fn timers() -> Timers {
    Timers {
        status: Status::Active,
        status_since: NOW.minus(Duration::from_secs(600)),
        busy_until: Some(NOW),
        in_flight: 1,
        panic_until: None,
        delay_until: None,
        delay_to_zero_until: None,
        next_start: None,
        only_upwards: None,
        bypassed: false,
        young_until: None,
        learned: false,
    }
}

/// One evaluation within the bounds, as the scaler makes it.
fn decide(mut decider: Decider, policy: &Policy, ready: u32, load: Load) -> Decision {
    let wish = decider.decide(NOW, ReplicaCount(ready), load, policy);
    let bounds = Bounds::of(policy, true);
    let want = bounds.apply(wish.want);
    let because = match want.cmp(&wish.want) {
        std::cmp::Ordering::Less => Because::Maximum,
        std::cmp::Ordering::Greater => bounds.because,
        std::cmp::Ordering::Equal => wish.because,
    };
    Decision {
        want: Some(want),
        burst_room: BurstRoom(0),
        because,
        seen: Seen {
            stable: Some(load.stable),
            panic: Some(load.panic),
            ready: ReplicaCount(ready),
            starting: ReplicaCount::ZERO,
            held: 0,
            panicking: decider.panicking(),
        },
        limits: Limits {
            min: bounds.min,
            max: bounds.max,
            rate_up: wish.rate_up,
            rate_down: wish.rate_down,
            wait: None,
        },
    }
}

fn look(decision: &Decision, policy: &Policy, timers: &Timers) -> Outlook {
    let path = PathState::Proxied { since: NOW.minus(Duration::from_secs(600)), acknowledged: Some(NOW) };
    outlook(NOW, decision, policy, timers, path)
}

/// Next to a number, on either side; divisions round.
const BELOW: f64 = 1.0 - 1e-9;
const ABOVE: f64 = 1.0 + 1e-9;

proptest! {
    #[test]
    fn one_more_is_asked_for_above_what_is_told_and_not_at_it(
        target in 0.01..200.0_f64,
        threshold in 1.1..10.0_f64,
        ready in 0..60_u32,
        stable in 0.01..60.0_f64,
        burst in 0.0..80.0_f64,
        panicked in any::<bool>(),
        max in prop::option::of(1..40_u32),
    ) {
        let policy = Policy { max: max.map(ReplicaCount), ..policy(target, threshold) };
        let mut decider = Decider::new(&policy, Rules::rouse(), NOW, ReplicaCount::ZERO);
        if panicked {
            let _ = decider.decide(NOW, ReplicaCount(1), Load { stable: 0.0, panic: 20.0 * target }, &policy);
        }
        let load = Load { stable: stable * target, panic: burst * target };
        let now = decide(decider.clone(), &policy, ready, load);
        let want = now.want.unwrap();
        // What the panic was about is of this evaluation: from here on it is as the first left it.
        let _ = decider.decide(NOW, ReplicaCount(ready), load, &policy);
        let wanted = |load| decide(decider.clone(), &policy, ready, load).want.unwrap();
        let more = look(&now, &policy, &timers()).more;
        match more.by {
            By::Demand => {
                let (by_stable, by_panic) = (more.stable.unwrap(), more.panic.unwrap());
                prop_assert_eq!(wanted(Load { stable: by_stable * BELOW, ..load }), want);
                let above = wanted(Load { stable: by_stable * ABOVE, ..load });
                prop_assert!(want < above);
                prop_assert_eq!(wanted(Load { panic: by_panic * BELOW, ..load }), want);
                let above = wanted(Load { panic: by_panic * ABOVE, ..load });
                prop_assert!(want < above);
            }
            By::Maximum => {
                prop_assert_eq!(wanted(Load { stable: 1e4 * target, panic: 1e4 * target }), want);
            }
            other => prop_assert!(false, "{other:?} at {now:?}"),
        }
    }

    #[test]
    fn one_fewer_is_asked_for_at_what_is_told_and_not_above_it(
        target in 0.01..200.0_f64,
        ready in 0..60_u32,
        stable in 0.01..60.0_f64,
        min in 0..10_u32,
        max in prop::option::of(10..40_u32),
    ) {
        let policy = Policy { min: ReplicaCount(min), max: max.map(ReplicaCount), ..policy(target, 1e6) };
        let decider = Decider::new(&policy, Rules::rouse(), NOW, ReplicaCount::ZERO);
        let load = Load { stable: stable * target, panic: 0.0 };
        let now = decide(decider.clone(), &policy, ready, load);
        let want = now.want.unwrap();
        let wanted = |stable| decide(decider.clone(), &policy, ready, Load { stable, ..load }).want.unwrap();
        let fewer = look(&now, &policy, &timers()).fewer;
        match fewer.by {
            By::Demand => {
                prop_assert!(wanted(fewer.stable.unwrap() * BELOW) < want);
                prop_assert_eq!(wanted(fewer.stable.unwrap() * ABOVE), want);
            }
            By::Minimum => prop_assert_eq!(wanted(0.0), want),
            By::WayToZero => prop_assert_eq!((want, wanted(0.0)), (ReplicaCount(1), ReplicaCount::ZERO)),
            other => prop_assert!(false, "{other:?} at {now:?}"),
        }
    }
}

fn steady(want: u32) -> Decision {
    let policy = policy(10.0, 2.0);
    let decider = Decider::new(&policy, Rules::rouse(), NOW, ReplicaCount::ZERO);
    decide(decider, &policy, want, Load { stable: 10.0 * f64::from(want) - 5.0, panic: 0.0 })
}

#[test]
fn a_panic_ends_before_anything_is_taken() {
    let decision = Decision { seen: Seen { panicking: true, ..steady(3).seen }, ..steady(3) };
    let until = NOW.plus(Duration::from_secs(42));
    let fewer = look(&decision, &policy(10.0, 2.0), &Timers { panic_until: Some(until), ..timers() }).fewer;
    assert_eq!((fewer.by, fewer.wait, fewer.stable), (By::PanicEnd, Some(Duration::from_secs(42)), Some(20.0)));
}

#[test]
fn a_delay_is_waited_for_as_long_as_the_higher_wish_holds() {
    let decision = Decision { because: Because::ScaleDownDelay, ..steady(3) };
    let until = NOW.plus(Duration::from_secs(7));
    let fewer = look(&decision, &policy(10.0, 2.0), &Timers { delay_until: Some(until), ..timers() }).fewer;
    assert_eq!((fewer.by, fewer.wait, fewer.stable), (By::DelayEnd, Some(Duration::from_secs(7)), Some(20.0)));
}

#[test]
fn from_nothing_the_first_request_wakes_it_unless_its_start_has_failed() {
    let zero = Decision { want: Some(ReplicaCount::ZERO), because: Because::Zero, ..steady(1) };
    let look = |decision: &Decision| look(decision, &policy(10.0, 2.0), &timers());
    assert_eq!((look(&zero).more.by, look(&zero).fewer.by), (By::FirstRequest, By::NothingThere));
    let failed = Decision { because: Because::StartFailed, ..zero };
    assert_eq!(look(&failed).more.by, By::NextStart);
}

#[test]
fn where_growth_is_limited_more_come_by_themselves() {
    let limited = Decision { limits: Limits { rate_up: ReplicaCount(3), ..steady(3).limits }, ..steady(3) };
    assert_eq!(look(&limited, &policy(10.0, 2.0), &timers()).more.by, By::Growth);
}

#[test]
fn below_the_activation_scale_there_is_only_zero() {
    let policy = Policy { activation: NonZeroU32::new(3), ..policy(10.0, 2.0) };
    assert_eq!(look(&steady(3), &policy, &timers()).fewer.by, By::WayToZero);
    assert_eq!(look(&steady(4), &policy, &timers()).fewer.by, By::Demand);
}

#[test]
fn with_startup_aware_scaling_no_number_is_told_that_would_be_wrong() {
    let outlook = look(&steady(3), &policy(10.0, 2.0), &Timers { learned: true, ..timers() });
    assert_eq!((outlook.more.by, outlook.fewer.by), (By::LearnedDemand, By::LearnedDemand));
}

#[test]
fn what_never_goes_to_zero_says_by_what() {
    let first = |decision: &Decision, policy: &Policy| look(decision, policy, &timers()).zero.obstacles[0].what;
    let with_min = Decision { limits: Limits { min: ReplicaCount(2), ..steady(3).limits }, ..steady(3) };
    assert_eq!(first(&with_min, &Policy { min: ReplicaCount(2), ..policy(10.0, 2.0) }), What::Minimum);
    assert_eq!(first(&with_min, &policy(10.0, 2.0)), What::InitialScale);
    assert_eq!(first(&steady(1), &Policy { scale_to_zero: false, ..policy(10.0, 2.0) }), What::Disabled);
}
