//! What the admin port answers under `/api/v1`: written by the autoscaler and the activator, read by
//! `rouse get` and its like.
//!
//! camelCase; times are RFC 3339 with milliseconds; durations end in `Seconds` and are numbers; what is not known is
//! `null`, never left out and never -1. A reader accepts fields that it does not know.

use std::collections::BTreeMap;

mod outcomes;

pub use outcomes::{Comparison, Did, Measure, Numbers, Outcomes, Times};
use serde::{Deserialize, Serialize};
use units::Moment;

/// `/api/v1/endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// Every endpoint, by namespace and name.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint, with its revisions in full, so that one answer is enough for a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where a client reaches it; `null` while it has no address of its own.
    pub url: Option<String>,
    /// Further names that it answers to on the shared port.
    pub hosts: Vec<String>,
    /// The split in force: what every activator in its path routes by. After a change the one before it, until all have
    /// said that they know.
    pub traffic: Vec<Share>,
    /// The liveliest of its revisions' states.
    pub state: State,
    /// Its revisions, in the order of `traffic`.
    pub revisions: Vec<Revision>,
    /// How those with a share did, side by side; `null` where there is nothing to compare, or nothing was heard.
    #[serde(default)]
    pub outcomes: Option<Outcomes>,
}

/// A revision's part in an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Its name.
    pub revision: String,
    /// 0 to 100.
    pub percent: u8,
    /// Reached with `rouse-tag`, if it has one.
    pub tag: Option<String>,
}

/// `/api/v1/revisions/{namespace}/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// How requests reach it.
    pub path: Path,
    /// Is it in panic?
    pub mode: Mode,
    /// The word of the rule that decided last; `null` before the first decision.
    pub because: Option<String>,
    /// Why it failed, with its last words; `null` unless `state` is `failed`.
    pub reason: Option<String>,
    /// Activators and replicas that keep it from zero: they have to promise or to say that they are idle, and have been
    /// silent for a minute.
    #[serde(default)]
    pub zero_blocked_by: Vec<String>,
    /// Whether it may have fewer replicas than it was found with: a request for it has come through Rouse, or it was marked
    /// so.
    #[serde(default)]
    pub adopted: bool,
    /// How many replicas were decided on; `null` before the first decision.
    pub desired_replicas: Option<u32>,
    /// Replicas that are ready.
    pub ready_replicas: u32,
    /// Replicas on their way up.
    pub starting_replicas: u32,
    /// What is asked of it.
    pub demand: Demand,
    /// Every knob in force, by its name in camelCase.
    pub settings: BTreeMap<String, Setting>,
    /// What was refused among its settings, a sentence each; what counted before still does.
    #[serde(default)]
    pub refused_settings: Vec<String>,
    /// Its running copies.
    pub replicas: Vec<Replica>,
    /// What would have to change for one replica more, one fewer, and none; `null` before the first decision.
    #[serde(default)]
    pub outlook: Option<Outlook>,
}

/// What would have to change, from the rules that decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// Length of the stable window.
    pub stable_window_seconds: f64,
    /// Length of the panic window.
    pub panic_window_seconds: f64,
    /// One replica more.
    pub more: Turn,
    /// One fewer.
    pub fewer: Turn,
    /// None, and how soon at the earliest if nothing comes; `null` while that is not known.
    pub zero_in_seconds: Option<f64>,
    /// What stands before that, in the order in which it falls; empty at zero.
    pub before_zero: Vec<Obstacle>,
    /// Whose silence keeps it from being lowered.
    pub silent: Vec<Silent>,
}

/// A way to another number of replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// `demand`; or what it takes instead, or what forbids it: a word of `kpa::By`.
    pub by: String,
    /// More: above this over the stable window. Fewer: at this or below.
    pub stable: Option<f64>,
    /// More: above this over the panic window.
    pub panic: Option<f64>,
    /// Not before this while.
    pub wait_seconds: Option<f64>,
}

/// Something that stands before zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obstacle {
    /// A word of `kpa::What`.
    pub what: String,
    /// For how long, once what stands before it has fallen; `null` where it does not end by itself.
    pub wait_seconds: Option<f64>,
}

