//! What the clients saw against what the replicas wrote down: was anything lost, was anything begun twice?
//!
//! *Lost*: no answer; a cut answer although its replica lived; an answer that is neither the replica's to this request
//! nor one of the documented refusals; a refusal although nothing but scaling had happened to it. *Duplicated*: begun by
//! two replicas, or twice by one, where that is not allowed: only what may be repeated may be begun again, and only
//! after the replica that had begun it was ended from outside.
//!
//! Pure: a story goes in, faults come out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::asking::Kind;

/// How long before a request a replica may have been ended for the request to have met it all the same: its end is
/// noticed when its connections are looked at, and a busy machine looks late.
const NOTICED_LATE: Duration = Duration::from_secs(2);

/// One request, as its client saw it. Times are since the beginning of the load.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) started: Duration,
    pub(super) ended: Duration,
    pub(super) ending: Ending,
}

/// How it ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A whole answer that is not Rouse's own. `by`: the process that says it answered. `right`: it is the answer to
    /// this request.
    Answered { status: u16, by: Option<u32>, right: Result<(), String> },
    /// A whole answer of Rouse itself.
    Refused { status: u16, reason: String, says: String },
    /// A head, and not the whole body.
    Cut { status: u16, by: Option<u32>, why: String },
    /// Not even a head.
    Nothing { why: String },
}

/// How a replica was ended from outside, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fall {
    pub(super) at: Duration,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// What it had begun ends with it.
    Killed,
    /// It was asked to end, and finishes what it has begun.
    Terminated,
}

/// What the replicas wrote down, and which of them were ended. By process number.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    /// Who began each request, in no order.
    pub(super) begun: BTreeMap<u64, Vec<u32>>,
    pub(super) fallen: BTreeMap<u32, Fall>,
}

/// What came of all of them.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Requests in all.
    pub requests: u64,
    /// Answered by a replica, as it should be.
    pub answered: u64,
    /// Broke with a replica that was ended from outside: refused with `replica-broke`, or cut.
    pub broken: u64,
    /// Of these: no replica had written down that it began them.
    pub broken_unbegun: u64,
    /// Begun again after the replica that had begun them was ended.
    pub repeated: u64,
    /// No answer, or none that is allowed.
    pub lost: u64,
    /// Begun once too often.
    pub duplicated: u64,
    /// Processes that began anything.
    pub replicas: usize,
    /// For each kind: how many, and the longest.
    by_kind: BTreeMap<Kind, (u64, Duration)>,
    faults: Vec<String>,
}

impl Servers {
    fn begun(&self, number: u64) -> &[u32] {
        self.begun.get(&number).map_or(&[], Vec::as_slice)
    }

    fn killed(&self, pid: u32, until: Duration) -> bool {
        self.fallen.get(&pid).is_some_and(|fall| fall.how == How::Killed && fall.at <= until)
    }

    /// Was a replica ended that this request may have been on its way to, though it never wrote it down?
    fn any_fell_during(&self, record: &Record) -> bool {
        let from = record.started.saturating_sub(NOTICED_LATE);
        self.fallen.values().any(|fall| from <= fall.at && fall.at <= record.ended)
    }
}

/// Did it break with a replica that was ended? `None`: it did not break.
fn broke(record: &Record, servers: &Servers) -> Option<Result<(), String>> {
    let begun = servers.begun(record.number);
    let began_and_was_killed = || begun.iter().any(|pid| servers.killed(*pid, record.ended));
    match &record.ending {
        Ending::Cut { by: Some(pid), .. } if servers.killed(*pid, record.ended) => Some(Ok(())),
        Ending::Cut { status, by, why } => Some(Err(format!("cut after {status}, by {by:?} that lived: {why}"))),
        Ending::Refused { status: 502, reason, .. } if reason == "replica-broke" => {
            let is_right = began_and_was_killed() || (begun.is_empty() && servers.any_fell_during(record));
            Some(is_right.then_some(()).ok_or_else(|| format!("replica-broke, but {begun:?} began it and lived")))
        }
        Ending::Answered { .. } | Ending::Refused { .. } | Ending::Nothing { .. } => None,
    }
}

