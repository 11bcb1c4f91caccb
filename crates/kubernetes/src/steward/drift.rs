//! Who else writes `replicas` of a revision, and what comes of it. Pure.
//!
//! That it is written once is drift, and corrected at the next decision. Who writes it again and again means it: two
//! writers that correct each other would start and stop replicas without end, so Rouse only raises from then on. Beside a
//! HorizontalPodAutoscaler it writes nothing at all. What Kubernetes says of who wrote last, and when, counts as one write
//! each time it says something new; what it says at first is how the revision was found.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use platform::ScaleOrder;
use units::Moment;

use crate::names::VersionParts;
use crate::site::MANAGER;

/// So many writes by the same other manager …
const WRITES: usize = 3;
/// … within this are a conflict.
const WITHIN: Duration = Duration::from_secs(300);
/// When nobody else has written for so long, it is over.
const OVER_AFTER: Duration = Duration::from_secs(3600);

/// What Rouse does no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restraint {
    /// It only raises. The manager that writes too, by its name in `managedFields`, where it is known.
    OnlyRaise { writer: Option<Arc<str>> },
    /// It writes nothing. What scales it: kind and name.
    Nothing { scaler: Arc<str> },
    /// It writes nothing, as KServe's controller does: why, and what to do.
    Rival { words: Arc<str> },
}

impl Restraint {
    /// Why an order is not carried out; `None` if it is. One to raise it says what it raises it from.
    pub(crate) fn forbids(&self, order: &ScaleOrder) -> Option<String> {
        let from = order.expect.as_ref().and_then(VersionParts::of).map(|parts| parts.replicas);
        let raises = from.is_some_and(|from| from < order.to);
        match self {
            Self::OnlyRaise { .. } if raises => None,
            Self::OnlyRaise { .. } | Self::Nothing { .. } | Self::Rival { .. } => Some(self.to_string()),
        }
    }
}

/// For people.
impl fmt::Display for Restraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyRaise { writer } => write!(
                f,
                "its replicas are written by {} too, again and again: Rouse only raises them, until nobody else has written \
                 them for an hour. Leave `replicas` out of what is applied (docs/gitops.md)",
                writer.as_deref().unwrap_or("somebody else")
            ),
            Self::Nothing { scaler } => write!(
                f,
                "{scaler} writes its replicas: Rouse does not, and wakes it from zero no more. Delete one of the two, {scaler} \
                 or the ModelEndpoint"
            ),
            Self::Rival { words } => f.write_str(words),
        }
    }
}

/// Who wrote last, as Kubernetes says it: manager and time.
pub(crate) type Writer = (Arc<str>, Moment);

/// What was seen of one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    last: Option<Writer>,
    begun: bool,
    /// By others, and when it was seen.
    writes: VecDeque<(Arc<str>, Moment)>,
    /// Who, if it is known, and when it was seen last.
    conflict: Option<(Option<Arc<str>>, Moment)>,
}

impl History {
    /// Looks at who wrote last. `was_restrained`: an earlier leader has found a conflict, which counts at the first look.
    pub(crate) fn look(&mut self, now: Moment, writer: Option<&Writer>, was_restrained: impl FnOnce() -> bool) {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let is_new = std::mem::replace(&mut self.last, writer.cloned()).as_ref() != writer;
        if is_first {
            self.conflict = was_restrained().then_some((None, now));
        } else if let Some((manager, _)) = writer.filter(|(manager, _)| is_new && **manager != *MANAGER) {
            self.write(now, manager);
        }
        self.conflict.take_if(|(_, last)| OVER_AFTER <= now.since(*last));
    }

    fn write(&mut self, now: Moment, manager: &Arc<str>) {
        self.writes.retain(|(_, at)| now.since(*at) < WITHIN);
        self.writes.push_back((Arc::clone(manager), now));
        let of_it = self.writes.iter().filter(|(writer, _)| writer == manager).count();
        if self.conflict.is_some() || WRITES <= of_it {
            self.conflict = Some((Some(Arc::clone(manager)), now));
        }
    }

