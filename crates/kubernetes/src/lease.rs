//! Takes part in the election: carries out what `election` wants, and says who leads.
//!
//! The Lease is watched, so that a follower knows at once when a leader lets go, and asks the API server for nothing
//! while it does not. A watch that went silent costs time only: what it has missed makes the next write a conflict.

use std::future::pending;
use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use platform::Leadership;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use units::{Incarnation, Moment};

use crate::cluster::{Cluster, PROMPT};
use crate::election::{Act, Elector, Record, Timing, Versioned, Written};
use crate::fault::Fault;
use crate::names::EPOCH;
use crate::sightings::{Sightings, sightings};
use crate::site::{LEASE, MANAGER, PART_OF};

impl Cluster {
    /// Takes part in the election until told to leave; then nobody leads here any more, and the Lease is let go of at once.
    ///
    /// `leadership` says whether this program leads; whoever acts by it compares its `until` with the clock. No epoch is
    /// lower than `highest`, the highest that an activator has seen: if that grows above the epoch of this leadership, it
    /// ends and another begins.
    ///
    /// # Errors
    /// None today; a program that cannot reach the API server follows and tries on.
    pub async fn elect(
        &self,
        leadership: watch::Sender<Leadership>,
        highest: watch::Receiver<u64>,
        leave: CancellationToken,
    ) -> anyhow::Result<()> {
        let run = Incarnation(fastrand::u64(..));
        let me: Arc<str> = Arc::from(format!("{}_{run:?}", self.site.pod_name));
        let booth = Booth {
            cluster: self,
            leases: Api::namespaced(self.prompt.clone(), &self.site.namespace),
            elector: Elector::new(me, Timing::ROUSE, self.clock.now()),
            lease: None,
            failing: false,
        };
        booth.run(&leadership, highest, leave).await
    }
}

/// One that takes part, and the object that it sees.
struct Booth<'a> {
    cluster: &'a Cluster,
    leases: Api<Lease>,
    elector: Elector,
    /// The object at the version that the elector has seen: what others have written on it stays there.
    lease: Option<Lease>,
    /// The last call failed, and that was said.
    failing: bool,
}

impl Booth<'_> {
    async fn run(
        mut self,
        leadership: &watch::Sender<Leadership>,
        mut highest: watch::Receiver<u64>,
        leave: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut sightings = self.watch();
        loop {
            let now = self.cluster.clock.now();
            if leave.is_cancelled() {
                self.elector.leave(now);
            }
            self.elector.heard_of(*highest.borrow_and_update());
            publish(leadership, self.elector.leadership(now));
            let left = self.elector.is_leaving();
            match self.elector.next(now) {
                Act::Done => return Ok(()),
                Act::Wait(until) => tokio::select! {
                    () = cut(&leave, left) => {}
                    Ok(()) = highest.changed() => {}
                    Some(lease) = sightings.next() => self.sighted(lease),
                    () = self.cluster.clock.sleep_until(until) => {}
                },
                Act::Read => tokio::select! {
                    // Dropped half way, it has changed nothing.
                    () = cut(&leave, left) => {}
                    read = timeout(PROMPT, self.leases.get_opt(LEASE)) => self.read(read),
                },
                Act::Create(record) => {
                    self.write(record, None, cut(&leave, left)).await;
                }
                Act::Replace(Versioned { record, version }) => {
                    if self.write(record, Some(version), cut(&leave, left)).await == Written::Conflict {
                        // The watch had not told of it, so perhaps it tells of nothing any more.
                        sightings = self.watch();
                    }
                }
            }
        }
    }
}

