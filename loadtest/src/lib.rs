//! Load, as data, and what came of it.
//!
//! In reading order: `scenario` (a file that says what is asked and how often), `shape` (a rate over time, pure), `arrivals`
//! (the moments at which requests are due, pure), `engine` (sends each when it is due, whether or not others are
//! answered), `exchange` (one request), `tally` (what is counted while it runs), `results` (what came of it), `executed`
//! (what the servers say they began), `times` (distributions).
//!
//! Beside it: `storm` (a closed load while replicas come, go and are killed, and whether anything was lost or begun
//! twice), `shadow` (whether clients notice what a shadow does wrong), `memory` (large bodies, many that wait, what is left
//! after a burst), and what the measuring program shares with it: `up` (a running `rouse up`), `http1` (one request).

pub mod arrivals;
pub mod engine;
mod exchange;
pub mod executed;
pub mod http1;
pub mod memory;
pub mod results;
pub mod scenario;
pub mod shadow;
pub mod shape;
pub mod storm;
mod tally;
pub mod times;
pub mod up;

pub use engine::{Client, Nowhere, Options, Target, run, run_until};
pub use results::Results;
pub use scenario::Scenario;
pub use tally::{Live, Snapshot};
