//! As it is shown on the admin port.

use std::time::Duration;

use units::RevisionKey;

use super::tally::{Disagreement, Read, Tally};

pub(super) fn shadow(revision: &RevisionKey, tally: &Tally) -> admin::Shadow {
    let Read { spec, under_way, fates, compared, numbers, labels, took, kept } = tally.read();
    let [alike, different, not_compared] = compared;
    let [used_took, shadow_took] = took.map(|[median, p99]| admin::Took {
        p50_seconds: median.map(|time| time.as_secs_f64()),
        p99_seconds: p99.map(|time| time.as_secs_f64()),
    });
    admin::Shadow {
        namespace: revision.namespace.to_string(),
        endpoint: tally.endpoint().name.to_string(),
        name: revision.name.to_string(),
        percent: spec.as_ref().map_or(0, |spec| spec.percent.get()),
        wake: spec.as_ref().is_some_and(|spec| spec.wake),
        under_way: under_way as u64,
        copies: fates.into_iter().map(|(word, count)| (word.to_owned(), count)).collect(),
        compared: spec.is_some_and(|spec| spec.compare.is_some()).then(|| admin::Compared {
            alike,
            different,
            not_compared,
            agreement: share(alike, alike + different),
            numbers: numbers.compared,
            largest_difference: (0 < numbers.compared).then_some(numbers.largest),
            mean_difference: (0 < numbers.compared).then_some(numbers.mean),
            rows: labels.rows,
            rows_that_agree: labels.agree,
            used_took,
            shadow_took,
            disagreements: kept.iter().map(disagreement).collect(),
        }),
    }
}

fn disagreement(one: &Disagreement) -> admin::Disagreement {
    let [used_status, shadow_status] = one.statuses;
    let [used_seconds, shadow_seconds] = one.took.map(|took: Duration| took.as_secs_f64());
    admin::Disagreement {
        time: admin::time(one.at),
        request_id: one.request_id.clone(),
        used_status,
        shadow_status,
        used_seconds,
        shadow_seconds,
        differences: one.differences.clone(),
        more: one.more as u64,
    }
}

#[expect(clippy::cast_precision_loss, reason = "more answers than 2^53 are never counted")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}
