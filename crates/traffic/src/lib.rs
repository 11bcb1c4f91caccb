//! Which revision gets a request: its tag says it, or what it looks like, or whose it is, or its turn. In this order.
//!
//! - `split`: turns, exact by percent
//! - `request`: what of a request is looked at
//! - `condition`: what a request looks like
//! - `sticky`: whose it is
//! - `rules`: the order of all these
//!
//! Not here: which endpoint a request is for, and which replica of the revision (`balance`).

mod condition;
mod request;
mod rules;
mod split;
mod sticky;

pub use condition::{LARGEST_REGEX, LONGEST_FOR_REGEX, MOST_VALUES_FOR_REGEX, Match, Pattern, Regex, RegexError};
pub use request::Request;
pub use rules::{Because, Choice, NoSuchTarget, Rules};
pub use split::{Fault, MAX_TARGETS, Split, SplitError, Target};
pub use sticky::{NewCookie, Sticky};
