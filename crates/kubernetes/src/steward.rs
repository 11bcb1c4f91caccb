//! What the leader keeps in order besides replicas and routes: own ports, Services, status, Events, that a revision is
//! adopted, and that one that is let go of is not left at zero.
//!
//! Every endpoint is looked at when something has changed, and every two seconds for what the autoscaler tells of it. What
//! is to be done is found without asking anybody (`needs`, `ports`, `status`, `events`, `drift`); here it is done, a few
//! things at a time, and looked at again. Nothing is remembered that could not be seen again, but the time of the last
//! try: so no fault of the API server leads to a storm. The one who does not lead looks too, and does nothing, so that it
//! knows which ports rest when it comes to lead.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::admin;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use platform::Leadership;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use units::{EndpointKey, Moment, RevisionKey};

use crate::cluster::Cluster;
use crate::objects::EndpointObject;
use crate::world::{Kind, Seen};

mod drift;
mod events;
mod lanes;
mod needs;
mod ports;
mod release;
mod status;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use drift::Restraint;
pub(crate) use events::{Change, about as event_about};
pub(crate) use status::time;

use drift::History;
use events::Allowance;
use lanes::{Kind as Lane, Lanes, Subject};
use needs::{Needs, Owned};
use ports::{Claim, Ports};
use release::{End, Releases};
use work::Work;

/// What comes together is looked at together.
const SETTLE: Duration = Duration::from_millis(50);
/// At each tick one half of the endpoints is looked at for what the autoscaler tells.
const TICK: Duration = Duration::from_secs(1);
/// Between two writes of one endpoint's status.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// Between two tries of anything else of one endpoint: what was done is seen by then.
const PAUSE: Duration = Duration::from_secs(2);
impl Cluster {
    /// Keeps order for as long as it is polled; does nothing while this program does not lead. `told` is what the
    /// autoscaler says of an endpoint.
    ///
    /// # Errors
    /// None today: what cannot be done is tried again.
    pub async fn steward(
        &self,
        leadership: watch::Receiver<Leadership>,
        told: impl Fn(&EndpointKey) -> Option<admin::Endpoint> + Send + Sync,
    ) -> anyhow::Result<Infallible> {
        let mut leads = leadership.clone();
        let hands = self.actuator(leadership.clone());
        let mut steward = Steward::new(self, leadership, told);
        let mut under_way = FuturesUnordered::new();
        let mut changes = self.world.changes();
        let mut look_at = None;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if steward.led_until_now_and_not_any_more() {
                // What was not done is found again by whoever leads.
                under_way.clear();
            }
            while let Some(work) = steward.lanes.begin() {
                let hands = Arc::clone(&hands);
                under_way.push(async move { (work.kind(), work.subject(), work.run(self, &*hands).await) });
            }
            tokio::select! {
                _ = ticks.tick() => steward.look(true),
                Ok(()) = changes.changed(), if look_at.is_none() => look_at = Some(self.clock.now().plus(SETTLE)),
                () = self.clock.sleep_until(look_at.unwrap_or(Moment::from_unix_millis(0))), if look_at.is_some() => {
                    look_at = None;
                    changes.mark_unchanged();
                    steward.look(false);
                }
                Some((kind, subject, end)) = under_way.next() => steward.ended(kind, subject.as_ref(), end),
                // Whether it is still this one is looked at above.
                Ok(()) = leads.changed() => {}
            }
        }
    }
}

/// What is known of one endpoint from one look to the next.
#[derive(Debug)]
struct File {
    uid: Arc<str>,
    /// When its status was written last, or was to be.
    status_at: Option<Moment>,
    /// Likewise everything else.
    tried_at: Option<Moment>,
    /// Its revisions' states as they were told last.
    states: BTreeMap<String, admin::State>,
    events: Allowance,
}

struct Steward<'a, T> {
    cluster: &'a Cluster,
    leadership: watch::Receiver<Leadership>,
    told: T,
    ports: Ports,
    files: BTreeMap<EndpointKey, File>,
    histories: BTreeMap<RevisionKey, History>,
    releases: Releases,
    /// Which half is looked at.
    odd: bool,
    /// The leadership that what is in the lanes is for.
    epoch: Option<u64>,
    lanes: Lanes,
}

