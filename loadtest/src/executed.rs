//! What the servers say they began, against what was sent and how it ended.
//!
//! `rouse predictor --log FILE` writes the id of each request at receipt of its head. Whether a server lived when an
//! answer was cut is not to be seen from here: a cut answer counts as lost.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How a request ended, as far as its sender knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Not before the load was stopped.
    #[default]
    Open,
    /// By a complete answer, whatever it says, that is not Rouse's own.
    Answered,
    /// By an answer of Rouse itself: one with a `rouse-reason`.
    Refused,
    /// It was sent, or was to be, and there is no complete answer.
    Unanswered,
    /// This program never sent it.
    NotSent,
}

/// What became of requests, by the logs of all servers together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    /// Begun once.
    pub once: u64,
    /// Never begun: refused, or lost before a server saw them.
    pub never: u64,
    /// Begun more than once.
    pub more_than_once: u64,
    /// Sent without a complete answer; or answered, and neither by Rouse itself nor by a server that began it.
    pub lost: u64,
    /// Begun more than once although that changes what they do: of all methods but GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
    pub duplicated: u64,
    /// The ids of the first hundred that were lost.
    pub lost_ids: Vec<String>,
    /// The ids of the first hundred that were begun more than once.
    pub repeated_ids: Vec<String>,
}

impl Executed {
    /// Reads the servers' logs. `run` is what each id begins with; `ends` says how each request ended, by its number;
    /// `may_repeat`, whether it may be begun twice.
    pub fn read<'a>(logs: impl IntoIterator<Item = &'a str>, run: &str, ends: &[End], may_repeat: bool) -> Self {
        let mut begun: BTreeMap<usize, u64> = BTreeMap::new();
        for line in logs.into_iter().flat_map(str::lines) {
            let number = line.trim().strip_prefix(run).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
            if let Some(number) = number {
                *begun.entry(number).or_default() += 1;
            }
        }
        let mut executed = Self::default();
        for (number, end) in (1..).zip(ends) {
            let times = begun.get(&number).copied().unwrap_or(0);
            let id = || format!("{run}-{number}");
            match times {
                0 => executed.never += 1,
                1 => executed.once += 1,
                _ => {
                    executed.more_than_once += 1;
                    executed.duplicated += u64::from(!may_repeat);
                    note(&mut executed.repeated_ids, id);
                }
            }
            if *end == End::Unanswered || (*end == End::Answered && times == 0) {
                executed.lost += 1;
                note(&mut executed.lost_ids, id);
            }
        }
        executed
    }

    /// Was none lost and none duplicated?
    pub fn is_right(&self) -> bool {
        self.lost == 0 && self.duplicated == 0
    }
}

fn note(ids: &mut Vec<String>, id: impl FnOnce() -> String) {
    if ids.len() < 100 {
        ids.push(id());
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { once, never, more_than_once, lost, duplicated, lost_ids, repeated_ids } = self;
        writeln!(f, "  begun      {once:>9}   once; never: {never}, more than once: {more_than_once}")?;
        write!(f, "  lost       {lost:>9}   duplicated: {duplicated}")?;
        for (what, ids) in [("lost", lost_ids), ("begun more than once", repeated_ids)] {
            if let Some(first) = ids.first() {
                write!(f, "; first {what}: {first}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: [&str; 2] = ["a-1\na-2\nb-2\n", "a-2\na-4\nhealth\na-99\na-x\n"];

    #[test]
    fn what_was_begun_twice_is_named_and_other_runs_do_not_count() {
        let executed = Executed::read(LOGS, "a", &[End::Answered, End::Answered, End::Refused, End::Answered], false);
        assert_eq!((executed.once, executed.never, executed.more_than_once), (2, 1, 1));
        assert_eq!((executed.lost, executed.duplicated), (0, 1));
        assert_eq!(executed.repeated_ids, ["a-2"]);
        assert!(!executed.is_right());
    }

    #[test]
    fn what_may_be_repeated_and_was_is_told_but_right() {
        let executed = Executed::read(LOGS, "a", &[End::Answered, End::Answered], true);
        assert_eq!((executed.more_than_once, executed.duplicated), (1, 0));
        assert!(executed.is_right());
    }

    #[test]
    fn an_answer_of_nobody_is_as_lost_as_no_answer() {
        // The third is answered, but neither by Rouse nor by a server that began it; the fourth was begun and cut.
        let executed = Executed::read(
            LOGS,
            "a",
            &[End::Answered, End::NotSent, End::Answered, End::Unanswered, End::Refused],
            true,
        );
        assert_eq!(executed.lost_ids, ["a-3", "a-4"]);
        assert_eq!(executed.lost, 2);
        assert!(!executed.is_right());
    }
}