/// An activator or a replica that should be heard of, and is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silent {
    /// Its name.
    pub name: String,
    /// For how long it has been silent.
    pub seconds: f64,
}

/// What a revision is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No replica, and nothing asks for one.
    Zero,
    /// Replicas are coming up, none is ready.
    Waking,
    /// At least one replica is ready.
    Active,
    /// On the way to zero.
    Draining,
    /// Its replicas do not start.
    Failed,
}

impl State {
    /// As in JSON and in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Waking => "waking",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

/// How requests reach a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// Through the activators.
    Proxied,
    /// Straight to the replicas.
    Direct,
}

/// Which window decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The long one.
    Stable,
    /// The short one, and nothing is taken away.
    Panic,
}

/// What is asked of a revision, all replicas together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// `concurrency` or `rps`.
    pub metric: String,
    /// Over the stable window; `null` without data.
    pub stable: Option<f64>,
    /// Over the panic window; `null` without data.
    pub panic: Option<f64>,
    /// What one replica is to have of it.
    pub target: Option<f64>,
}

/// A knob in force, and who set it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// As it would be written in an annotation.
    pub value: String,
    /// `deployment`, `pod-template`, `traffic`, `endpoint`, `config-map`, `built-in` …
    pub source: String,
}

/// One running copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where activators send; `null` until it has an address.
    pub address: Option<String>,
    /// Is it ready?
    pub ready: bool,
    /// Requests it is working on; `null` while nobody knows.
    pub in_flight: Option<u32>,
}

/// `/api/v1/revisions/{namespace}/{name}/decisions`: the last 256, newest last. Decisions in a row with the same wish,
/// reason and mode are one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionList {
    /// Oldest first.
    pub decisions: Vec<Decision>,
}

/// A decision, and what it was made on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was decided first.
    pub at: String,
    /// When it was decided last; everything below is as it was then.
    pub until: String,
    /// How often in a row.
    pub times: u32,
    /// How many replicas; `null`: left as it was.
    pub want: Option<u32>,
    /// The word of the rule that decided.
    pub because: String,
    /// What that word means, in a sentence.
    #[serde(default)]
    pub sentence: String,
    /// Excess burst capacity, in units of the metric.
    pub burst_room: i32,
    /// The metric over the stable window.
    pub stable: Option<f64>,
    /// The metric over the panic window.
    pub panic: Option<f64>,
    /// Replicas that were ready.
    pub ready_replicas: u32,
    /// Replicas that were on their way up.
    pub starting_replicas: u32,
    /// Requests that were held for want of a replica.
    pub held_requests: u32,
    /// Was it in panic after this decision?
    pub mode: Mode,
    /// The least that was allowed.
    pub min_replicas: u32,
    /// The most; `null`: no limit.
    pub max_replicas: Option<u32>,
    /// The most that the growth rate allowed.
    pub rate_up_replicas: u32,
    /// The least that the shrink rate allowed.
    pub rate_down_replicas: u32,
    /// What is left of something that is only being waited for.
    pub wait_seconds: Option<f64>,
}

/// `/api/v1/revisions/{namespace}/{name}/wakes`: the last 64, newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WakeList {
    /// Oldest first.
    pub wakes: Vec<Wake>,
}

/// A revision's way from zero to its first ready replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wake {
    /// When the first wake for it was heard.
    pub at: String,
    /// The activator that asked first.
    pub asked_by: String,
    /// `x-request-id` of the request that had waited longest then; `null` if it was not said.
    pub request_id: Option<String>,
    /// The most requests that were held for it during the wake.
    pub held_requests: u32,
    /// From the wake to the order for replicas; `null` while it has not come that far.
    pub ordered_seconds: Option<f64>,
    /// From the wake until the first replica's process, or its model's container, ran.
    pub started_seconds: Option<f64>,
    /// From the wake to the first ready replica.
    pub ready_seconds: Option<f64>,
    /// `served`, `failed`, or `abandoned` if nobody waited any more; `null` while it lasts.
    pub outcome: Option<String>,
    /// Why it failed; `null` unless it did.
    pub reason: Option<String>,
}

