//! Who should have answered, while one split was in force.

use tokio::time::Instant;

use crate::load::{Asked, Outcome};

/// A time in which one share was in force.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The candidate, one of two revisions.
    pub revision: &'a str,
    /// Its percent.
    pub percent: u8,
    /// How many activators pick; each is exact by itself.
    pub activators: usize,
    /// From here on every activator picks by it.
    pub from: Instant,
    /// Until here nothing else was written.
    pub to: Instant,
}

impl Span<'_> {
    /// Over any stretch of turns at one activator each of two revisions is within one request of its share. Who sends them
    /// knows which those are, but for those that were on their way when it began or ended. With 0 and 100 it is every
    /// request. Returns how many were looked at.
    ///
    /// # Errors
    /// What was counted, if it is not so.
    pub fn is_exact(&self, all: &[Asked]) -> Result<usize, String> {
        let surely = || all.iter().filter(|asked| self.from <= asked.sent && asked.ended <= self.to);
        let across = |moment| all.iter().filter(|asked| asked.sent < moment && moment < asked.ended).count();
        let (percent, turns, unsure) =
            (usize::from(self.percent), surely().count(), across(self.from) + across(self.to));
        let its = surely().filter(|asked| asked.revision == self.revision).count();
        let off = (100 * its).abs_diff(percent * turns);
        let allowed = if matches!(percent, 0 | 100) { 0 } else { 100 * (self.activators + unsure) };
        let told = format!("{its} of {turns} at {percent} %, {unsure} on their way at its ends");
        println!("{told}");
        if off <= allowed { Ok(turns) } else { Err(told) }
    }
}

/// Whether each request was answered 200, and begun exactly once, by the revision that answered it: `begun` has what each
/// revision wrote down, an id a line.
///
/// # Errors
/// Some of those of which it is not so.
pub fn nothing_is_lost_or_begun_twice(all: &[Asked], begun: &[(&str, String)]) -> Result<(), String> {
    let bad: Vec<_> = all.iter().filter(|asked| asked.outcome != Outcome::Good).take(5).collect();
    if !bad.is_empty() {
        return Err(format!("of {} requests these were not answered 200: {bad:?}", all.len()));
    }
    for (revision, begun) in begun {
        let mut begun: Vec<&str> = begun.lines().collect();
        begun.sort_unstable();
        let of_it = all.iter().filter(|asked| asked.revision == *revision);
        let mut answered: Vec<&str> = of_it.map(|asked| asked.id.as_str()).collect();
        answered.sort_unstable();
        if begun != answered {
            let only = |one: &[&str], other: &[&str]| -> Vec<String> {
                one.iter().filter(|id| !other.contains(id)).take(5).map(|id| (*id).to_owned()).collect()
            };
            return Err(format!(
                "{revision} began {} and answered {}; begun only: {:?}, answered only: {:?}",
                begun.len(),
                answered.len(),
                only(&begun, &answered),
                only(&answered, &begun)
            ));
        }
    }
    Ok(())
}
