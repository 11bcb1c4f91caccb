//! What is said of an endpoint in its `status`: words, and no measurements. Pure.
//!
//! A condition says what is wrong, where, and what to do. One that tells of trouble is left out while there was none, and
//! stays, as False, once it is over.

use std::collections::BTreeMap;

use api::admin;
use api::status::{Condition, ConditionType, Holds, Revision, Share, Status};
use platform::Route;
use units::{EndpointKey, Moment, RevisionKey};

use crate::picture::{Findings, RevisionFindings};

mod words;

pub(crate) use words::time;

/// What a status is made from.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) key: &'a EndpointKey,
    pub(crate) generation: i64,
    /// What was found of it; `None` before anybody looked.
    pub(crate) found: Option<&'a Findings>,
    pub(crate) spec: Result<&'a api::ModelEndpoint, &'a api::Faults>,
    /// Its own port on every activator; `None` if there is none left.
    pub(crate) port: Option<u16>,
    /// Services of it that are not there yet.
    pub(crate) missing_services: Vec<String>,
    /// Names that it needs and that are others', each with whose.
    pub(crate) names_taken: Vec<(String, String)>,
    /// Which way requests take.
    pub(crate) route: Option<&'a Route>,
    /// Who else writes `replicas` of its revisions, by their names, and what comes of it: a sentence.
    pub(crate) conflicts: BTreeMap<String, String>,
    /// What the autoscaler says of it; `None` before it has heard of it.
    pub(crate) told: Option<&'a admin::Endpoint>,
    /// The cluster's domain.
    pub(crate) domain: &'a str,
    /// Whether Rouse's programs also speak plain TCP with each other.
    pub(crate) plaintext: bool,
}

impl<'a> Facts<'a> {
    /// What its `spec` names, in its order, and what was found of each.
    fn targets(&self) -> impl Iterator<Item = (&'a api::TrafficTarget, Option<&'a RevisionFindings>)> + use<'a> {
        let (spec, found) = (self.spec.ok(), self.found);
        let targets = spec.into_iter().flat_map(api::ModelEndpoint::targets);
        targets.map(move |target| (target, found.and_then(|found| found.revisions.get(target.revision.as_str()))))
    }

    /// The same, by the names that `spec` gives.
    fn revisions(&self) -> impl Iterator<Item = (&'a str, Option<&'a RevisionFindings>)> + use<'a> {
        self.targets().map(|(target, found)| (target.name(), found))
    }

    /// The same of those that clients depend on: what is wrong with a shadow is no fault of the endpoint's.
    fn served(&self) -> impl Iterator<Item = (&'a str, Option<&'a RevisionFindings>)> + use<'a> {
        self.revisions().take(self.spec.as_ref().map_or(0, |spec| spec.traffic.len()))
    }

    /// Those that clients depend on of which something was found.
    fn found_of(&self, what: impl Fn(&RevisionFindings) -> bool) -> Vec<&'a str> {
        let found = self.served().filter(|(_, found)| found.is_some_and(&what));
        found.map(|(name, _)| name).collect()
    }
}

/// The whole of it. `before` is what is there: a condition that has not changed keeps its time.
pub(crate) fn status(facts: &Facts<'_>, before: &Status, now: Moment) -> Status {
    Status {
        observed_generation: Some(facts.generation),
        url: Some(url(facts)),
        activator_port: facts.port,
        traffic: traffic(facts),
        // Nobody rolls anything out.
        rollout: None,
        revisions: facts.targets().map(|(target, found)| shown(facts, target, found)).collect(),
        conditions: merged(words::all(facts), facts.generation, before, now),
    }
}

fn url(facts: &Facts<'_>) -> String {
    let EndpointKey { namespace, name } = facts.key;
    let port = facts.spec.ok().and_then(|spec| spec.port.as_ref()).map_or(80, |port| port.port);
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("http://{name}.{namespace}.svc.{}{port}", facts.domain)
}

/// What activators route by. That is what `spec` says only once all of them know, and as long as it has no fault.
fn traffic(facts: &Facts<'_>) -> Vec<Share> {
    let written = || facts.spec.ok().into_iter().flat_map(|spec| &spec.traffic);
    match facts.told {
        Some(told) => {
            // As a person calls it, where `spec` names it.
            let name = |revision: &str| {
                let target = written().find(|target| target.revision == revision);
                target.map_or(revision, |target| target.name()).to_owned()
            };
            let share = |share: &admin::Share| Share { revision: name(&share.revision), percent: share.percent };
            told.traffic.iter().map(share).collect()
        }
        None => written()
            .map(|target| Share { revision: target.name().to_owned(), percent: target.percent.get() })
            .collect(),
    }
}

fn shown(facts: &Facts<'_>, target: &api::TrafficTarget, found: Option<&RevisionFindings>) -> Revision {
    let name = target.revision.as_str();
    let exists = found.is_some_and(|found| !found.is_missing);
    let told = facts.told.and_then(|told| told.revisions.iter().find(|revision| revision.name == name));
    let told = told.filter(|_| exists);
    Revision {
        name: target.name().to_owned(),
        deployment: exists.then(|| name.to_owned()),
        state: told.map(|told| told.state),
        path: told.map(|told| told.path),
        mode: told.map(|told| told.mode),
        reason: words::of_revision(facts, name, found, told),
    }
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: ConditionType,
    pub(crate) holds: Holds,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Each type once, the most telling first.
fn merged(said: Vec<Said>, generation: i64, before: &Status, now: Moment) -> Vec<Condition> {
    let was = |kind: ConditionType| before.conditions.iter().find(|condition| condition.kind == kind.word());
    let over = |kind| Said { kind, holds: Holds::False, reason: "Over", message: String::new() };
    let of = |kind: ConditionType| {
        let said = said.iter().find(|said| said.kind == kind).cloned();
        // Trouble that was there once and is over.
        let said = said.or_else(|| was(kind).map(|_| over(kind)))?;
        let since = was(kind).filter(|was| was.status == said.holds).map(|was| was.last_transition_time.clone());
        Some(Condition {
            kind: kind.word().to_owned(),
            status: said.holds,
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or_else(|| time(now)),
            reason: said.reason.to_owned(),
            message: said.message,
        })
    };
    ConditionType::ALL.iter().filter_map(|kind| of(*kind)).collect()
}

/// Does a status say that Rouse only raises this revision, because others write its replicas too?
pub(crate) fn names_conflict(status: &Status, revision: &RevisionKey) -> bool {
    let word = ConditionType::ScaleConflict.word();
    let conflict = status.conditions.iter().find(|condition| condition.kind == word && condition.status == Holds::True);
    conflict.is_some_and(|conflict| {
        let begins = format!("{}: ", revision.name);
        conflict.reason == words::WRITTEN_BY_OTHERS && conflict.message.lines().any(|line| line.starts_with(&begins))
    })
}

/// The merge patch that makes a status out of whatever is there: what it does not have is taken out.
pub(crate) fn patch(uid: &str, status: &Status) -> serde_json::Value {
    const FIELDS: [&str; 7] =
        ["observedGeneration", "url", "activatorPort", "traffic", "rollout", "revisions", "conditions"];
    let mut fields = match serde_json::to_value(status) {
        Ok(serde_json::Value::Object(fields)) => fields,
        // A plain struct always is one.
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    for name in FIELDS {
        fields.entry(name).or_insert(serde_json::Value::Null);
    }
    serde_json::json!({ "metadata": { "uid": uid }, "status": fields })
}

#[cfg(test)]
mod tests;