fn lost(record: &Record, servers: &Servers) -> Result<(), String> {
    match &record.ending {
        Ending::Nothing { why } => Err(format!("no answer: {why}")),
        Ending::Answered { status, right: Err(why), .. } => Err(format!("{status}: {why}")),
        Ending::Answered { status: 200, by: Some(pid), .. } if servers.begun(record.number).contains(pid) => Ok(()),
        Ending::Answered { status, by, .. } => Err(format!("{status} by {by:?}, who did not begin it")),
        Ending::Refused { status, reason, says } => Err(format!("refused with {status} {reason}: {}", says.trim())),
        Ending::Cut { .. } => Err("cut".to_owned()),
    }
    .or_else(|why| broke(record, servers).unwrap_or(Err(why)))
}

fn duplicated(record: &Record, servers: &Servers) -> Result<(), String> {
    let begun = servers.begun(record.number);
    let who = || format!("begun by {begun:?}, of whom these were killed: {:?}", killed_of(begun, servers, record));
    if begun.len() <= 1 {
        return Ok(());
    }
    if !record.kind.may_repeat() {
        return Err(who());
    }
    let living = begun.len() - killed_of(begun, servers, record).len();
    let mut distinct = begun.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    (living <= 1 && distinct.len() == begun.len()).then_some(()).ok_or_else(who)
}

fn killed_of(begun: &[u32], servers: &Servers, record: &Record) -> Vec<u32> {
    begun.iter().copied().filter(|pid| servers.killed(*pid, record.ended)).collect()
}

impl Verdict {
    pub(super) fn of(records: &[Record], servers: &Servers) -> Self {
        let mut verdict = Self { requests: records.len() as u64, ..Self::default() };
        let mut replicas: Vec<u32> = servers.begun.values().flatten().copied().collect();
        replicas.sort_unstable();
        replicas.dedup();
        verdict.replicas = replicas.len();
        for record in records {
            let (count, longest) = verdict.by_kind.entry(record.kind).or_default();
            *count += 1;
            *longest = (*longest).max(record.ended.saturating_sub(record.started));
            verdict.repeated += u64::from(1 < servers.begun(record.number).len());
            match lost(record, servers) {
                Ok(()) if matches!(record.ending, Ending::Answered { .. }) => verdict.answered += 1,
                Ok(()) => {
                    verdict.broken += 1;
                    verdict.broken_unbegun += u64::from(servers.begun(record.number).is_empty());
                }
                Err(why) => {
                    verdict.lost += 1;
                    verdict.note("lost", record, &why);
                }
            }
            if let Err(why) = duplicated(record, servers) {
                verdict.duplicated += 1;
                verdict.note("duplicated", record, &why);
            }
        }
        verdict
    }

    fn note(&mut self, what: &str, record: &Record, why: &str) {
        if self.faults.len() < 40 {
            let Record { number, kind, started, ended, .. } = record;
            let (started, ended) = (started.as_secs_f64(), ended.as_secs_f64());
            self.faults.push(format!("{what}: {number}, {}, {started:.3} s to {ended:.3} s: {why}", kind.word()));
        }
    }

    /// Was none lost and none duplicated?
    pub fn is_right(&self) -> bool {
        self.lost == 0 && self.duplicated == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  requests   {:>8}   to {} replicas", self.requests, self.replicas)?;
        for (kind, (count, longest)) in &self.by_kind {
            writeln!(f, "             {count:>8}   {}, the longest {:.2} s", kind.word(), longest.as_secs_f64())?;
        }
        writeln!(f, "  answered   {:>8}", self.answered)?;
        let (broken, unbegun) = (self.broken, self.broken_unbegun);
        writeln!(
            f,
            "  broken     {broken:>8}   with a replica that was ended from outside; {unbegun} not written down by it"
        )?;
        writeln!(f, "  repeated   {:>8}   after the replica that had begun them was killed", self.repeated)?;
        write!(f, "  lost       {:>8}   duplicated: {}", self.lost, self.duplicated)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n    {fault}"))
    }
}

#[cfg(test)]
mod tests;
