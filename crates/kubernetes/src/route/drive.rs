//! Takes the steps that `plan` names for one Service, against the API server.
//!
//! What the steps rest on is read from there and not from a watch, and each write expects what was read: if somebody else
//! wrote in between, everything is read anew. What a write answers is what is known from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use platform::RouteError;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tracing::debug;
use units::Moment;

use super::plan::{Behind, Selects, Step, Theirs, Wanted, next};
use super::shapes::{Family, Keeper, is_like, is_owned_by};
use crate::actuator::Hands;
use crate::cluster::PROMPT;
use crate::fault::Fault;
use crate::names::SERVICE_NAME;
use crate::site::MANAGER;

/// The first pause before it is looked again for what the controllers do; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The controllers take somebody out within milliseconds if they work at all.
const NOBODY_WITHIN: Duration = Duration::from_secs(2);

/// A ready replica is there when a path is to go to it, so the controllers have to name it only.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// After everything was deleted that the controllers left, it is looked once more whether anything came back.
const SETTLED: Duration = Duration::from_millis(300);

/// So many calls in a row may fail.
const FAILURES: u32 = 3;

/// One Service, and what is done to it.
pub(super) struct Drive<'a> {
    hands: &'a Hands,
    epoch: u64,
    /// UID of the endpoint whose it is; `None`: KServe's, whose slices alone are touched, and only our own.
    owner: Option<&'a str>,
    name: &'a str,
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    endpoints: Api<Endpoints>,
}

/// What was read.
struct Found {
    service: Service,
    behind: Behind,
}

/// What ends one look, or the whole.
enum Trouble {
    /// A call failed; looking anew may help.
    Call(Fault),
    /// Nothing helps but an order anew.
    End(RouteError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused { why } => Self::End(RouteError { why }),
            fault @ (Fault::Missing { .. } | Fault::Conflict { .. } | Fault::Unknown { .. }) => Self::Call(fault),
        }
    }
}

fn end(why: String) -> Trouble {
    Trouble::End(RouteError { why })
}

/// How far one run is.
struct Progress {
    waiting_since: Option<Moment>,
    pause: Duration,
    failures: u32,
    cleaned: bool,
    settled: bool,
}

