//! Kubernetes Events: one for each change of state of a revision or a condition, and no more than a person can read.
//!
//! What has changed is found here without asking anybody; `steward` sends it. An Event that could not be sent is not
//! sent again: what is true now is in the status.

use std::time::Duration;

use api::admin::{self, State};
use api::status::{Condition, ConditionType, Holds, Status};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use units::{EndpointKey, Moment};

/// Who reports, in `reportingController`.
const REPORTER: &str = "rouse.dev/autoscaler";

/// So many at once for one endpoint …
const BURST: u32 = 10;
/// … and then one in so long: a model that wakes and sleeps all day is in the metrics.
const ONE_IN: Duration = Duration::from_secs(30);

/// The API server takes no longer ones.
const LONGEST_NOTE: usize = 1024;

/// Something has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) reason: &'static str,
    pub(crate) note: String,
    /// A person should look.
    pub(crate) warns: bool,
}

/// A revision's state has changed, to what is told.
pub(crate) fn of_revision(before: State, told: &admin::Revision) -> Option<Change> {
    if before == told.state {
        return None;
    }
    let name = &told.name;
    let (reason, note, warns) = match told.state {
        State::Zero => ("ScaledToZero", format!("{name} has no replica any more; the next request wakes it"), false),
        State::Waking => ("Waking", format!("{name} is woken"), false),
        State::Active => ("Active", format!("{name} has a ready replica"), false),
        State::Draining => ("Draining", format!("{name} is on its way to zero"), false),
        State::Failed => {
            let why = told.reason.as_deref().unwrap_or("no reason is known");
            ("StartFailed", format!("{name} does not start: {why}"), true)
        }
    };
    Some(Change { reason, note, warns })
}

/// Which conditions have changed their status. Not `Active`, which a revision's own change tells, nor what is said of
/// every endpoint.
pub(crate) fn of_conditions(before: &Status, after: &Status) -> Vec<Change> {
    let was = |kind: &str| before.conditions.iter().find(|condition| condition.kind == kind).map(|was| was.status);
    let of = |condition: &Condition| {
        let kind = *ConditionType::ALL.iter().find(|kind| kind.word() == condition.kind)?;
        let silent = matches!(kind, ConditionType::Active | ConditionType::Plaintext);
        let is_new = was(kind.word()).unwrap_or(Holds::Unknown) != condition.status;
        if silent || !is_new || condition.status == Holds::Unknown {
            return None;
        }
        let holds = condition.status == Holds::True;
        // Of what is always there True is good, and of the rest False.
        let warns = holds != kind.is_always_there();
        let what = if holds { "holds now" } else { "does not hold any more" };
        // Not before it was there.
        if !warns && !holds && was(kind.word()).is_none() {
            return None;
        }
        let sentence = Some(condition.message.as_str()).filter(|message| !message.is_empty());
        let note = match sentence {
            Some(message) => format!("{} {what}: {message}", kind.word()),
            None => format!("{} {what}", kind.word()),
        };
        Some(Change { reason: kind.word(), note, warns })
    };
    after.conditions.iter().filter_map(of).collect()
}

/// How many Events an endpoint may still have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// When all that were had would have come one by one.
    even: Moment,
}

impl Allowance {
    pub(crate) fn full(now: Moment) -> Self {
        Self { even: now }
    }

    /// One more?
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let even = self.even.max(now);
        let has = even.since(now) <= ONE_IN * (BURST - 1);
        if has {
            self.even = even.plus(ONE_IN);
        }
        has
    }
}

/// The Event of a change of an endpoint, reported by a pod.
pub(crate) fn event(key: &EndpointKey, uid: &str, change: &Change, pod: &str, now: Moment) -> Event {
    let endpoint = ObjectReference {
        api_version: Some(api::API_VERSION.to_owned()),
        kind: Some("ModelEndpoint".to_owned()),
        name: Some(key.name.to_string()),
        namespace: Some(key.namespace.to_string()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    about(endpoint, "Reconcile", change, pod, now)
}

/// The Event of a change of any object, in its namespace.
pub(crate) fn about(object: ObjectReference, action: &str, change: &Change, pod: &str, now: Moment) -> Event {
    let micros = i64::try_from(now.unix().as_micros()).unwrap_or(i64::MAX);
    let mut note = change.note.clone();
    if LONGEST_NOTE < note.len() {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8()));
        note.push('…');
    }
    Event {
        metadata: ObjectMeta {
            // A dot at its end is refused.
            generate_name: object.name.as_ref().map(|name| format!("{name}-")),
            namespace: object.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: jiff::Timestamp::from_microsecond(micros).ok().map(MicroTime),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(pod.to_owned()),
        action: Some(action.to_owned()),
        reason: Some(change.reason.to_owned()),
        regarding: Some(object),
        note: Some(note),
        type_: Some(if change.warns { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(conditions: &[(ConditionType, Holds)]) -> Status {
        let condition = |(kind, status): &(ConditionType, Holds)| Condition {
            kind: kind.word().to_owned(),
            status: *status,
            observed_generation: None,
            last_transition_time: String::new(),
            reason: "Reason".to_owned(),
            message: "why".to_owned(),
        };
        Status { conditions: conditions.iter().map(condition).collect(), ..Status::default() }
    }

    fn changes(before: &[(ConditionType, Holds)], after: &[(ConditionType, Holds)]) -> Vec<(&'static str, bool)> {
        let changes = of_conditions(&with(before), &with(after));
        changes.into_iter().map(|change| (change.reason, change.warns)).collect()
    }

    #[test]
    fn a_condition_that_changes_is_told_once_and_trouble_is_a_warning() {
        use ConditionType::{NameTaken, Ready, ZeroBlocked};
        use Holds::{False, True};
        assert_eq!(changes(&[], &[(Ready, True)]), [("Ready", false)]);
        assert_eq!(changes(&[(Ready, True)], &[(Ready, True)]), []);
        assert_eq!(
            changes(&[(Ready, True)], &[(Ready, False), (NameTaken, True)]),
            [("Ready", true), ("NameTaken", true)]
        );
        assert_eq!(changes(&[(ZeroBlocked, True)], &[(ZeroBlocked, False)]), [("ZeroBlocked", false)]);
    }

    #[test]
    fn what_is_unknown_or_told_by_a_revision_is_no_event() {
        use ConditionType::{Active, Plaintext, Ready};
        use Holds::{False, True, Unknown};
        assert_eq!(changes(&[], &[(Ready, Unknown), (Active, False), (Plaintext, True)]), []);
        assert_eq!(changes(&[(Active, False)], &[(Active, True)]), []);
    }

    #[test]
    fn a_flapping_endpoint_is_told_of_ten_times_and_then_now_and_then() {
        let at = |seconds| Moment::from_unix(Duration::from_secs(seconds));
        let mut allowance = Allowance::full(at(0));
        assert_eq!((0..20).filter(|_| allowance.take(at(0))).count(), 10);
        assert_eq!((1..=300).filter(|second| allowance.take(at(*second))).count(), 10);
    }

    #[test]
    fn a_note_is_cut_where_a_character_ends() {
        let change = Change { reason: "Ready", note: "ü".repeat(1_000), warns: true };
        let event = event(&EndpointKey::new("shop", "m"), "uid", &change, "pod", Moment::from_unix_millis(1));
        let note = event.note.unwrap();
        assert!(note.len() <= LONGEST_NOTE && note.ends_with("ü…"), "{}", note.len());
        assert_eq!(event.type_.as_deref(), Some("Warning"));
    }
}
