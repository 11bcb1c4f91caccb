//! Which revision gets a request: tags, and exact weights.
//!
//! Not here: which endpoint a request is for, and which replica of the revision (`balance`).

mod split;

pub use split::{Fault, MAX_TARGETS, Split, SplitError, Target};
