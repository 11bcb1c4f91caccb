//! A bounded line before a changing capacity; in-flight accounting; the activator's side of the seal.
//!
//! [`Line`] says who may go and who waits; [`Meter`] counts what is in flight, over time; [`seal::Seal`] keeps the promise
//! to forward nothing while the last replica is taken away. All are plain values behind
//! their owner's lock: nothing here waits, wakes, reads a clock or logs.
//!
//! Not here: which replica a request goes to once it may go (`balance`), time-outs, and waking a task that waits.

mod line;
mod meter;
pub mod seal;

pub use line::{Entry, Limits, Line, WaiterId};
pub use meter::{Meter, Reading, Stretch, Via};
