//! What the servers say they began, against what was sent.
//!
//! `rouse predictor --log FILE` writes the id of each request at receipt of its head. A request that was begun twice was
//! repeated by somebody on the way; whether that was allowed depends on the request.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How often each request was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    /// Begun once.
    pub once: u64,
    /// Never begun: refused, or lost before a server saw them.
    pub never: u64,
    /// Begun more than once.
    pub more_than_once: u64,
    /// The ids of the first hundred of these.
    pub repeated: Vec<String>,
}

impl Executed {
    /// Reads the servers' logs. `run` is what each id begins with, and `due` how many there are.
    pub fn read<'a>(logs: impl IntoIterator<Item = &'a str>, run: &str, due: u64) -> Self {
        let mut begun: BTreeMap<u64, u64> = BTreeMap::new();
        for line in logs.into_iter().flat_map(str::lines) {
            let number = line.trim().strip_prefix(run).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
            if let Some(number) = number {
                *begun.entry(number).or_default() += 1;
            }
        }
        let more = || begun.iter().filter(|(_, times)| 1 < **times);
        let seen = u64::try_from(begun.len()).unwrap_or(u64::MAX);
        let more_than_once = u64::try_from(more().count()).unwrap_or(u64::MAX);
        Self {
            once: seen - more_than_once,
            never: due.saturating_sub(seen),
            more_than_once,
            repeated: more().take(100).map(|(number, _)| format!("{run}-{number}")).collect(),
        }
    }

    /// Was none begun more than once?
    pub fn is_right(&self) -> bool {
        self.more_than_once == 0
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { once, never, more_than_once, repeated } = self;
        write!(f, "begun by servers: once {once}, never {never}, more than once {more_than_once}")?;
        if let Some(first) = repeated.first() {
            write!(f, " (the first: {first})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_twice_is_named_and_other_runs_do_not_count() {
        let logs = ["a-1\na-2\nb-2\n", "a-2\na-4\nhealth\n"];
        let executed = Executed::read(logs, "a", 5);
        assert_eq!((executed.once, executed.never, executed.more_than_once), (2, 2, 1));
        assert_eq!(executed.repeated, ["a-2"]);
        assert!(!executed.is_right());
    }
}
