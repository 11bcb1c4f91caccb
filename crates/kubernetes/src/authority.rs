//! Rouse's own authority: what it is, and what is to be done with it next. Pure: the time is an argument.
//!
//! All that it is stands in one [`Ledger`], which the leader keeps in a Secret and every autoscaler reads. In reading
//! order: this page (the rule), `make` (keys and certificates), `ledger` (to a Secret and back), `keep` (the leader does
//! what the rule says, everyone follows).
//!
//! A rotation has three steps, and each begins only when what the one before says has been where its readers look for a
//! [`Timing::step`]: then whoever looks at all has seen it.
//!
//! 1. *Introduce*: a new authority is made and believed beside the old one, which still signs.
//! 2. *Sign*: the new one signs. The old one's key is thrown away here.
//! 3. *Forget*: the old one is not believed any more.
//!
//! So a reader that lags by up to a step never meets a certificate of an authority that it does not believe. One that was
//! away for longer, such as a pod that was made from an old manifest, believes an older authority alone. For it the new
//! one is *crossed* when it is introduced: its key, certified by the one before, which goes along with every certificate
//! that the new one signs. The old key is not needed for that again.
//!
//! Not here: who may ask for a certificate, and what is in it (`make`).

mod keep;
mod ledger;
mod make;

use std::time::Duration;

use units::Moment;

pub use keep::Credentials;
pub use make::{Authority, Leaf};

use crate::fault::Fault;

/// Older authorities by which one can still be believed. A verifier follows a handful of links, and each is half a
/// kilobyte of every handshake.
const CROSSED: usize = 4;

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// An authority this old is followed by another.
    pub renewal: Duration,
    /// Within which everyone who looks at all has seen what is published. More than any two clocks differ.
    pub step: Duration,
}

impl Timing {
    /// What every program runs with unless it is told otherwise.
    pub const ROUSE: Self = Self { renewal: Duration::from_secs(365 * 86_400), step: Duration::from_secs(24 * 3_600) };

    /// How long an authority is valid: also for those who believe it alone, for years after it has signed.
    pub(crate) fn lifetime(self) -> Duration {
        self.renewal * 5
    }

    /// How long a certificate of it is valid. It is made anew when a third of that has passed.
    pub(crate) fn leaf(self) -> Duration {
        (self.renewal / 12).min(Duration::from_secs(30 * 86_400)).max(self.step * 3)
    }
}

/// One authority: to be, as it is, or on its way out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name in its certificates. No two are alike.
    pub(crate) name: String,
    pub(crate) made: Moment,
    pub(crate) expires: Moment,
    /// PEM.
    pub(crate) certificate: String,
    /// PKCS #8 in PEM; `None` once it signs no more.
    pub(crate) key: Option<String>,
    /// Its key certified by the authority before it, then that one's by the one before that, and so on: PEM each.
    pub(crate) crossed: Vec<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("Entry").field("name", &self.name).field("signs", &self.key.is_some()).finish_non_exhaustive()
    }
}

/// All that the authority is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Grows with each step. Who is told of two believes the higher.
    pub(crate) generation: u64,
    /// Since when all of it is where its readers look; `None`: it is not yet.
    pub(crate) published: Option<Moment>,
    /// The last request for a rotation that was obeyed.
    pub(crate) obeyed: Option<String>,
    /// Oldest first; two while one follows the other.
    pub(crate) entries: Vec<Entry>,
    /// Which of them signs.
    pub(crate) signer: usize,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Begin: there is none that could sign.
    Found,
    /// Put it where its readers look.
    Publish,
    /// Make the next one.
    Introduce,
    /// Sign with the next one.
    Sign,
    /// Do not believe the one before any more.
    Forget,
    /// Nothing until then.
    Wait(Moment),
}

impl Ledger {
    /// The one that signs, if its time has not passed.
    pub(crate) fn signer(&self, now: Moment) -> Option<&Entry> {
        self.entries.get(self.signer).filter(|entry| entry.key.is_some() && now < entry.expires)
    }

    /// What is to be done next. `asked`: what a person has written to ask for a rotation, anything that was not there before.
    pub(crate) fn next(&self, asked: Option<&str>, now: Moment, timing: Timing) -> Step {
        let Some(signer) = self.signer(now) else { return Step::Found };
        let Some(published) = self.published else { return Step::Publish };
        let seen_by_all = published.plus(timing.step);
        let at = |due: Moment, step| if due <= now { step } else { Step::Wait(due) };
        if self.signer + 1 < self.entries.len() {
            at(seen_by_all, Step::Sign)
        } else if 0 < self.signer {
            at(seen_by_all, Step::Forget)
        } else if asked.is_some() && asked != self.obeyed.as_deref() {
            Step::Introduce
        } else {
            at(signer.made.plus(timing.renewal), Step::Introduce)
        }
    }

    /// As it is once a step is done. `make` makes a new authority, crossed by the one that it is given.
    ///
    /// # Errors
    /// What `make` says.
    pub(crate) fn after(
        &self,
        step: Step,
        asked: Option<&str>,
        now: Moment,
        make: impl FnOnce(Option<&Entry>) -> Result<Entry, Fault>,
    ) -> Result<Self, Fault> {
        let mut next = self.clone();
        let is_told = match step {
            Step::Wait(_) => false,
            Step::Publish => {
                next.published = Some(now);
                false
            }
            Step::Found => {
                next.entries = vec![make(None)?];
                next.signer = 0;
                next.obeyed = asked.map(str::to_owned);
                true
            }
            Step::Introduce => {
                let mut new = make(self.entries.get(self.signer))?;
                new.crossed.truncate(CROSSED);
                next.entries.push(new);
                next.obeyed = asked.map(str::to_owned);
                true
            }
            Step::Sign => {
                next.signer += 1;
                next.entries[..next.signer].iter_mut().for_each(|old| old.key = None);
                true
            }
            Step::Forget => {
                next.entries.drain(..next.signer);
                next.signer = 0;
                true
            }
        };
        if is_told {
            // Higher also than those of an authority that was taken away with its Secret.
            let millis = u64::try_from(now.unix().as_millis()).unwrap_or(u64::MAX);
            next.generation = millis.max(self.generation.saturating_add(1));
            next.published = None;
        }
        Ok(next)
    }

    /// Everyone who is believed: PEM, one after the other.
    pub(crate) fn bundle(&self) -> String {
        self.entries.iter().map(|entry| entry.certificate.as_str()).collect()
    }
}

#[cfg(test)]
mod tests;
