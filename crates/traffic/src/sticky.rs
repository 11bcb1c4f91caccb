//! A client stays with a revision, and nobody has to remember which.
//!
//! Weighted rendezvous hashing: what a request is known by is hashed together with the name of each revision to a number `u`
//! between 0 and 1, and the revision with the highest `-percent / ln(u)` gets it. That gives each revision its share of
//! keys, alike at every activator and after every restart. When percents change, the scores of others stay what they were:
//! a key leaves a revision only for one that has gained on it, so no more keys move than must.
//!
//! The hash is SipHash-2-4 with a key of zeros. It is fixed by its specification, so that no update sends everybody to
//! another revision; and one bit of difference changes half of its bits, which shares of `user-1`, `user-2` … need. (Of the
//! logarithm, two machines may have different last bits. That decides one key in 10^15.)

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use siphasher::sip::SipHasher24;

use crate::request::Request;
use crate::split::Split;

#[cfg(test)]
mod tests;

/// What requests of one client are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The value of this header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Whether a client that brings none is given one.
        set: bool,
    },
    /// Where it comes from.
    ClientAddress,
}

/// A cookie for a client that has none yet, by which it will stay where it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCookie {
    /// Its name.
    pub name: Arc<str>,
    /// Its value: 16 hexadecimal digits, which say nothing.
    pub value: String,
}

/// How often a value is drawn at most that leads to the revision that it is for. One with 1 % is missed so often once in
/// 10^17 times.
const MOST_DRAWS: u64 = 4_000;

/// Whose a request is, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    pub(crate) fn of<'v>(parts: impl IntoIterator<Item = &'v [u8]>) -> Self {
        let mut hasher = SipHasher24::new();
        parts.into_iter().for_each(|part| hasher.write(part));
        Self(hasher.finish())
    }

    /// How much this revision is its own, evenly between 0 and 1, neither of them.
    fn with(self, revision: &str) -> f64 {
        let mut hasher = SipHasher24::new();
        hasher.write(&self.0.to_le_bytes());
        hasher.write(revision.as_bytes());
        // With 52 bits the half is exact, so that it never rounds up to 1.
        ((hasher.finish() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

impl Sticky {
    /// Whose this request is; `None` if it does not say, and an empty text says nothing.
    pub(crate) fn key(&self, request: Request<'_>) -> Option<Key> {
        match self {
            Self::Header(name) => {
                // A proxy may make one field of several (RFC 9110 §5.3), and that may not make another client of it.
                let values = || request.headers.get_all(name).iter();
                let parts = values().enumerate().flat_map(|(number, value)| {
                    let between: &[u8] = if number == 0 { b"" } else { b", " };
                    [between, value.as_bytes()]
                });
                values().any(|value| !value.is_empty()).then(|| Key::of(parts))
            }
            // Of several the first: clients send the one with the longest path before the others.
            Self::Cookie { name, .. } => {
                request.cookies(name).next().filter(|value| !value.is_empty()).map(|value| Key::of([value]))
            }
            Self::ClientAddress => Some(match request.client.to_canonical() {
                IpAddr::V4(address) => Key::of([&address.octets()[..]]),
                IpAddr::V6(address) => Key::of([&address.octets()[..]]),
            }),
        }
    }

    /// A cookie that leads to the target at this position, where clients are given one. `random` is where to begin to draw.
    ///
    /// Drawn to fit, not at random: so who has none gets its revision by exact share, as promised, and stays there. As many
    /// draws are needed as there are revisions, on average.
    pub(crate) fn new_cookie(&self, split: &Split, target: usize, random: impl FnOnce() -> u64) -> Option<NewCookie> {
        let Self::Cookie { name, set: true } = self else { return None };
        let random = random();
        let draw = |number: u64| {
            let mut hasher = SipHasher24::new_with_keys(random, number);
            hasher.write(name.as_bytes());
            format!("{:016x}", hasher.finish())
        };
        let fitting = |value: &String| split.by_key(Key::of([value.as_bytes()])) == target;
        let value = (0..MOST_DRAWS).map(draw).find(fitting)?;
        Some(NewCookie { name: Arc::clone(name), value })
    }
}

impl Split {
    /// The position of the target whose this key is. Each revision is to stand once among those with a percent.
    pub(crate) fn by_key(&self, key: Key) -> usize {
        let scores = self.targets().iter().enumerate().map(|(position, target)| {
            let score = -f64::from(target.percent.get()) / key.with(&target.revision).ln();
            (position, score)
        });
        // Who has nothing scores 0, and someone scores more, since percents add up to 100.
        scores.max_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(position, _)| position)
    }
}
