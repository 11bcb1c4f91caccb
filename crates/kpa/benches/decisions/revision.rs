//! One revision with everything that the autoscaler has for its decisions, in a world that does at once what it is told.

use std::time::Duration;

use kpa::{
    ActivatorReading, Aggregation, Decisions, Metric, PathState, Policy, Rules, Scaler, SidecarReading, Step,
    TargetBurstCapacity, World,
};
use units::{Incarnation, Moment, ReplicaCount};

/// When everything begins: midnight, so that a day's wave begins at its lowest.
pub(crate) const MIDNIGHT: Moment = Moment::from_unix(Duration::from_secs(1_699_920_000));

pub(crate) struct Revision {
    scaler: Scaler,
    world: World,
    kept: Decisions,
    /// Request-seconds counted so far: whole seconds of a whole number in flight.
    counted: u64,
    counted_at_replicas: u64,
    idle: bool,
}

/// Knative's defaults.
fn policy() -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target: 70.0,
        total: 100.0,
        burst: TargetBurstCapacity::Of(211.0),
        panic_threshold: 2.0,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
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

impl Revision {
    pub(crate) fn new() -> Self {
        let ready = ReplicaCount(1);
        Self {
            scaler: Scaler::new(policy(), Rules::rouse(), MIDNIGHT, ready),
            world: World {
                ready,
                starting: ReplicaCount::ZERO,
                scale: ready,
                path: PathState::Proxied { since: MIDNIGHT, acknowledged: Some(MIDNIGHT) },
                direct_allowed: true,
                held: 0,
                adopted: true,
                bypassed: false,
                contested: false,
                start_failed: false,
                missing: false,
            },
            kept: Decisions::default(),
            counted: 0,
            counted_at_replicas: 0,
            idle: true,
        }
    }

    /// What two activators and a replica say of a second in which so many requests were in flight. Without any they
    /// say as little as in earnest: an empty frame each, and the sidecar one reading in five seconds.
    pub(crate) fn hear(&mut self, second: u64, in_flight: u32) {
        let now = MIDNIGHT.plus(Duration::from_secs(second));
        let (incarnation, elapsed_us) = (Incarnation(1), second * 1_000_000);
        let direct = matches!(self.world.path, PathState::Direct);
        self.counted_at_replicas += u64::from(in_flight);
        self.counted += if direct { 0 } else { u64::from(in_flight) };
        let (requests, concurrency_us) = (self.counted, self.counted * 1_000_000);
        self.scaler.activator_heard(now, "activator-b");
        if (in_flight == 0 || direct) && self.idle {
            self.scaler.activator_heard(now, "activator-a");
        } else {
            let reading = ActivatorReading { incarnation, elapsed_us, requests, concurrency_us, in_flight };
            self.scaler.activator(now, "activator-a", reading);
        }
        self.idle = in_flight == 0 || direct;
        if self.world.ready.is_zero() {
            self.scaler.forget_replica("replica");
            self.world.held = in_flight;
        } else if 0 < in_flight || second.is_multiple_of(5) {
            let reading = SidecarReading {
                incarnation,
                elapsed_us,
                requests: self.counted_at_replicas,
                proxied_requests: requests,
                concurrency_us: self.counted_at_replicas * 1_000_000,
                proxied_concurrency_us: concurrency_us,
                in_flight,
            };
            self.scaler.sidecar(now, "replica", reading);
        }
    }

    /// Decides, and keeps what was decided.
    pub(crate) fn tick(&mut self, second: u64) -> Step {
        let now = MIDNIGHT.plus(Duration::from_secs(second));
        let outcome = self.scaler.decide(now, &self.world);
        let _ = self.kept.keep(now, outcome.decision);
        outcome.step
    }

    /// The world does what it is told.
    pub(crate) fn obey(&mut self, second: u64, step: Step) {
        let now = MIDNIGHT.plus(Duration::from_secs(second));
        match step {
            Step::Rest => return,
            Step::Scale(count) => self.world.scale = count,
            Step::Seal => self.world.scale = ReplicaCount::ZERO,
            Step::GoDirect => self.world.path = PathState::Direct,
            Step::GoProxied => self.world.path = PathState::Proxied { since: now, acknowledged: Some(now) },
        }
        self.world.ready = self.world.scale;
        if !self.world.ready.is_zero() {
            self.world.held = 0;
        }
    }

    pub(crate) fn ready(&self) -> u32 {
        self.world.ready.0
    }

    /// How many entries are kept.
    pub(crate) fn entries(&self) -> usize {
        self.kept.iter().count()
    }
}
