//! Streams between the programs: what peers send, and what is made of it.

use std::time::Duration;

use breaker::seal::{Ending, Here, LONGEST_TTL, Seal, SealId, Verdict};
use bytes::{Buf as _, Bytes};
use kpa::policy::{Config, policy_of};
use kpa::{ActivatorReading, PathState, Rules, Scaler, SidecarReading, World};
use units::{ConcurrencyLimit, Incarnation, Moment, ReplicaCount};
use wire::{Checked, Down, FrameError, FromAutoscaler, MAX_FRAME_BYTES, ToAutoscaler, Up, durations};

/// The input is a stream of frames. Each is read in both directions, and what it says goes where a program would take
/// it, a second after the one before.
pub fn frames(data: &[u8]) {
    let mut stream = Bytes::copy_from_slice(data);
    let mut receiver = Receiver::new();
    loop {
        let length = match frame_length(&stream) {
            Ok(Some(length)) => length,
            Ok(None) | Err(_) => return,
        };
        stream.advance(4);
        if stream.len() < length {
            return;
        }
        let frame = stream.split_to(length);
        if let Some(message) = decoded::<ToAutoscaler>(&frame) {
            receiver.up(message);
        }
        if let Some(message) = decoded::<FromAutoscaler>(&frame) {
            receiver.down(message);
        }
        receiver.decide();
    }
}

fn frame_length(stream: &Bytes) -> Result<Option<usize>, FrameError> {
    let length = wire::frame_length(stream);
    assert_eq!(matches!(length, Ok(None)), stream.len() < 4);
    if let Ok(Some(length)) = length {
        assert!(length <= MAX_FRAME_BYTES);
    }
    length
}

fn decoded<M: Checked + PartialEq + std::fmt::Debug>(frame: &Bytes) -> Option<M> {
    let message = wire::decode::<M>(frame.clone()).ok()?;
    let again = wire::encode(&message).slice(4..);
    assert_eq!(wire::decode::<M>(again).as_ref(), Ok(&message), "said again it means something else");
    Some(message)
}

/// What programs keep of what they hear: an autoscaler's scaler, an activator's seal.
struct Receiver {
    now: Moment,
    scaler: Scaler,
    seal: Seal,
    asked: Option<SealId>,
    promised: Option<Moment>,
}

impl Receiver {
    fn new() -> Self {
        let config = Config::knative_defaults();
        let policy = policy_of(&kpa::policy::Annotations::default(), &config, ConcurrencyLimit::from_field(10), true);
        let now = Moment::from_unix_millis(1_700_000_000_250);
        Self {
            now,
            scaler: Scaler::new(policy, Rules::rouse(), now, ReplicaCount(1)),
            seal: Seal::new(None),
            asked: None,
            promised: None,
        }
    }

    fn up(&mut self, message: ToAutoscaler) {
        let now = self.now;
        match message.kind {
            Some(Up::Frame(frame)) => {
                self.scaler.activator_heard(now, "activator");
                for demand in frame.demands {
                    let reading = ActivatorReading {
                        incarnation: Incarnation(frame.number >> 32),
                        elapsed_us: frame.elapsed_us,
                        requests: demand.requests,
                        concurrency_us: demand.concurrency_us,
                        in_flight: demand.in_flight,
                    };
                    self.scaler.activator(now, "activator", reading);
                    if let Some(outcomes) = demand.outcomes {
                        let median = durations::quantile(&outcomes.durations, 0.5);
                        assert!(median <= durations::quantile(&outcomes.durations, 0.99));
                    }
                }
            }
            Some(Up::SidecarStats(stats)) => {
                let reading = SidecarReading {
                    incarnation: Incarnation(stats.number >> 32),
                    elapsed_us: stats.elapsed_us,
                    requests: stats.requests,
                    proxied_requests: stats.proxied_requests,
                    concurrency_us: stats.concurrency_us,
                    proxied_concurrency_us: stats.proxied_concurrency_us,
                    in_flight: stats.in_flight,
                };
                self.scaler.sidecar(now, "replica", reading);
            }
            Some(Up::Leaving(_)) => self.scaler.forget_activator("activator"),
            Some(Up::Hello(_) | Up::Wake(_) | Up::SealAnswer(_) | Up::RouteAck(_) | Up::IdleAnswer(_)) | None => {}
        }
    }

    fn down(&mut self, message: FromAutoscaler) {
        let now = self.now;
        match message.kind {
            Some(Down::Seal(seal)) => {
                let id = SealId { epoch: seal.epoch, seq: seal.seq };
                let ttl = Duration::from_millis(seal.ttl_ms);
                let here = Here { held: 0, forwarded: 0 };
                let is_new = self.asked < Some(id);
                self.asked = self.asked.max(Some(id));
                // Asked the same again, it repeats the promise that it gave, whatever is asked for now.
                if self.seal.asked(now, id, ttl, seal.epoch, here) == Verdict::Sealed && is_new {
                    assert!(ttl <= LONGEST_TTL, "promised for longer than is ever promised");
                    self.promised = self.promised.max(Some(now.plus(ttl)));
                }
            }
            Some(Down::Outcome(outcome)) => {
                let id = SealId { epoch: outcome.epoch, seq: outcome.seq };
                let ending = match outcome.outcome() {
                    wire::Outcome::Committed => Ending::Committed,
                    wire::Outcome::Released => Ending::Released,
                    wire::Outcome::Unknown => return,
                };
                self.seal.ended(now, id, ending);
            }
            Some(Down::Lead(_) | Down::Refusal(_) | Down::Weights(_) | Down::Out(_)) => {}
            Some(Down::Settings(_) | Down::IdleQuestion(_) | Down::Trust(_)) | None => {}
        }
        if let Some(until) = self.seal.holds_until(now) {
            assert!(Some(until) <= self.promised, "nothing was promised until then");
        }
    }

    fn decide(&mut self) {
        let world = World {
            ready: ReplicaCount(1),
            starting: ReplicaCount(0),
            scale: ReplicaCount(1),
            path: PathState::Proxied { since: self.now, acknowledged: None },
            direct_allowed: true,
            held: 0,
            adopted: true,
            bypassed: false,
            contested: false,
            start_failed: false,
            missing: false,
        };
        let outcome = self.scaler.decide(self.now, &world);
        assert!(Duration::ZERO < outcome.ask_again);
        let seen = outcome.decision.seen;
        for average in [seen.stable, seen.panic].into_iter().flatten() {
            assert!(average.is_finite() && 0.0 <= average, "an average of {average}");
        }
        // Knative's rate: at most a thousandfold of what is ready in one evaluation.
        assert!(outcome.decision.want.is_none_or(|want| want <= ReplicaCount(1_000)));
        self.now = self.now.plus(Duration::from_secs(1));
    }
}