/// `/api/v1/revisions/{namespace}/{name}/series`: the last ten minutes, a point a second, newest last.
///
/// Rates are of the second that ends at the point; counts are of that instant. What nobody told is `null`: a gap is not a
/// zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Oldest first.
    pub points: Vec<Point>,
}

/// One second of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// The end of the second.
    pub at: String,
    /// Requests that arrived, over all activators and direct paths.
    pub requests_per_second: Option<f64>,
    /// Answers that ended, whatever their status.
    pub answers_per_second: Option<f64>,
    /// Of those, with a status of 500 or more.
    pub errors_per_second: Option<f64>,
    /// Requests that Rouse refused.
    pub refusals_per_second: Option<f64>,
    /// From arrival to the last byte, of what ended within the second: median.
    pub p50_seconds: Option<f64>,
    /// The same: 99th percentile.
    pub p99_seconds: Option<f64>,
    /// Requests that are here, held or forwarded.
    pub in_flight: Option<u32>,
    /// Of those, held.
    pub held: Option<u32>,
    /// The metric over the stable window.
    pub stable: Option<f64>,
    /// The metric over the panic window.
    pub panic: Option<f64>,
    /// What one replica is to have of it.
    pub target: Option<f64>,
    /// Which window decides.
    pub mode: Mode,
    /// Replicas decided on.
    pub desired_replicas: Option<u32>,
    /// Replicas that are ready.
    pub ready_replicas: u32,
    /// Replicas on their way up: the most within the second, as a start may be over before it.
    pub starting_replicas: u32,
}

/// `/api/v1/shadows`: what this activator sent copies to, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowList {
    /// By namespace and name.
    pub shadows: Vec<Shadow>,
}

/// One shadow, since this activator first heard of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// Its namespace.
    pub namespace: String,
    /// Whose requests it gets copies of.
    pub endpoint: String,
    /// Its revision.
    pub name: String,
    /// Of how many requests.
    pub percent: u8,
    /// Whether a copy may wake it.
    pub wake: bool,
    /// Copies that have not come to their end.
    pub under_way: u64,
    /// How many ended in which way: `answered`, `error`, `asleep` … (docs/shadow.md has the list).
    pub copies: BTreeMap<String, u64>,
    /// What came of comparing answers; `null` where nobody asks for it.
    pub compared: Option<Compared>,
}

/// Answers of a shadow beside those that clients got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Alike.
    pub alike: u64,
    /// Not alike.
    pub different: u64,
    /// There was nothing to compare with, no time, or a body that is packed.
    pub not_compared: u64,
    /// The part that is alike, 0 to 1; `null` before the first.
    pub agreement: Option<f64>,
    /// Numbers with a fraction that were compared.
    pub numbers: u64,
    /// The largest distance of two such numbers.
    pub largest_difference: Option<f64>,
    /// The mean of all distances.
    pub mean_difference: Option<f64>,
    /// Rows of scores.
    pub rows: u64,
    /// Those whose largest score is in the same place in both.
    pub rows_that_agree: u64,
    /// How long clients' answers took, of those that were compared.
    pub used_took: Took,
    /// How long the shadow's took.
    pub shadow_took: Took,
    /// The last that were not alike, newest last. No values and no paths.
    pub disagreements: Vec<Disagreement>,
}

/// From when a replica had room to the last byte; `null` before the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Took {
    /// Half took no longer.
    pub p50_seconds: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_seconds: Option<f64>,
}

/// Two answers that are not alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disagreement {
    /// When they were compared.
    pub time: String,
    /// `x-request-id` of both.
    pub request_id: String,
    /// What the client got.
    pub used_status: u16,
    /// What the shadow said.
    pub shadow_status: u16,
    /// How long the client's answer took.
    pub used_seconds: f64,
    /// How long the shadow's took.
    pub shadow_seconds: f64,
    /// Where they differ and by how much, such as `/outputs/0/data/3: differs by 0.25`. The first of them.
    pub differences: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

/// RFC 3339 with milliseconds.
pub fn time(moment: Moment) -> String {
    let millis = i64::try_from(moment.unix().as_millis()).unwrap_or(i64::MAX);
    // Only a moment thousands of years from now is out of its range.
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}