impl<'a, T: Fn(&EndpointKey) -> Option<admin::Endpoint>> Steward<'a, T> {
    fn new(cluster: &'a Cluster, leadership: watch::Receiver<Leadership>, told: T) -> Self {
        Self {
            cluster,
            leadership,
            told,
            ports: Ports::new(cluster.site.own_ports.clone()),
            files: BTreeMap::new(),
            histories: BTreeMap::new(),
            releases: Releases::new(),
            odd: false,
            epoch: None,
            lanes: Lanes::new(),
        }
    }

    /// The epoch of this leadership.
    fn leading(&self, now: Moment) -> Option<u64> {
        match *self.leadership.borrow() {
            Leadership::Leading { epoch, until } if now < until => Some(epoch),
            Leadership::Leading { .. } | Leadership::Following => None,
        }
    }

    /// Finds what is to be done.
    fn look(&mut self, is_tick: bool) {
        let now = self.cluster.clock.now();
        let cluster = self.cluster;
        let restraints = cluster.world.look(|seen| {
            // Until then absence means nothing.
            seen.is_listed(Kind::Endpoints, None).then(|| self.look_at(now, seen, is_tick))
        });
        if let Some(restraints) = restraints {
            cluster.world.set_restraints(restraints);
        }
    }

    fn look_at(&mut self, now: Moment, seen: &Seen, is_tick: bool) -> BTreeMap<RevisionKey, Restraint> {
        let claim = |object: &Arc<EndpointObject>| Claim {
            uid: Arc::clone(&object.uid),
            created: object.created,
            port: object.status.activator_port,
        };
        self.ports.look(now, seen.endpoints.values().map(claim).collect());
        let resolved = |key: &EndpointKey| self.cluster.world.findings(key)?.resolved.clone();
        self.releases.look(now, seen, resolved);
        let restraints = self.restraints(now, seen);
        self.files.retain(|key, file| seen.endpoints.get(key).is_some_and(|object| object.uid == file.uid));
        self.odd ^= is_tick;
        let Some(epoch) = self.leading(now) else { return restraints };
        self.epoch = Some(epoch);
        if !self.lanes.is_busy(&Subject::Releases) {
            self.releases.due(now, epoch, seen).into_iter().for_each(|work| self.lanes.push(work));
        }
        let owned = Owned::of(seen);
        for (index, (key, object)) in seen.endpoints.iter().enumerate() {
            let is_its_turn = is_tick && (index % 2 == 1) == self.odd;
            self.look_at_one(now, (seen, &owned), key, object, &restraints, is_its_turn);
        }
        restraints
    }

