//! How many replicas, and why: Knative's algorithm as a pure function of time.
//!
//! Nothing here waits, reads a clock, logs, or talks to anyone. It is told the time and what was seen, and it answers
//! with what to do, why, and when to ask again; so what happened in production can be replayed as a test.

mod collect;
mod decision;
mod policy;
mod rules;
mod sampling;
mod scaler;

pub use collect::{ActivatorReading, SidecarReading};
pub use decision::{Because, BurstRoom, Decision, Limits, Seen};
pub use policy::{Aggregation, Metric, Policy, TargetBurstCapacity};
pub use rules::Rules;
pub use sampling::sample_size;
pub use scaler::{Outcome, PathState, Scaler, Step, TICK, World};
