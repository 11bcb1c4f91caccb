use units::Incarnation;

use super::*;
use crate::{Aggregation, TargetBurstCapacity};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn policy() -> Policy {
    Policy {
        metric: Metric::Concurrency,
        aggregation: Aggregation::Linear,
        target: 10.0,
        total: 10.0,
        burst: TargetBurstCapacity::Unlimited,
        panic_threshold: 2.0,
        stable_window: seconds(10),
        panic_window: seconds(1),
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        scale_down_delay: Duration::ZERO,
        retention: Duration::ZERO,
        grace: seconds(30),
        min: ReplicaCount::ZERO,
        max: None,
        initial: ReplicaCount(1),
        activation: None,
        scale_to_zero: true,
        reachable: true,
        activator_capacity: 100.0,
    }
}

/// One revision in a world that does at once what it is told; replicas are ready the second after.
struct Toy {
    scaler: Scaler,
    world: World,
    now: Moment,
    begun: Moment,
    /// Activators, each with the load at it.
    activators: Vec<(&'static str, u32)>,
    /// Sidecars, each with the load at it and the proxied part of that.
    sidecars: Vec<(&'static str, u32, u32)>,
    counted: HashMap<&'static str, (u64, u64, u64)>,
    last: Option<(Option<u32>, Because)>,
    story: Vec<String>,
}

impl Toy {
    fn at_scale(policy: Policy, scale: u32) -> Self {
        let now = Moment::from_unix(seconds(1_700_000_000));
        let proxied = PathState::Proxied { since: now.minus(seconds(3600)), acknowledged: Some(now) };
        Self {
            scaler: Scaler::new(policy, Rules::rouse(), now, ReplicaCount(scale)),
            world: World {
                ready: ReplicaCount(scale),
                starting: ReplicaCount::ZERO,
                scale: ReplicaCount(scale),
                path: proxied,
                direct_allowed: false,
                held: 0,
                adopted: true,
                bypassed: false,
                start_failed: false,
                missing: false,
            },
            now,
            begun: now,
            activators: vec![("a", 0)],
            sidecars: Vec::new(),
            counted: HashMap::new(),
            last: None,
            story: Vec::new(),
        }
    }

    /// An hour's grace has long been there: the window is full, and the revision is active.
    fn settled(policy: Policy, scale: u32, load: u32) -> Self {
        let mut toy = Self::at_scale(policy, scale);
        toy.activators[0].1 = load;
        toy.run(70);
        toy.story.clear();
        toy.begun = toy.now;
        toy
    }

    fn elapsed_us(&self) -> u64 {
        // Every reporter is a day older than the observation but for its counters, as after a restart.
        self.now.since(Moment::from_unix(seconds(1_700_000_000 - 86_400))).as_micros() as u64
    }

    fn run(&mut self, for_seconds: u64) {
        for _ in 0..for_seconds {
            self.second();
        }
    }

    fn second(&mut self) -> Outcome {
        self.now = self.now.plus(seconds(1));
        let elapsed_us = self.elapsed_us();
        for (name, load) in self.activators.clone() {
            self.scaler.activator_heard(self.now, name);
            let counted = self.counted.entry(name).or_default();
            if 0 < load || counted.2 == 1 {
                *counted = (counted.0 + u64::from(load), counted.1 + u64::from(load) * 1_000_000, u64::from(0 < load));
                let reading = ActivatorReading {
                    incarnation: Incarnation(1),
                    elapsed_us,
                    requests: counted.0,
                    concurrency_us: counted.1,
                    in_flight: load,
                };
                self.scaler.activator(self.now, name, reading);
            }
        }
        for (name, load, proxied) in self.sidecars.clone() {
            let counted = self.counted.entry(name).or_default();
            *counted = (
                counted.0 + u64::from(load),
                counted.1 + u64::from(load) * 1_000_000,
                counted.2 + u64::from(proxied) * 1_000_000,
            );
            let reading = SidecarReading {
                incarnation: Incarnation(1),
                elapsed_us,
                requests: counted.0,
                proxied_requests: 0,
                concurrency_us: counted.1,
                proxied_concurrency_us: counted.2,
                in_flight: load,
            };
            self.scaler.sidecar(self.now, name, reading);
        }
        self.world.ready = ReplicaCount(self.world.ready.0 + self.world.starting.0);
        self.world.starting = ReplicaCount::ZERO;
        if 0 < self.world.ready.0 {
            self.world.held = 0;
        }
        let outcome = self.scaler.decide(self.now, &self.world);
        self.tell(&outcome);
        match outcome.step {
            Step::Rest => {}
            Step::Scale(to) => self.scale(to),
            Step::Seal => self.scale(ReplicaCount::ZERO),
            Step::GoProxied => {
                self.world.path = PathState::Proxied { since: self.now, acknowledged: Some(self.now) };
            }
            Step::GoDirect => self.world.path = PathState::Direct,
        }
        outcome
    }

    fn scale(&mut self, to: ReplicaCount) {
        self.world.starting = ReplicaCount(to.0.saturating_sub(self.world.ready.0));
        self.world.ready = self.world.ready.min(to);
        self.world.scale = to;
    }

    fn tell(&mut self, outcome: &Outcome) {
        let told = (outcome.decision.want.map(|want| want.0), outcome.decision.because);
        if self.last != Some(told) {
            self.last = Some(told);
            let want = told.0.map_or("?".to_owned(), |want| want.to_string());
            let at = self.now.since(self.begun).as_secs();
            self.story.push(format!("{at}s: {} -> {want} {}", self.world.scale, told.1.word()));
        }
    }
}

#[test]
fn a_held_request_wakes_at_once_and_the_last_replica_goes_after_a_silent_window() {
    let mut toy = Toy::settled(policy(), 0, 0);
    toy.world.held = 1;
    toy.activators[0].1 = 1;
    toy.run(3);
    toy.activators[0].1 = 0;
    toy.run(30);
    assert_eq!(toy.story, ["1s: 0 -> 1 waking", "2s: 1 -> 1 steady", "13s: 1 -> 0 sealed", "14s: 0 -> 0 zero"]);
}