    fn look_at_one(
        &mut self,
        now: Moment,
        (seen, owned): (&Seen, &Owned<'_>),
        key: &EndpointKey,
        object: &EndpointObject,
        restraints: &BTreeMap<RevisionKey, Restraint>,
        is_its_turn: bool,
    ) {
        let file = self.files.entry(key.clone()).or_insert_with(|| File {
            uid: Arc::clone(&object.uid),
            status_at: None,
            tried_at: None,
            states: BTreeMap::new(),
            events: Allowance::full(now),
        });
        if object.leaving || self.lanes.is_busy(&Subject::Endpoint(key.clone())) {
            return;
        }
        let may = |last: Option<Moment>, pause| last.is_none_or(|last| pause <= now.since(last));
        let mut to_do = Vec::new();
        let found = self.cluster.world.findings(key);
        let beside = found.as_ref().map(|found| &*found.beside);
        let needs = Needs::of(seen, owned, (key, object), beside);
        let (missing_services, names_taken) = (needs.missing.clone(), needs.taken.clone());
        if may(file.tried_at, PAUSE) {
            to_do.extend(Work::of_services(key, object, needs));
        }
        let resolved = found.as_ref().and_then(|found| found.resolved.as_deref()).filter(|_| object.names_kserve());
        let spec = resolved.map_or(object.spec.as_deref(), Ok);
        let port = self.ports.of(&object.uid);
        let lacks_port = port.is_some() && object.status.activator_port != port;
        let may_write = may(file.status_at, STATUS_PAUSE);
        if is_its_turn || lacks_port && may_write {
            let told = (self.told)(key);
            let mut changes = states_changed(&mut file.states, told.as_ref());
            // A new leader knows nothing for a moment, and what was said before is truer than nothing.
            let knows = found.is_some() && (told.is_some() || object.spec.is_err());
            if may_write && (knows || lacks_port) {
                let on_board = self.cluster.boards.endpoints.get(key);
                let restrained = |name: &Arc<str>| {
                    let restraint = restraints.get(&RevisionKey::new(Arc::clone(&key.namespace), Arc::clone(name)))?;
                    Some((name.to_string(), restraint.to_string()))
                };
                let facts = status::Facts {
                    key,
                    generation: object.generation,
                    found: found.as_deref(),
                    spec: spec.map_err(|faults| &**faults),
                    port,
                    missing_services,
                    names_taken,
                    route: on_board.as_deref().map(|endpoint| &endpoint.route),
                    conflicts: found.iter().flat_map(|found| found.revisions.keys()).filter_map(restrained).collect(),
                    told: told.as_ref(),
                    domain: &self.cluster.site.cluster_domain,
                    plaintext: self.cluster.site.plaintext,
                };
                let status = status::status(&facts, &object.status, now);
                if status != *object.status {
                    changes.extend(events::of_conditions(&object.status, &status));
                    file.status_at = Some(now);
                    to_do.push(Work::status(key, object, &status));
                }
            }
            for change in changes.into_iter().filter(|_| file.events.take(now)) {
                let event = events::event(key, &object.uid, &change, &self.cluster.site.pod_name, now);
                to_do.push(Work::Tell { event: Box::new(event) });
            }
            if let (Some(told), Some(found), Ok(spec)) = (told, &found, spec)
                && may(file.tried_at, PAUSE)
            {
                let is_written = |name: &str| found.revisions.get(name).is_none_or(|found| found.adopted);
                let adopted = told.revisions.iter().filter(|told| told.adopted && !is_written(&told.name));
                let adopted: Vec<&str> = adopted.map(|revision| revision.name.as_str()).collect();
                to_do.extend(Work::adoption(key, object, spec, &adopted));
            }
        }
        if to_do.iter().any(Work::is_tried_again) {
            file.tried_at = Some(now);
        }
        to_do.into_iter().for_each(|work| self.lanes.push(work));
    }

    /// Who else writes `replicas` of which revision.
    fn restraints(&mut self, now: Moment, seen: &Seen) -> BTreeMap<RevisionKey, Restraint> {
        self.histories.retain(|revision, _| seen.deployments.contains_key(revision));
        let mut restraints = BTreeMap::new();
        for (key, object) in &seen.endpoints {
            let Some(found) = self.cluster.world.findings(key) else { continue };
            for (name, found) in found.revisions.iter().filter(|(_, found)| found.taken_by.is_none()) {
                let revision = RevisionKey::new(Arc::clone(&key.namespace), Arc::clone(name));
                let Some(deployment) = seen.deployments.get(&revision) else { continue };
                let history = self.histories.entry(revision.clone()).or_default();
                let was_restrained = || status::names_conflict(&object.status, &revision);
                history.look(now, deployment.replicas_by.as_ref(), was_restrained);
                if let Some(restraint) = history.restraint(found.scaled_by.first(), found.rival.as_ref()) {
                    restraints.insert(revision, restraint);
                }
            }
        }
        restraints
    }

    /// Something that was begun is over.
    fn ended(&mut self, kind: Lane, subject: Option<&Subject>, end: Option<End>) {
        self.lanes.ended(kind, subject);
        if let Some(end) = end {
            self.releases.ended(self.cluster.clock.now(), end);
        }
    }

    /// Is the leadership over that what is in the lanes is for? They are empty then.
    fn led_until_now_and_not_any_more(&mut self) -> bool {
        let now = self.cluster.clock.now();
        let is_over = self.epoch.is_some() && self.leading(now) != self.epoch;
        if is_over {
            self.epoch = None;
            self.lanes = Lanes::new();
            self.releases.interrupted();
        }
        is_over
    }
}

/// Which revisions are in another state than they were told to be in before. Of those that were not told of before there
/// is nothing to say.
fn states_changed(states: &mut BTreeMap<String, admin::State>, told: Option<&admin::Endpoint>) -> Vec<events::Change> {
    let Some(told) = told else { return Vec::new() };
    states.retain(|name, _| told.revisions.iter().any(|revision| revision.name == *name));
    let change = |revision: &admin::Revision| {
        let before = states.insert(revision.name.clone(), revision.state)?;
        events::of_revision(before, revision)
    };
    told.revisions.iter().filter_map(change).collect()
}
