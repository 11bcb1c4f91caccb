//! A decision allocates nothing: there are hundreds of thousands a day for each revision.

#![expect(unsafe_code, reason = "an allocator that counts can only be written so; it is this test's alone")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use kpa::{
    ActivatorReading, Aggregation, Metric, PathState, Policy, Rules, Scaler, SidecarReading, TargetBurstCapacity, World,
};
use units::{Incarnation, Moment, ReplicaCount};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's allocator's; counting touches nothing of it and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn policy() -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::WeightedExponential,
        target: 10.0,
        total: 10.0,
        burst: TargetBurstCapacity::Of(211.0),
        panic_threshold: 2.0,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        scale_down_delay: Duration::from_secs(30),
        retention: Duration::from_secs(10),
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

#[test]
fn readings_and_decisions_allocate_nothing_once_everyone_is_known() {
    let start = Moment::from_unix(Duration::from_secs(1_700_000_000));
    let mut scaler = Scaler::new(policy(), Rules::rouse(), start, ReplicaCount(2));
    let world = World {
        ready: ReplicaCount(2),
        starting: ReplicaCount::ZERO,
        scale: ReplicaCount(2),
        path: PathState::Proxied { since: start, acknowledged: Some(start) },
        direct_allowed: true,
        held: 0,
        adopted: true,
        bypassed: false,
        contested: false,
        start_failed: false,
        missing: false,
    };
    let mut second = |number: u64| {
        let now = start.plus(Duration::from_secs(number));
        // A wave, so that the scale-down delay fills and empties.
        let load = 20 + number % 50;
        let (elapsed_us, counted) = (number * 1_000_000, number * load);
        for activator in ["a", "b"] {
            let (incarnation, in_flight) = (Incarnation(1), load as u32);
            let concurrency_us = counted * 1_000_000;
            scaler.activator(
                now,
                activator,
                ActivatorReading { incarnation, elapsed_us, requests: counted, concurrency_us, in_flight },
            );
        }
        for replica in ["r", "s"] {
            scaler.sidecar(
                now,
                replica,
                SidecarReading {
                    incarnation: Incarnation(1),
                    elapsed_us,
                    requests: counted,
                    proxied_requests: counted,
                    concurrency_us: counted * 1_000_000,
                    proxied_concurrency_us: counted * 1_000_000,
                    in_flight: load as u32,
                },
            );
        }
        scaler.decide(now, &world).decision.want
    };
    let _ = second(1);
    let before = ALLOCATIONS.with(Cell::get);
    let wants: u64 = (2..600).filter_map(&mut second).map(|want| u64::from(want.0)).sum();
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(0 < wants, "something was decided");
}
