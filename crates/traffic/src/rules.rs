//! In which order it is decided who gets a request: its tag, the first match that fits, whose it is, its turn.

use std::fmt;
use std::sync::Arc;

use crate::condition::Match;
use crate::request::Request;
use crate::split::Split;
use crate::sticky::{NewCookie, Sticky};

#[cfg(test)]
mod tests;

/// All that decides which target gets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    split: Split,
    matches: Arc<[Match]>,
    sticky: Option<Sticky>,
}

/// Who gets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The position of the target.
    pub target: usize,
    /// What decided it.
    pub because: Because,
    /// What its client is to be given with the answer.
    pub set_cookie: Option<NewCookie>,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It has the target's tag.
    Tag,
    /// It looks like that.
    Match {
        /// The position of the first match that fits.
        position: usize,
    },
    /// Its client stays there.
    Sticky,
    /// It was its turn.
    Weights,
}

/// A match leads to a target that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchTarget {
    /// The position of the match.
    pub position: usize,
    /// Where it leads.
    pub to: usize,
}

impl Rules {
    /// Rules over a split.
    ///
    /// # Errors
    /// If a match leads to a position at which the split has no target.
    pub fn new(split: Split, matches: Arc<[Match]>, sticky: Option<Sticky>) -> Result<Self, NoSuchTarget> {
        let leads_nowhere = |found: &Match| split.targets().len() <= found.to;
        match matches.iter().position(leads_nowhere) {
            Some(position) => Err(NoSuchTarget { position, to: matches[position].to }),
            None => Ok(Self { split, matches, sticky }),
        }
    }

    /// Who gets this request; `None` if no target has the `tag` that it asks for.
    ///
    /// `count` is the number of those before it whose turn it was: asked only if turns decide, so that who owns the count
    /// counts nothing else. `random` is asked only for a new cookie.
    pub fn choose(
        &self,
        tag: Option<&str>,
        request: Request<'_>,
        count: impl FnOnce() -> u64,
        random: impl FnOnce() -> u64,
    ) -> Option<Choice> {
        let decided = |target, because| Choice { target, because, set_cookie: None };
        if let Some(tag) = tag {
            return Some(decided(self.split.by_tag(tag)?, Because::Tag));
        }
        if let Some(position) = self.matches.iter().position(|one| one.fits(request)) {
            return Some(decided(self.matches[position].to, Because::Match { position }));
        }
        if let Some(key) = self.sticky.as_ref().and_then(|sticky| sticky.key(request)) {
            return Some(decided(self.split.by_key(key), Because::Sticky));
        }
        let target = self.split.pick(count());
        let set_cookie = self.sticky.as_ref().and_then(|sticky| sticky.new_cookie(&self.split, target, random));
        Some(Choice { target, because: Because::Weights, set_cookie })
    }

    /// Turns, and the targets.
    pub fn split(&self) -> &Split {
        &self.split
    }
}

impl fmt::Display for NoSuchTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "match [{}] leads to the target [{}], which is not there", self.position, self.to)
    }
}

impl std::error::Error for NoSuchTarget {}
