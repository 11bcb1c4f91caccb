//! Which revision gets a request: its tag says it, or what it looks like, or whose it is, or its turn. In this order.
//!
//! - `split`: turns, exact by percent
//! - `request`: what of a request is looked at
//! - `condition`: what a request looks like
//! - `sticky`: whose it is
//! - `rules`: the order of all these
//! - `outcome`: how the revisions that got them did, side by side
//! - `sampling`: of which requests a shadow gets a copy
//!
//! Not here: which endpoint a request is for, and which replica of the revision (`balance`).

mod condition;
pub mod outcome;
mod request;
mod rules;
mod sampling;
mod split;
mod sticky;

pub use condition::{LARGEST_REGEX, LONGEST_FOR_REGEX, MOST_VALUES_FOR_REGEX, Match, Pattern, Regex, RegexError};
pub use request::Request;
pub use rules::{Because, Choice, NoSuchTarget, Rules};
pub use sampling::is_sampled;
pub use split::{Fault, MAX_TARGETS, Split, SplitError, Target};
pub use sticky::{NewCookie, Sticky};
