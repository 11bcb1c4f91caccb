//! A revision's last ten minutes, second by second, for plots.
//!
//! Kept sparsely: a second takes a bin (about 100 bytes) only if something happened in it or changed; an idle revision
//! takes one. What a frame counted is spread over the time since the frame before, because frames come about once a
//! second and not once in each. A second in which no activator was heard has no rates: that is not the same as none.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kpa::Decision;
use units::{Incarnation, Moment, ReplicaCount};
use wire::durations;

/// Seconds kept.
const SECONDS: u64 = 600;
/// Who is heard again after more than this was not heard in between.
const SILENCE: Duration = Duration::from_secs(2);

/// What is so at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Levels {
    pub(crate) in_flight: u32,
    pub(crate) held: u32,
    pub(crate) stable: Option<f64>,
    pub(crate) panic: Option<f64>,
    pub(crate) panicking: bool,
    pub(crate) target: f64,
    pub(crate) desired: Option<ReplicaCount>,
    pub(crate) ready: u32,
    pub(crate) starting: u32,
}

/// How much of something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) requests: f64,
    pub(crate) answers: f64,
    pub(crate) errors: f64,
    pub(crate) refusals: f64,
}

/// One second, as it is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Its end.
    pub(crate) at: Moment,
    /// `None` if no activator was heard.
    pub(crate) rates: Option<Rates>,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// As they were then; of the replicas that were starting, the most within the second.
    pub(crate) levels: Levels,
}

#[derive(Clone, Debug, Default)]
struct Bin {
    second: u64,
    /// As they were at its end.
    levels: Levels,
    /// The most that they became within it: many starts are over before their second is.
    starting: u32,
    rates: Rates,
    /// Bucket and count.
    durations: BTreeMap<u8, u64>,
}

/// What one activator said last.
#[derive(Clone, Debug)]
struct Said {
    incarnation: Incarnation,
    at: Moment,
    demand: wire::Demand,
}

/// The last ten minutes.
#[derive(Debug, Default)]
pub(crate) struct Series {
    bins: VecDeque<Bin>,
    /// First and last seconds of the times in which activators were heard without a break.
    heard: VecDeque<(u64, u64)>,
    said: HashMap<Arc<str>, Said>,
    /// Activators that were heard before they had anything to say of this revision.
    mute: HashSet<Arc<str>>,
    last_frame: Option<Moment>,
    latest: Option<Moment>,
}

impl Series {
    /// An activator was heard, whatever it said.
    pub(crate) fn heard(&mut self, at: Moment) {
        let second = second(at);
        match (self.heard.back_mut(), self.last_frame) {
            (Some((_, until)), Some(last)) if at.since(last) <= SILENCE => *until = second.max(*until),
            _ => self.heard.push_back((second, second)),
        }
        self.last_frame = self.last_frame.max(Some(at));
        self.reach(at);
    }

    /// The same, in a frame without a word of this revision.
    pub(crate) fn heard_nothing(&mut self, at: Moment, activator: &Arc<str>) {
        if !self.said.contains_key(activator) && !self.mute.contains(activator) {
            self.mute.insert(Arc::clone(activator));
        }
        self.heard(at);
    }

    /// An activator said what it counted. What it counted before it was first heard is of a time that nobody knows.
    pub(crate) fn counted(
        &mut self,
        at: Moment,
        activator: &Arc<str>,
        incarnation: Incarnation,
        demand: &wire::Demand,
    ) {
        // A stream begins with all that is not nothing, so who was mute until now had counted nothing.
        let was_mute = self.mute.remove(activator);
        let said = Said { incarnation, at, demand: demand.clone() };
        let before = self.said.insert(Arc::clone(activator), said).filter(|before| before.incarnation == incarnation);
        // A demand that did not change is left out of frames, so what is new is at most as old as the last frame.
        let since = before.as_ref().map(|before| before.at).max(self.last_frame.filter(|last| *last < at));
        self.heard(at);
        let since = since.filter(|since| at.since(*since) <= SILENCE).unwrap_or(at.minus(Duration::from_secs(1)));
        let nothing = wire::Demand::default();
        let before = match &before {
            Some(before) => &before.demand,
            // The first word of an incarnation that began under our eyes holds all that it counted.
            None if was_mute || demand.requests <= u64::from(demand.in_flight) => &nothing,
            None => demand,
        };
        self.spread(since, at, |rates, share| {
            rates.requests += share * more(before.requests, demand.requests);
            let (Some(outcomes), none) = (&demand.outcomes, wire::Outcomes::default()) else { return };
            let old = before.outcomes.as_ref().unwrap_or(&none);
            rates.answers += share * more(old.answered, outcomes.answered);
            rates.errors += share * more(old.errors, outcomes.errors);
            rates.refusals += share * more(old.refused, outcomes.refused);
        });
        let (old, new) = (durations_of(before), durations_of(demand));
        let middle = second(since.plus(at.since(since) / 2));
        for (bucket, count) in new.iter().enumerate().take(durations::BUCKETS) {
            let count = count.saturating_sub(old.get(bucket).copied().unwrap_or(0));
            if count != 0 {
                let bucket = u8::try_from(bucket).unwrap_or(u8::MAX);
                let counted = self.bin(middle).durations.entry(bucket).or_default();
                *counted = counted.saturating_add(count);
            }
        }
        let all = || self.said.values().map(|said| &said.demand);
        let in_flight = all().fold(0_u32, |sum, demand| sum.saturating_add(demand.in_flight));
        let held = all().fold(0_u32, |sum, demand| sum.saturating_add(demand.held));
        self.level(at, |levels| (levels.in_flight, levels.held) = (in_flight, held));
    }

