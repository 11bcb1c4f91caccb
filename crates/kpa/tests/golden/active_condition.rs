use golden::Marks;
use kpa::{Status, threshold};
use serde::Deserialize;
use serde_json::Value;
use units::ReplicaCount;

#[derive(Deserialize)]
struct Case {
    want: i64,
    ready: u32,
    min_scale: u32,
    initial_scale: u32,
    reachable: bool,
    has_service_name: bool,
    initialized: bool,
    status: String,
    #[serde(default)]
    reason: String,
    desired_before: Option<i64>,
    new_status: String,
    #[serde(default)]
    new_reason: String,
    new_initialized: bool,
    since_reset: bool,
    desired: i64,
    actual: u32,
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = golden::case(line)?;
    let min = ReplicaCount(if case.reachable { case.min_scale } else { 0 });
    let threshold = threshold(min, ReplicaCount(case.initial_scale), case.initialized);
    let (want, ready) = (u32::try_from(case.want).ok().map(ReplicaCount), ReplicaCount(case.ready));
    let before = status(&case.status, &case.reason)?;
    let after = before.after(want, ready, threshold);

    marks.output();
    marks.same_part("new_status and new_reason", status(&case.new_status, &case.new_reason)?, after)?;
    marks.same_part("since_reset", case.since_reset, before != after)?;
    let initialized = case.initialized || (threshold <= ready && case.has_service_name);
    marks.same_part("new_initialized", case.new_initialized, initialized)?;
    // Not a rule but the caller's record: what is not known leaves what was written.
    let desired = if want.is_some() { case.want } else { case.desired_before.unwrap_or(-1) };
    marks.same_part("desired", case.desired, desired)?;
    marks.same_part("actual", case.actual, ready.0)
}

pub(crate) fn status(status: &str, reason: &str) -> Result<Status, String> {
    match (status, reason) {
        ("activating", reason) => Ok(Status::Activating { queued: reason == "Queued" }),
        ("active", _) => Ok(Status::Active),
        ("inactive", reason) => Ok(Status::Inactive { timed_out: reason == "TimedOut" }),
        (other, _) => Err(format!("status {other:?} is unknown")),
    }
}
