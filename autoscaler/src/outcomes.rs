//! How the revisions of an endpoint did, side by side: from what activators say to what is shown.
//!
//! What may be put together and what may be concluded is `traffic::outcome`'s to say; the words are in `words`.

use std::time::Duration;

use api::admin;
use traffic::outcome::{self, Compared, Moments, Period, Reading, Sums, Verdict};
use units::Moment;
use wire::durations;

mod words;

/// What an activator counted, heard at a moment that on its own clock is `elapsed_us`. `None` if it compares nothing.
pub(crate) fn reading(demand: &wire::Demand, at: Moment, elapsed_us: u64) -> Option<Reading> {
    let tally = demand.tally.as_ref()?;
    let moments = |of: Option<wire::Moments>| {
        of.map_or(Moments::default(), |of| Moments { count: of.count, mean: of.mean, squares: of.squares })
    };
    let sums = Sums {
        answers: std::array::from_fn(|class| tally.answers.get(class).copied().unwrap_or(0)),
        refused: tally.refused,
        gone: tally.gone,
        first_byte: moments(tally.first_byte),
        first_byte_buckets: tally.first_byte_buckets.clone(),
        duration: moments(tally.duration),
        duration_buckets: tally.duration_buckets.clone(),
        outcome: moments(tally.outcome),
        malformed: tally.malformed,
    };
    let began = at.minus(Duration::from_micros(elapsed_us.saturating_sub(tally.began_us)));
    Some(Reading { run: tally.run, split: tally.split, began, sums })
}

/// How the revisions did that have a share; `period`: what was counted of one. `None` where there is nothing to compare.
pub(crate) fn as_shown(
    traffic: &[admin::Share],
    period: impl Fn(&str) -> Option<Period>,
    time: impl Fn(Moment) -> String,
) -> Option<admin::Outcomes> {
    let mut shares: Vec<(&str, u32)> = Vec::new();
    for share in traffic.iter().filter(|share| share.percent != 0) {
        match shares.iter_mut().find(|(revision, _)| *revision == share.revision) {
            Some((_, percent)) => *percent += u32::from(share.percent),
            None => shares.push((&share.revision, u32::from(share.percent))),
        }
    }
    // The first of those with as much.
    let (against, _) = shares.iter().rev().max_by_key(|(_, percent)| *percent).copied()?;
    let Period { split, since, sums: base } = period(against)?;
    let of = |revision: &str| {
        let same = period(revision).filter(|period| period.split == split);
        same.map_or_else(Sums::default, |period| period.sums)
    };
    let all: Vec<(&str, Sums)> = shares.iter().map(|(revision, _)| (*revision, of(revision))).collect();
    if all.len() < 2 {
        return None;
    }
    Some(admin::Outcomes {
        since: time(since),
        against: against.to_owned(),
        confidence: outcome::CONFIDENCE,
        revisions: all.iter().map(|(revision, sums)| did(revision, sums)).collect(),
        comparisons: all
            .iter()
            .filter(|(revision, _)| *revision != against)
            .map(|(revision, sums)| comparison(revision, sums, &base))
            .collect(),
    })
}

fn did(revision: &str, sums: &Sums) -> admin::Did {
    let classes = ["2xx", "3xx", "4xx", "5xx"].map(str::to_owned);
    let mean = |of: &Moments| (of.count != 0).then_some(of.mean);
    admin::Did {
        revision: revision.to_owned(),
        requests: sums.requests(),
        answers: classes.into_iter().zip(sums.answers).collect(),
        refused: sums.refused,
        gone: sums.gone,
        failed: sums.failed(),
        failed_share: (sums.tried() != 0).then(|| sums.failed() as f64 / sums.tried() as f64),
        first_byte: times(mean(&sums.first_byte), &sums.first_byte_buckets),
        duration: times(mean(&sums.duration), &sums.duration_buckets),
        outcome: admin::Numbers {
            count: sums.outcome.count,
            mean: mean(&sums.outcome),
            standard_deviation: sums.outcome.variance().map(f64::sqrt),
            malformed: sums.malformed,
        },
    }
}

fn times(mean_seconds: Option<f64>, buckets: &[u64]) -> admin::Times {
    let quantile = |share| durations::quantile(buckets, share).as_ref().map(Duration::as_secs_f64);
    admin::Times { mean_seconds, p50_seconds: quantile(0.5), p99_seconds: quantile(0.99) }
}

fn comparison(revision: &str, candidate: &Sums, base: &Sums) -> admin::Comparison {
    let found = outcome::compare(candidate, base);
    let samples = |of: fn(&Sums) -> u64| (of(candidate), of(base));
    let said = samples(|sums| sums.outcome.count);
    admin::Comparison {
        revision: revision.to_owned(),
        failures: measure(found.failures, samples(Sums::tried), |found| words::failures(found, candidate, base)),
        first_byte: measure(found.first_byte, samples(|sums| sums.first_byte.count), |found| {
            words::slower(found, &candidate.first_byte, &base.first_byte)
        }),
        duration: measure(found.duration, samples(|sums| sums.duration.count), |found| {
            words::slower(found, &candidate.duration, &base.duration)
        }),
        outcome: (said != (0, 0))
            .then(|| measure(found.outcome, said, |found| words::outcome(found, &candidate.outcome, &base.outcome))),
    }
}

fn measure(found: Option<Compared>, samples: (u64, u64), say: impl FnOnce(&Compared) -> String) -> admin::Measure {
    let verdict = match found.map(|found| found.verdict) {
        Some(Verdict::Better) => "better",
        Some(Verdict::Worse) => "worse",
        Some(Verdict::NoDifferenceSeen) => "no-difference-seen",
        None => "too-few",
    };
    admin::Measure {
        verdict: verdict.to_owned(),
        difference: found.map(|found| found.difference),
        low: found.map(|found| found.low),
        high: found.map(|found| found.high),
        samples: samples.0,
        samples_against: samples.1,
        sentence: found.as_ref().map_or_else(|| words::too_few(samples), say),
    }
}

#[cfg(test)]
mod tests;
