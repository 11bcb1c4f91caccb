//! How the revisions of an endpoint did, side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How the revisions of an endpoint did since its split became what it is. Only requests that turns or stickiness gave a
/// revision are counted, at all activators together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// When the first activator began to count, of those that were heard.
    pub since: String,
    /// The revision with the largest share, which the others are compared with.
    pub against: String,
    /// That the intervals hold the true difference, at all times together.
    pub confidence: f64,
    /// Each revision with a share, in the order of `traffic`.
    pub revisions: Vec<Did>,
    /// Each of the others.
    pub comparisons: Vec<Comparison>,
}

/// How one revision did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Did {
    /// Its name.
    pub revision: String,
    /// Requests that ended.
    pub requests: u64,
    /// Answers of its replicas, by class: `2xx`, `3xx`, `4xx`, `5xx`.
    pub answers: BTreeMap<String, u64>,
    /// Requests that Rouse answered itself.
    pub refused: u64,
    /// Clients that left before the head of an answer.
    pub gone: u64,
    /// Answered with 500 or more, or refused.
    pub failed: u64,
    /// Those, as a part of all but `gone`; 0 to 1.
    pub failed_share: Option<f64>,
    /// From handing a request to a replica to the head of its answer, of those that did not fail.
    pub first_byte: Times,
    /// The same to the last byte.
    pub duration: Times,
    /// What answers say of themselves in `rouse-outcome`.
    pub outcome: Numbers,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// On average, exactly.
    pub mean_seconds: Option<f64>,
    /// Median, from buckets: right to a fifth.
    pub p50_seconds: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_seconds: Option<f64>,
}

/// Numbers of answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// Answers that said one.
    pub count: u64,
    /// On average.
    pub mean: Option<f64>,
    /// How they scatter.
    pub standard_deviation: Option<f64>,
    /// Answers that said something else.
    pub malformed: u64,
}

/// A revision, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Its name.
    pub revision: String,
    /// Share of requests that failed; less is better.
    pub failures: Measure,
    /// Mean seconds to the head of an answer; less is better.
    pub first_byte: Measure,
    /// Mean seconds to its last byte; less is better.
    pub duration: Measure,
    /// Mean of what answers say of themselves; more is better. `null` while none says anything.
    pub outcome: Option<Measure>,
}

/// One measure, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    /// `better`, `worse`, `no-difference-seen` or `too-few`.
    pub verdict: String,
    /// The revision's less that of the one that it is compared with, as seen; `null` of too few.
    pub difference: Option<f64>,
    /// The least that it may be.
    pub low: Option<f64>,
    /// The most that it may be.
    pub high: Option<f64>,
    /// In how many requests of the revision it is seen.
    pub samples: u64,
    /// In how many of the one that it is compared with.
    pub samples_against: u64,
    /// All this for a person.
    pub sentence: String,
}
