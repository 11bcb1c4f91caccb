//! How many replicas, and why: Knative's algorithm as a pure function of time.
//!
//! Nothing here waits, reads a clock, logs, or talks to anyone. It is told the time and what was seen, and it answers
//! with what to do, why, and when to ask again; so what happened in production can be replayed as a test.
//!
//! In reading order: [`Policy`] says what a revision is to be scaled by, and [`policy`] reads it from settings;
//! [`Rules`] where this departs from Knative; readings become seconds (`collect`), seconds fill windows (`window`,
//! `series`), the averages make a wish ([`Decider`], with the scale-down delay of `delay`), which is taken within
//! [`Bounds`] and, when it is zero, through `status` and `zero`. All of that is Knative's. [`Scaler`] puts it together
//! with the reasons to wait that Knative has no word for, and with the option of `startup`; [`StartJudge`] says whether
//! a start has failed; [`Decisions`] keeps what was decided.

mod bounds;
mod capacity;
mod collect;
mod decider;
mod decision;
mod delay;
mod kept;
mod outlook;
pub mod policy;
mod rules;
mod sampling;
mod scaler;
pub mod seal;
mod series;
mod start;
mod startup;
mod status;
mod window;
mod world;
mod zero;

pub use bounds::Bounds;
pub use capacity::{initial_burst_room, is_news, num_activators};
pub use collect::{ActivatorReading, SidecarReading};
pub use decider::{Decider, Load, Wish};
pub use decision::{Because, BurstRoom, Decision, Limits, Seen};
pub use delay::DelayWindow;
pub use kept::{Change, Decided, Decisions};
pub use outlook::{By, Obstacle, Outlook, Timers, ToZero, Turn, What, outlook};
pub use policy::{Aggregation, Metric, Policy, TargetBurstCapacity};
pub use rules::Rules;
pub use sampling::{Stat, sample_size, stand_for_all};
pub use scaler::{Scaler, TICK};
pub use series::Series;
pub use start::{StartJudge, StartState, Starting};
pub use status::{Status, threshold};
pub use window::Window;
pub use world::{Outcome, PathState, Step, World};
pub use zero::{Unwanted, Way, way};
