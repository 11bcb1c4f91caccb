//! What every program of Rouse needs to be a good process: a clock, owned tasks, signals, leaving in order, telemetry,
//! an admin port.

mod clock;
mod tasks;

pub use clock::Clock;
pub use tasks::{Draining, Tasks};