impl<'a> Drive<'a> {
    pub(super) fn new(hands: &'a Hands, epoch: u64, owner: Option<&'a str>, namespace: &str, name: &'a str) -> Self {
        let client = &hands.cluster.prompt;
        Self {
            hands,
            epoch,
            owner,
            name,
            services: Api::namespaced(client.clone(), namespace),
            slices: Api::namespaced(client.clone(), namespace),
            endpoints: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Takes steps until it is as `wanted` says, of the Service as it was read.
    pub(super) async fn run(&self, wanted: impl Fn(&Service) -> Result<Wanted, RouteError>) -> Result<(), RouteError> {
        let mut progress =
            Progress { waiting_since: None, pause: FIRST_PAUSE, failures: 0, cleaned: false, settled: false };
        loop {
            match self.look_and_step(&wanted, &mut progress).await {
                Ok(()) => return Ok(()),
                Err(Trouble::End(error)) => return Err(error),
                Err(Trouble::Call(fault)) => {
                    progress.failures += 1;
                    debug!(service = self.name, error = %fault, "looking anew what is behind a Service");
                    if FAILURES <= progress.failures {
                        return Err(RouteError { why: fault.to_string() });
                    }
                    self.pause(&mut progress).await;
                }
            }
        }
    }

    async fn look_and_step(
        &self,
        wanted: &impl Fn(&Service) -> Result<Wanted, RouteError>,
        progress: &mut Progress,
    ) -> Result<(), Trouble> {
        let mut found = self.look(progress).await?;
        let wanted = wanted(&found.service).map_err(Trouble::End)?;
        loop {
            let now = self.hands.cluster.clock.now();
            let waited = progress.waiting_since.is_some_and(|since| NOBODY_WITHIN <= now.since(since));
            let step = next(&wanted, &found.behind, waited);
            debug!(service = self.name, ?step, "changing what is behind a Service");
            match step {
                Step::Rest if progress.cleaned && !progress.settled => {
                    self.hands.cluster.clock.sleep_until(now.plus(SETTLED)).await;
                    progress.settled = true;
                    found = self.look(progress).await?;
                    continue;
                }
                Step::Rest => return Ok(()),
                Step::AwaitNobody | Step::AwaitReady => {
                    let since = *progress.waiting_since.get_or_insert(now);
                    if step == Step::AwaitReady && READY_WITHIN <= now.since(since) {
                        return Err(end(format!("no replica behind Service {} is ready yet", self.name)));
                    }
                    self.pause(progress).await;
                    found = self.look(progress).await?;
                    continue;
                }
                step => {
                    if !self.hands.may_write(self.epoch) {
                        return Err(end("this leadership is over".to_owned()));
                    }
                    progress.cleaned |= step == Step::DeleteEndpoints;
                    self.take(step, &wanted, &mut found).await?;
                }
            }
            progress.waiting_since = None;
            progress.failures = 0;
        }
    }

    async fn pause(&self, progress: &mut Progress) {
        let clock = self.hands.cluster.clock;
        clock.sleep_until(clock.now().plus(progress.pause)).await;
        progress.pause = LONGEST_PAUSE.min(progress.pause * 2);
    }

    /// Reads what there is.
    async fn look(&self, progress: &Progress) -> Result<Found, Trouble> {
        let Some(service) = in_time(self.services.get_opt(self.name)).await? else {
            return Err(end(format!("Service {} does not exist yet", self.name)));
        };
        if self.owner.is_some_and(|owner| !is_owned_by(&service.metadata, owner)) {
            return Err(end(format!(
                "NameTaken: Service {} is not this endpoint's, and is left as it is; rename it or the endpoint",
                self.name
            )));
        }
        let behind = ListParams::default().labels(&format!("{SERVICE_NAME}={}", self.name));
        let mut ours = BTreeMap::new();
        let mut theirs = Vec::new();
        for slice in in_time(self.slices.list(&behind)).await? {
            match Keeper::of(&slice) {
                Keeper::Rouse => {
                    let family = Family::ALL.into_iter().find(|family| family.word() == slice.address_type);
                    ours.extend(family.map(|family| (family, slice)));
                }
                Keeper::Kubernetes => theirs.push(theirs_of(slice)),
                Keeper::Another => {}
            }
        }
        let selects = Selects::of(&service);
        let leftovers = progress.settled || selects != Selects::Nothing || !theirs.is_empty();
        Ok(Found { service, behind: Behind { selects, ours, theirs, leftovers } })
    }

    async fn take(&self, step: Step, wanted: &Wanted, found: &mut Found) -> Result<(), Trouble> {
        let Found { service, behind } = found;
        match step {
            Step::Write(family) => {
                let (Wanted::Activators(slices) | Wanted::Beside(slices)) = wanted else { return Ok(()) };
                let Some(slice) = slices.get(&family) else { return Ok(()) };
                let written = self.write(slice, behind.ours.get(&family)).await?;
                // Writing it once more would not help.
                if !is_like(&written, slice) {
                    let name = slice.metadata.name.as_deref().unwrap_or_default();
                    return Err(end(format!(
                        "slice {name} is kept otherwise than it was written: something on the way to the API server changes it"
                    )));
                }
                behind.ours.insert(family, written);
            }
            Step::Select(selects) => {
                *service = self.select(service, &behind.selects, &selects).await?;
                behind.selects = selects;
            }
            Step::DeleteEndpoints => {
                gone(in_time(self.endpoints.delete(self.name, &DeleteParams::default())).await)?;
                behind.leftovers = false;
            }
            Step::DeleteTheirs(name) => {
                gone(in_time(self.slices.delete(&name, &DeleteParams::default())).await)?;
                behind.theirs.retain(|slice| slice.name != name);
            }
            Step::DeleteOurs(family) => {
                if let Some(slice) = behind.ours.get(&family) {
                    let uid = slice.metadata.uid.clone();
                    let only = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
                    let name = slice.metadata.name.as_deref().unwrap_or_default();
                    gone(in_time(self.slices.delete(name, &only)).await)?;
                    behind.ours.remove(&family);
                }
            }
            Step::AwaitNobody | Step::AwaitReady | Step::Rest => {}
        }
        Ok(())
    }

    async fn write(&self, slice: &EndpointSlice, over: Option<&EndpointSlice>) -> Result<EndpointSlice, Fault> {
        let Some(over) = over else {
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            return in_time(self.slices.create(&params, slice)).await;
        };
        let patch = json!({
            "metadata": {
                "uid": over.metadata.uid,
                "resourceVersion": over.metadata.resource_version,
                "labels": slice.metadata.labels,
                "ownerReferences": slice.metadata.owner_references,
            },
            "endpoints": slice.endpoints,
            "ports": slice.ports,
        });
        let name = over.metadata.name.as_deref().unwrap_or_default();
        in_time(self.slices.patch(name, &params(), &Patch::Merge(&patch))).await
    }

    async fn select(&self, service: &Service, is: &Selects, to: &Selects) -> Result<Service, Fault> {
        // A merge patch adds to what is there: what is to go is named as nothing.
        let mut selector: Map<String, Value> = is.labels().into_keys().map(|label| (label, Value::Null)).collect();
        selector.extend(to.labels().into_iter().map(|(label, value)| (label, Value::String(value))));
        let selector = if *to == Selects::Nothing { Value::Null } else { Value::Object(selector) };
        let patch = json!({
            "metadata": { "uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version },
            "spec": { "selector": selector },
        });
        in_time(self.services.patch(self.name, &params(), &Patch::Merge(&patch))).await
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
    match timeout(PROMPT, call).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::Unknown { why: format!("the API server did not answer within {PROMPT:?}") }),
    }
}

/// What is not there need not be deleted.
fn gone<T>(deleted: Result<T, Fault>) -> Result<(), Fault> {
    match deleted {
        Ok(_) | Err(Fault::Missing { .. }) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn theirs_of(slice: EndpointSlice) -> Theirs {
    let ready = slice.endpoints.iter().any(|endpoint| {
        // What is not said counts as ready, as the API has it.
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    Theirs { names_any: !slice.endpoints.is_empty(), names_ready: ready, name: slice.metadata.name.unwrap_or_default() }
}