    /// What Rouse does no more, also because of `scaler`, if something else scales the revision, or of KServe as its `rival`.
    pub(crate) fn restraint(&self, scaler: Option<&Arc<str>>, rival: Option<&Arc<str>>) -> Option<Restraint> {
        // What KServe does says where a scaler comes from, and what to do about both.
        if let Some(words) = rival {
            return Some(Restraint::Rival { words: Arc::clone(words) });
        }
        match (scaler, &self.conflict) {
            (Some(scaler), _) => Some(Restraint::Nothing { scaler: Arc::clone(scaler) }),
            (None, Some((writer, _))) => Some(Restraint::OnlyRaise { writer: writer.clone() }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use units::ReplicaCount;

    use super::*;
    use crate::names::scale_version;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(seconds))
    }

    /// Who wrote last, as seen at these seconds.
    fn after(writes: &[(u64, &str)]) -> History {
        let mut history = History::default();
        for (second, manager) in writes {
            history.look(at(*second), Some(&(Arc::from(*manager), at(*second))), || false);
        }
        history
    }

    fn only_raise(writer: &str) -> Option<Restraint> {
        Some(Restraint::OnlyRaise { writer: Some(writer.into()) })
    }

    #[test]
    fn three_writes_of_one_other_within_five_minutes_are_a_conflict() {
        let twice = [(0, "kubectl"), (10, "rouse"), (20, "argocd"), (30, "rouse"), (40, "argocd"), (50, "rouse")];
        assert_eq!(after(&twice).restraint(None, None), None);
        let thrice: Vec<_> = twice.into_iter().chain([(60, "argocd")]).collect();
        assert_eq!(after(&thrice).restraint(None, None), only_raise("argocd"));
    }

    #[test]
    fn writes_further_apart_or_of_different_others_are_not() {
        assert_eq!(after(&[(0, "a"), (1, "b"), (200, "b"), (302, "b")]).restraint(None, None), None);
        assert_eq!(after(&[(0, "x"), (1, "a"), (2, "b"), (3, "c")]).restraint(None, None), None);
    }

    #[test]
    fn our_own_writes_and_what_was_found_do_not_count() {
        assert_eq!(after(&[(0, "a"), (1, "rouse"), (2, "rouse"), (3, "rouse")]).restraint(None, None), None);
        assert_eq!(after(&[(0, "a"), (1, "a"), (2, "a")]).restraint(None, None), None);
    }

    #[test]
    fn the_same_word_again_is_no_write() {
        let mut history = after(&[(0, "x"), (1, "a"), (2, "a")]);
        history.look(at(3), Some(&("a".into(), at(2))), || false);
        assert_eq!(history.restraint(None, None), None);
    }

    #[test]
    fn it_is_over_when_nobody_else_has_written_for_an_hour() {
        let mut history = after(&[(0, "x"), (1, "a"), (2, "a"), (3, "a"), (100, "b")]);
        history.look(at(3699), Some(&("b".into(), at(100))), || false);
        assert_eq!(history.restraint(None, None), only_raise("b"));
        history.look(at(3700), Some(&("b".into(), at(100))), || false);
        assert_eq!(history.restraint(None, None), None);
    }

    #[test]
    fn a_new_leader_goes_on_with_what_the_one_before_has_found() {
        let mut history = History::default();
        history.look(at(0), Some(&("a".into(), at(0))), || true);
        assert_eq!(history.restraint(None, None), Some(Restraint::OnlyRaise { writer: None }));
    }

    #[test]
    fn what_is_restrained_is_raised_at_most() {
        let order = |to| ScaleOrder {
            revision: units::RevisionKey::new("shop", "v1"),
            to: ReplicaCount(to),
            epoch: 1,
            expect: Some(scale_version("uid", "7", ReplicaCount(2))),
            victims: Vec::new(),
        };
        let only_raise = Restraint::OnlyRaise { writer: Some("argocd".into()) };
        assert_eq!(only_raise.forbids(&order(3)), None);
        assert!(only_raise.forbids(&order(1)).is_some_and(|why| why.contains("argocd")));
        assert!(only_raise.forbids(&order(0)).is_some());
        let nothing = Restraint::Nothing { scaler: "HorizontalPodAutoscaler v1".into() };
        assert!(nothing.forbids(&order(3)).is_some());
    }

    #[test]
    fn beside_an_autoscaler_of_kubernetes_nothing_is_written() {
        let scaler: Arc<str> = "HorizontalPodAutoscaler v1".into();
        assert_eq!(History::default().restraint(Some(&scaler), None), Some(Restraint::Nothing { scaler }));
    }

    #[test]
    fn of_kserve_it_is_said_what_to_write_in_place_of_what_its_scaler_is_called() {
        let (scaler, words): (Arc<str>, Arc<str>) = ("HorizontalPodAutoscaler v1".into(), "write external".into());
        let restraint = History::default().restraint(Some(&scaler), Some(&words)).unwrap();
        assert_eq!(restraint.to_string(), "write external");
        let raise = ScaleOrder {
            revision: units::RevisionKey::new("shop", "v1"),
            to: ReplicaCount(1),
            epoch: 1,
            expect: Some(scale_version("uid", "7", ReplicaCount(0))),
            victims: Vec::new(),
        };
        assert!(restraint.forbids(&raise).is_some(), "KServe would take it back at once");
    }
}
