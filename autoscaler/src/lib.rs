//! Computes replicas from what is in flight and orders them.
//!
//! Activators and sidecars connect ([`streams`]) and say what they hold and count. Each revision has a task of its own
//! that hears it, asks `kpa` how many replicas there should be, and has the answer carried out through the `platform`'s
//! `Actuator`. Nothing here judges: the rules are in `kpa`.

mod config;
mod inbox;
mod metrics;
mod peers;
#[cfg(test)]
mod stage;
mod streams;

pub use config::Config;
pub use metrics::Metrics;
