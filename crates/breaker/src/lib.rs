//! A bounded line before a changing capacity; in-flight accounting; the activator's side of the seal.
//!
//! [`Line`] says who may go and who waits; [`Meter`] counts what is in flight, over time; [`Pace`] learns when it is worth
//! to come back; [`seal::Seal`] keeps the promise to forward nothing while the last replica is taken away. All are plain
//! values behind their owner's lock: nothing here waits, wakes, reads a clock or logs. [`Budget`], which all lines of a
//! process share, is a count that needs no lock.
//!
//! Not here: which replica a request goes to once it may go (`balance`), time-outs, and waking a task that waits.

mod budget;
mod line;
mod meter;
mod pace;
pub mod seal;

pub use budget::{Budget, Share};
pub use line::{Entry, Limits, Line, WaiterId};
pub use meter::{Meter, Reading, Stretch, Via};
pub use pace::{LATEST, Pace, SOONEST, spread};