impl Booth<'_> {
    fn sighted(&mut self, lease: Option<Lease>) {
        let now = self.cluster.clock.now();
        if self.elector.listens(now) {
            self.elector.saw(now, lease.as_ref().map(record_of));
            self.lease = lease;
        }
    }

    fn read(&mut self, answer: Result<Result<Option<Lease>, kube::Error>, Elapsed>) {
        let now = self.cluster.clock.now();
        match answer.map_err(|_| late()).and_then(|answer| answer.map_err(|error| Fault::of(&error))) {
            Ok(lease) => {
                self.succeeded();
                self.elector.saw(now, lease.as_ref().map(record_of));
                self.lease = lease;
            }
            Err(fault) => {
                self.failed(&fault);
                self.elector.saw_nothing(now);
            }
        }
    }

    /// Writes a record. `leave` cuts it short, since whether it was done is read then anyway.
    async fn write(&mut self, record: Record, over: Option<Arc<str>>, leave: impl Future<Output = ()>) -> Written {
        let sent = self.cluster.clock.now();
        let before = self.lease.take().filter(|_| over.is_some());
        let lease = lease_of(before, &self.cluster.site.namespace, &record, over.as_deref(), sent);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let call = async {
            match over {
                None => self.leases.create(&params, &lease).await,
                Some(_) => self.leases.replace(LEASE, &params, &lease).await,
            }
        };
        let answer = tokio::select! {
            () = leave => Err(Fault::Unknown { why: "cut short, to leave".to_owned() }),
            answer = timeout(PROMPT, call) => {
                answer.map_err(|_| late()).and_then(|answer| answer.map_err(|error| Fault::of(&error)))
            }
        };
        let end = match answer {
            Ok(lease) => {
                self.succeeded();
                let done = Written::Done(record_of(&lease));
                self.lease = Some(lease);
                done
            }
            Err(Fault::Conflict { why }) => {
                debug!(error = why, "the Lease was written by somebody else");
                Written::Conflict
            }
            Err(Fault::Missing { why }) => {
                warn!(error = why, "the Lease is gone");
                Written::Missing
            }
            Err(fault @ Fault::Refused { .. }) => {
                self.failed(&fault);
                Written::Refused
            }
            Err(fault @ Fault::Unknown { .. }) => {
                self.failed(&fault);
                Written::Unknown
            }
        };
        self.elector.wrote(sent, self.cluster.clock.now(), end.clone(), fastrand::f64());
        end
    }

    fn failed(&mut self, fault: &Fault) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(error = %fault, lease = LEASE, "could not reach the Lease, trying again");
        }
    }

    fn succeeded(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            info!(lease = LEASE, "the Lease is within reach again");
        }
    }

    fn watch(&self) -> Sightings<Lease> {
        sightings(self.cluster.clock, self.leases.clone(), LEASE)
    }
}

/// Says who leads, if that is new. A renewal is.
fn publish(leadership: &watch::Sender<Leadership>, is: Leadership) {
    let epoch = |leadership: &Leadership| match leadership {
        Leadership::Leading { epoch, .. } => Some(*epoch),
        Leadership::Following => None,
    };
    leadership.send_if_modified(|was| {
        if epoch(was) != epoch(&is) {
            info!(from = ?epoch(was), to = ?epoch(&is), "leadership changed");
        }
        std::mem::replace(was, is) != is
    });
}

/// Ends when it is time to leave, and never if that is known already.
async fn cut(leave: &CancellationToken, left: bool) {
    if left { pending().await } else { leave.cancelled().await }
}

fn late() -> Fault {
    Fault::Unknown { why: format!("the API server did not answer within {PROMPT:?}") }
}

/// What a Lease says. Without a number that can be read, no leadership of it was ours.
fn record_of(lease: &Lease) -> Versioned {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let epoch = lease.metadata.annotations.as_ref().and_then(|annotations| annotations.get(EPOCH)?.parse().ok());
    let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
    Versioned { record: Record { holder: Arc::from(holder), epoch: epoch.unwrap_or(0) }, version: Arc::from(version) }
}

/// The Lease to write: as it was `before`, but for what a leadership says.
fn lease_of(before: Option<Lease>, namespace: &str, record: &Record, over: Option<&str>, now: Moment) -> Lease {
    let mut lease = before.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            labels: Some([(PART_OF.0.to_owned(), PART_OF.1.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    lease.metadata.name = Some(LEASE.to_owned());
    lease.metadata.namespace = Some(namespace.to_owned());
    lease.metadata.resource_version = over.map(str::to_owned);
    lease.metadata.annotations.get_or_insert_default().insert(EPOCH.to_owned(), record.epoch.to_string());
    let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
    let now =
        Timestamp::from_microsecond(i64::try_from(now.unix().as_micros()).unwrap_or(i64::MAX)).ok().map(MicroTime);
    let changes_hands = spec.holder_identity.as_deref().unwrap_or_default() != &*record.holder;
    if changes_hands && !record.holder.is_empty() {
        spec.acquire_time.clone_from(&now);
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    spec.holder_identity = Some(record.holder.to_string());
    spec.lease_duration_seconds = i32::try_from(Timing::ROUSE.lease.as_secs()).ok();
    spec.renew_time = now;
    lease
}

#[cfg(test)]
mod tests;
