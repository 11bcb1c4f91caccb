//! What the conditions say, for people.

use std::sync::Arc;

use api::admin::{self, State};
use api::status::{ConditionType, Holds};
use platform::Route;
use units::{ConcurrencyLimit, Moment};

use super::{Facts, Said};
use crate::picture::RevisionFindings;

/// The reason of a conflict in which Rouse only raises.
pub(super) const WRITTEN_BY_OTHERS: &str = "WrittenByOthers";

/// All that is to be said: every condition that is always there, and the troubles that there are.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Said> {
    let (accepted, routes, revisions) = (accepted(facts), routes(facts), revisions(facts));
    let ready = ready(&[&accepted, &routes, &revisions]);
    let troubles = [
        bypassed(facts),
        scale_conflict(facts),
        zero_blocked(facts),
        host_conflict(facts),
        name_taken(facts),
        revision_taken(facts),
        limit_per_activator(facts),
        plaintext(facts),
    ];
    [ready, accepted, routes, revisions, active(facts)].into_iter().chain(troubles.into_iter().flatten()).collect()
}

fn holds(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Said {
    Said { kind, holds: Holds::True, reason, message: message.into() }
}

fn fails(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Said {
    Said { kind, holds: Holds::False, reason, message: message.into() }
}

fn unknown(kind: ConditionType, reason: &'static str, message: impl Into<String>) -> Said {
    Said { kind, holds: Holds::Unknown, reason, message: message.into() }
}

/// As the first of its parts that is not so.
fn ready(parts: &[&Said]) -> Said {
    let worst = parts
        .iter()
        .find(|part| part.holds == Holds::False)
        .or_else(|| parts.iter().find(|part| part.holds == Holds::Unknown));
    match worst {
        Some(part) => Said { kind: ConditionType::Ready, ..(*part).clone() },
        None => holds(ConditionType::Ready, "Ready", "requests are answered; a revision at zero is woken by them"),
    }
}

fn accepted(facts: &Facts<'_>) -> Said {
    let kind = ConditionType::Accepted;
    match facts.spec {
        Ok(_) => holds(kind, "Accepted", ""),
        Err(faults) => {
            let sentences: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
            let only_early = faults.0.iter().all(api::Fault::is_not_yet_supported);
            let reason = if only_early { "NotYetSupported" } else { "InvalidSpec" };
            let kept = match facts.found {
                Some(found) if found.keeps_last_good => "\nThe spec that was there before is still in force.",
                Some(_) | None => "",
            };
            fails(kind, reason, format!("{}{kept}", sentences.join("\n")))
        }
    }
}

fn routes(facts: &Facts<'_>) -> Said {
    let kind = ConditionType::RoutesReady;
    if facts.spec.is_err() {
        return unknown(kind, "NotAccepted", "the spec is not understood; see the condition Accepted");
    }
    if facts.port.is_none() {
        return fails(
            kind,
            "NoPortLeft",
            "every port of its range on the activators is taken, or was freed within the last hour; give the autoscalers a \
             wider range (OWN_PORTS)",
        );
    }
    if let Some((name, whose)) = facts.names_taken.first() {
        let message = format!("its Service would be called {name}, and that is {whose}; see the condition NameTaken");
        return fails(kind, "NameTaken", message);
    }
    if !facts.missing_services.is_empty() {
        return unknown(kind, "Creating", format!("being made: Service {}", facts.missing_services.join(", ")));
    }
    match facts.route {
        None => unknown(kind, "NotSeenYet", "nobody has looked yet which way its requests take"),
        Some(Route::Proxied { through }) if through.is_empty() => {
            fails(kind, "NoActivator", "no activator is in its path; are the pods of Deployment rouse-activator ready?")
        }
        Some(Route::Proxied { .. }) => {
            let always = facts.found.and_then(|found| found.never_direct);
            let why = always.map(|why| format!(", always: {why}")).unwrap_or_default();
            holds(kind, "Proxied", format!("requests go through the activators{why}"))
        }
        Some(Route::Direct) => holds(kind, "Direct", "requests go straight to the replicas"),
        // Both ways are right while it changes.
        Some(Route::Changing { .. }) => holds(kind, "Changing", "requests change from one way to the other"),
    }
}

fn revisions(facts: &Facts<'_>) -> Said {
    let kind = ConditionType::RevisionsReady;
    if facts.spec.is_err() {
        return unknown(kind, "NotAccepted", "the spec is not understood; see the condition Accepted");
    }
    if facts.found.is_none() {
        return unknown(kind, "NotSeenYet", "nobody has looked yet for its Deployments");
    }
    let missing = facts.found_of(|found| found.is_missing && found.why_missing.is_none());
    let hindered = facts.served().filter_map(|(_, found)| found?.why_missing.as_deref());
    let mut sentences: Vec<String> = hindered.map(str::to_owned).collect();
    if !missing.is_empty() {
        sentences.push(format!("there is no Deployment {} in namespace {}", missing.join(", "), facts.key.namespace));
    }
    if !sentences.is_empty() {
        return fails(kind, "RevisionMissing", sentences.join("\n"));
    }
    if !facts.found_of(|found| found.taken_by.is_some()).is_empty() {
        return fails(kind, "RevisionTaken", "see the condition RevisionTaken");
    }
    let failed: Vec<String> = of_told(facts)
        .filter(|told| told.state == State::Failed)
        .map(|told| format!("{} does not start: {}", told.name, told.reason.as_deref().unwrap_or("no reason is known")))
        .collect();
    if !failed.is_empty() {
        return fails(kind, "StartFailed", failed.join("\n"));
    }
    holds(kind, "Present", "")
}

fn active(facts: &Facts<'_>) -> Said {
    let kind = ConditionType::Active;
    let Some(told) = facts.told else {
        return unknown(kind, "NotHeardYet", "the autoscaler has not heard of it yet");
    };
    let serves =
        |name: &str| facts.spec.as_ref().is_ok_and(|spec| spec.traffic.iter().any(|target| target.revision == name));
    let ready = told.revisions.iter().filter(|told| serves(&told.name));
    if ready.clone().any(|revision| 0 < revision.ready_replicas) {
        return holds(kind, "Active", "");
    }
    match told.state {
        State::Waking => fails(kind, "Waking", "replicas are on their way up"),
        State::Failed => fails(kind, "StartFailed", "see the condition RevisionsReady"),
        State::Zero | State::Active | State::Draining => {
            fails(kind, "Zero", "there is no replica, and the next request starts one")
        }
    }
}

fn bypassed(facts: &Facts<'_>) -> Option<Said> {
    let mut sentences = Vec::new();
    for (name, found) in facts.revisions() {
        let Some(found) = found.filter(|found| !found.bypassed_by.is_empty()) else { continue };
        sentences.push(format!(
            "the replicas of {name} are behind Service {} too: what comes that way is not counted, and wakes nobody. Point \
             its clients at Service {}, then delete it",
            found.bypassed_by.join(", "),
            facts.key.name
        ));
    }
    for (name, found) in facts.revisions() {
        let Some(found) = found.filter(|found| !found.behind_kserves.is_empty()) else { continue };
        let beside = |service: &&Arc<str>| facts.found.is_some_and(|found| found.beside.contains(service));
        let wakes = if found.behind_kserves.iter().all(|service| beside(&service)) {
            "at zero it wakes it all the same"
        } else {
            "and at zero it wakes nobody"
        };
        sentences.push(format!(
            "KServe's own Service {} leads to the replicas of {name} past Rouse while there are any: what comes that way is \
             not counted; {wakes}. Point its clients at Service {}",
            found.behind_kserves.join(", "),
            facts.key.name
        ));
    }
    let foreign = of_told(facts).filter(|told| told.because.as_deref() == Some("bypassed"));
    sentences.extend(foreign.map(|told| {
        format!(
            "clients are connected to the model's own port at replicas of {}, past Rouse: one is kept for them",
            told.name
        )
    }));
    (!sentences.is_empty()).then(|| holds(ConditionType::Bypassed, "Bypassed", sentences.join("\n")))
}

fn scale_conflict(facts: &Facts<'_>) -> Option<Said> {
    let sentences: Vec<String> = facts.conflicts.iter().map(|(name, what)| format!("{name}: {what}")).collect();
    // It is over at once when they end, unlike what is only guessed from writes.
    let scaled = !facts.found_of(|found| !found.scaled_by.is_empty() || found.rival.is_some()).is_empty();
    let reason = if scaled { "ScaledByOthers" } else { WRITTEN_BY_OTHERS };
    (!sentences.is_empty()).then(|| holds(ConditionType::ScaleConflict, reason, sentences.join("\n")))
}

fn zero_blocked(facts: &Facts<'_>) -> Option<Said> {
    let blocked = of_told(facts).filter(|told| !told.zero_blocked_by.is_empty());
    let sentences: Vec<String> = blocked
        .map(|told| {
            format!(
                "{} cannot go to zero: no word for a minute from {}. Restart what hangs; a pod that is gone is not waited for",
                told.name,
                told.zero_blocked_by.join(", ")
            )
        })
        .collect();
    (!sentences.is_empty()).then(|| holds(ConditionType::ZeroBlocked, "Silent", sentences.join("\n")))
}

fn host_conflict(facts: &Facts<'_>) -> Option<Said> {
    let taken = facts.found.iter().flat_map(|found| &found.hosts_of_others);
    let sentences: Vec<String> = taken
        .map(|(host, owner)| {
            format!("{host} belongs to ModelEndpoint {}/{}, which is older", owner.namespace, owner.name)
        })
        .collect();
    let advice = "take it out of spec.hosts of one of the two";
    (!sentences.is_empty())
        .then(|| holds(ConditionType::HostConflict, "HostTaken", format!("{}; {advice}", sentences.join("\n"))))
}

fn name_taken(facts: &Facts<'_>) -> Option<Said> {
    let sentence = |(name, whose): &(String, String)| {
        format!(
            "Service {name} in namespace {} is {whose}, and is left alone. Delete or rename it, or call this endpoint \
             something else",
            facts.key.namespace
        )
    };
    let sentences: Vec<String> = facts.names_taken.iter().map(sentence).collect();
    (!sentences.is_empty()).then(|| holds(ConditionType::NameTaken, "NameTaken", sentences.join("\n")))
}

fn revision_taken(facts: &Facts<'_>) -> Option<Said> {
    let taken = facts.revisions().filter_map(|(name, found)| {
        let owner = found?.taken_by.as_ref()?;
        let (namespace, endpoint) = (&owner.namespace, &owner.name);
        Some(format!(
            "Deployment {name} belongs to ModelEndpoint {namespace}/{endpoint}, which is older; a Deployment serves one endpoint"
        ))
    });
    let sentences: Vec<String> = taken.collect();
    (!sentences.is_empty()).then(|| holds(ConditionType::RevisionTaken, "RevisionTaken", sentences.join("\n")))
}

fn limit_per_activator(facts: &Facts<'_>) -> Option<Said> {
    let limited = facts.spec.is_ok_and(|spec| spec.container_concurrency != ConcurrencyLimit::Unlimited);
    let without = facts.found_of(|found| !found.is_missing && found.without_sidecars);
    (limited && !without.is_empty()).then(|| {
        let message = format!(
            "{} has no queue-proxy beside it: each activator keeps containerConcurrency for itself, so that all together may \
             send a replica more. With the sidecar it is exact",
            without.join(", ")
        );
        holds(ConditionType::LimitPerActivator, "NoSidecar", message)
    })
}

fn plaintext(facts: &Facts<'_>) -> Option<Said> {
    (facts.plaintext && facts.spec.is_ok()).then(|| {
        let message = "autoscalers also take plain TCP, and who speaks it to them or to a sidecar without AUTOSCALER_CA is \
                       believed; keep others away from their ports by NetworkPolicies, or take \
                       PLAINTEXT out of both Deployments of Rouse once every sidecar has it";
        holds(ConditionType::Plaintext, "NotEncrypted", message)
    })
}

/// Why a revision is as it is; `None` where there is nothing to say.
pub(super) fn of_revision(
    facts: &Facts<'_>,
    name: &str,
    found: Option<&RevisionFindings>,
    told: Option<&admin::Revision>,
) -> Option<String> {
    let found = found?;
    if let Some(why) = &found.why_missing {
        return Some(why.to_string());
    }
    if found.is_missing {
        return Some("its Deployment is missing".to_owned());
    }
    if let Some(owner) = &found.taken_by {
        return Some(format!("it belongs to ModelEndpoint {}/{}", owner.namespace, owner.name));
    }
    let refused = told.filter(|told| !told.refused_settings.is_empty()).map(|told| told.refused_settings.join("\n"));
    let passed_over = || found.passed_over.as_ref().map(ToString::to_string);
    let reason = told.and_then(|told| told.reason.clone());
    reason.or_else(|| facts.conflicts.get(name).cloned()).or(refused).or_else(passed_over)
}

/// Of those that clients depend on.
fn of_told<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a admin::Revision> {
    let spec = facts.spec.ok();
    let serves = move |told: &&admin::Revision| {
        spec.is_none_or(|spec| spec.traffic.iter().any(|target| target.revision == told.name))
    };
    facts.told.iter().flat_map(|told| &told.revisions).filter(serves)
}

/// RFC 3339 in whole seconds, as Kubernetes has it.
pub(crate) fn time(moment: Moment) -> String {
    let seconds = i64::try_from(moment.unix().as_secs()).unwrap_or(i64::MAX);
    // Only a moment thousands of years from now is out of its range.
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
