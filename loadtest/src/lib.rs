//! Load, as data, and what came of it.
//!
//! In reading order: `scenario` (a file that says what is asked and how often), `shape` (a rate over time, pure), `arrivals`
//! (the moments at which requests are due, pure), `engine` (sends each when it is due, whether or not others are
//! answered), `exchange` (one request), `tally` (what is counted while it runs), `results` (what came of it), `executed`
//! (what the servers say they began), `times` (distributions).

pub mod arrivals;
pub mod engine;
mod exchange;
pub mod executed;
pub mod results;
pub mod scenario;
pub mod shape;
mod tally;
pub mod times;

pub use engine::{Nowhere, Options, Target, run, run_until};
pub use results::Results;
pub use scenario::Scenario;
pub use tally::{Live, Snapshot};