    /// An activator is gone, and holds nothing any more.
    pub(crate) fn forget(&mut self, now: Moment, activator: &str) {
        self.mute.remove(activator);
        if let Some(gone) = self.said.remove(activator) {
            self.level(now, |levels| {
                levels.in_flight = levels.in_flight.saturating_sub(gone.demand.in_flight);
                levels.held = levels.held.saturating_sub(gone.demand.held);
            });
        }
    }

    /// Requests that came straight to replicas, a sidecar says.
    pub(crate) fn direct(&mut self, at: Moment, requests: u64) {
        if requests != 0 {
            self.bin(second(at)).rates.requests += requests as f64;
        }
    }

    /// A decision was made.
    pub(crate) fn decided(&mut self, at: Moment, decision: &Decision, desired: Option<ReplicaCount>, target: f64) {
        self.level(at, |levels| {
            let seen = decision.seen;
            (levels.stable, levels.panic, levels.panicking) = (seen.stable, seen.panic, seen.panicking);
            (levels.desired, levels.target) = (desired, target);
        });
    }

    /// Replicas came or went.
    pub(crate) fn replicas(&mut self, at: Moment, ready: u32, starting: u32) {
        self.level(at, |levels| (levels.ready, levels.starting) = (ready, starting));
        if let Some(bin) = self.bins.back_mut() {
            bin.starting = bin.starting.max(starting);
        }
    }

    /// Every second that is over, oldest first.
    pub(crate) fn points(&self) -> Vec<Point> {
        let (Some(latest), Some(first)) = (self.latest.map(second), self.bins.front().map(|bin| bin.second)) else {
            return Vec::new();
        };
        let mut bins = self.bins.iter().peekable();
        let mut levels = Levels::default();
        let mut points = Vec::new();
        for number in first..latest {
            let bin = bins.next_if(|bin| bin.second <= number);
            levels = bin.map_or(levels, |bin| bin.levels);
            let starting = bin.map_or(levels.starting, |bin| bin.starting.max(levels.starting));
            if number + SECONDS < latest {
                continue;
            }
            let is_heard = self.heard.iter().any(|(from, until)| (*from..=*until).contains(&number));
            let quantile = |share| {
                let mut counts = [0; durations::BUCKETS];
                bin?.durations.iter().for_each(|(bucket, count)| counts[usize::from(*bucket)] += count);
                durations::quantile(&counts, share)
            };
            points.push(Point {
                at: Moment::from_unix_millis((number + 1) * 1_000),
                rates: is_heard.then(|| bin.map(|bin| bin.rates).unwrap_or_default()),
                p50: quantile(0.5),
                p99: quantile(0.99),
                levels: Levels { starting, ..levels },
            });
        }
        points
    }

    fn level(&mut self, at: Moment, change: impl FnOnce(&mut Levels)) {
        self.reach(at);
        let mut levels = self.bins.back().map(|bin| bin.levels).unwrap_or_default();
        let before = levels;
        change(&mut levels);
        if levels != before || self.bins.is_empty() {
            // Something may have come in late, so that a later bin is there already; it is so in that one too.
            let second = second(at).max(self.bins.back().map_or(0, |bin| bin.second));
            self.bin(second).levels = levels;
        }
    }

    fn spread(&mut self, from: Moment, until: Moment, add: impl Fn(&mut Rates, f64)) {
        let whole = until.since(from).as_secs_f64();
        let (first, last) = (second(from), second(until));
        for number in first..=last {
            let begin = Moment::from_unix_millis(number * 1_000).max(from);
            let end = Moment::from_unix_millis((number + 1) * 1_000).min(until);
            let share = if whole == 0.0 { 1.0 } else { end.since(begin).as_secs_f64() / whole };
            let mut rates = Rates::default();
            add(&mut rates, share);
            if rates != Rates::default() {
                add(&mut self.bin(number).rates, share);
            }
        }
    }

    fn reach(&mut self, at: Moment) {
        self.latest = self.latest.max(Some(at));
        let oldest = second(at).saturating_sub(SECONDS);
        // One from before stays: its levels hold until the next.
        while self.bins.get(1).is_some_and(|bin| bin.second <= oldest) {
            self.bins.pop_front();
        }
        while self.heard.front().is_some_and(|(_, until)| *until < oldest) {
            self.heard.pop_front();
        }
    }

    /// The bin of a second, at its place.
    fn bin(&mut self, second: u64) -> &mut Bin {
        let place = self.bins.partition_point(|bin| bin.second < second);
        if self.bins.get(place).is_none_or(|bin| bin.second != second) {
            let levels = place.checked_sub(1).and_then(|before| self.bins.get(before)).map(|bin| bin.levels);
            self.bins.insert(place, Bin { second, levels: levels.unwrap_or_default(), ..Bin::default() });
        }
        &mut self.bins[place]
    }
}

fn second(at: Moment) -> u64 {
    at.unix().as_secs()
}

/// How much more a count is; one that fell began anew.
fn more(before: u64, now: u64) -> f64 {
    now.saturating_sub(before) as f64
}

fn durations_of(demand: &wire::Demand) -> &[u64] {
    demand.outcomes.as_ref().map_or(&[], |outcomes| &outcomes.durations)
}

#[cfg(test)]
mod tests;
