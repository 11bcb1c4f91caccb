//! Keeps the authority: the leader does what the rule says next, and everyone takes what the Secret says.
//!
//! The Secret is written at the version that was read, so that of two who take themselves for the leader one does a step
//! and the other looks again. What comes of it (the bundle for everybody, and what activators show) is written before
//! its step counts as published, and looked at again every minute, so that what is taken away comes back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Resource};
use platform::Leadership;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use units::Moment;

use super::make::{self, ACTIVATOR};
use super::{Authority, Ledger, Step, Timing};
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::names::{EXPIRES, ROTATE, SIGNED_BY};
use crate::objects::Stamp;
use crate::sightings::sightings;
use crate::site::{ACTIVATOR_TLS, AUTHORITY, CA_BUNDLE, MANAGER, PART_OF, TRUST};
use crate::steward::time;

/// Between two looks at what was published.
const LOOK: Duration = Duration::from_secs(60);
/// After a try that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// A call that takes longer is given up, and done again where it is still wanted.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a program shows, and whom it believes: PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its certificate, then those that lead from it to older authorities.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// All authorities that are to be believed.
    pub authority: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Who signs now; `None` until that was read, or made. Changes with every step of a rotation.
    pub fn authority(&self) -> watch::Receiver<Option<Arc<Authority>>> {
        self.authority.subscribe()
    }

    /// Follows the authority's Secret for [`Self::authority`], and keeps it in order while this program leads.
    ///
    /// # Errors
    /// None today: what cannot be done is tried again.
    pub async fn keep_authority(
        &self,
        mut leadership: watch::Receiver<Leadership>,
        timing: Timing,
    ) -> anyhow::Result<Infallible> {
        let secrets: Api<Secret> = self.own();
        let mut seen = sightings(self.clock, secrets, AUTHORITY);
        let mut keeper = Keeper::new(self, timing);
        // Nothing is done before it is known what is there.
        let mut due = None;
        loop {
            let now = self.clock.now();
            let leads = matches!(*leadership.borrow_and_update(), Leadership::Leading { until, .. } if now < until);
            if leads && due.is_some_and(|due| due <= now) {
                due = Some(keeper.look().await);
                continue;
            }
            // What is due for who follows is due for the leader that it may become.
            let next = due.filter(|_| leads).unwrap_or_else(|| now.plus(LOOK));
            tokio::select! {
                Some(secret) = seen.next() => {
                    keeper.saw(secret);
                    due = Some(self.clock.now());
                }
                Ok(()) = leadership.changed() => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Follows what activators show to sidecars, and hands over each that is new.
    pub async fn follow_credentials(&self, mut told: impl FnMut(&Credentials)) -> Infallible {
        let secrets: Api<Secret> = self.own();
        let mut seen = sightings(self.clock, secrets, ACTIVATOR_TLS);
        let mut known = None;
        while let Some(secret) = seen.next().await {
            // What is gone is kept as it was: its maker makes it again.
            let Some(is) = secret.and_then(credentials) else { continue };
            if known.as_ref() != Some(&is) {
                told(&is);
                known = Some(is);
            }
        }
        std::future::pending().await
    }

    fn own<K: Resource<Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.patient.clone(), &self.site.namespace)
    }
}

fn credentials(secret: Secret) -> Option<Credentials> {
    let mut data = secret.data?;
    let mut take = |key: &str| data.remove(key).map(|ByteString(bytes)| bytes).filter(|bytes| !bytes.is_empty());
    Some(Credentials { certificate: take("tls.crt")?, key: take("tls.key")?, authority: take(CA_BUNDLE)? })
}

struct Keeper<'a> {
    cluster: &'a Cluster,
    timing: Timing,
    secret: Option<Secret>,
    /// What it says; `None` if that is not understood.
    ledger: Option<Ledger>,
    failing: bool,
}

impl<'a> Keeper<'a> {
    fn new(cluster: &'a Cluster, timing: Timing) -> Self {
        Self { cluster, timing, secret: None, ledger: None, failing: false }
    }

    /// The Secret is this now.
    fn saw(&mut self, secret: Option<Secret>) {
        self.ledger = match Ledger::of(secret.as_ref()) {
            Ok(ledger) => {
                self.tell(&ledger);
                Some(ledger)
            }
            Err(fault) => {
                self.failed(&fault);
                None
            }
        };
        self.secret = secret;
    }

    /// Has everyone in this program sign with it, if it is new. Who signed before goes on where nobody can now.
    fn tell(&self, ledger: &Ledger) {
        let known = self.cluster.authority.borrow().as_ref().map(|known| known.generation());
        if known == Some(ledger.generation) {
            return;
        }
        match Authority::of(ledger, self.cluster.clock.now(), self.timing) {
            Ok(Some(authority)) => drop(self.cluster.authority.send_replace(Some(Arc::new(authority)))),
            Ok(None) => {}
            Err(fault) => warn!(error = %fault, secret = AUTHORITY, "the authority cannot be used"),
        }
    }

    /// Does what is to be done, and says when to look again.
    async fn look(&mut self) -> Moment {
        match self.try_to().await {
            Ok(next) => {
                if std::mem::replace(&mut self.failing, false) {
                    info!(secret = AUTHORITY, "the authority is in order again");
                }
                next
            }
            // Somebody else wrote it: the watch brings it.
            Err(fault @ Fault::Conflict { .. }) => {
                debug!(error = %fault, secret = AUTHORITY, "written by somebody else");
                self.cluster.clock.now().plus(PAUSE)
            }
            Err(fault) => {
                self.failed(&fault);
                self.cluster.clock.now().plus(PAUSE)
            }
        }
    }

    fn failed(&mut self, fault: &Fault) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(error = %fault, secret = AUTHORITY, "the authority cannot be kept in order, trying again");
        }
    }

    async fn try_to(&mut self) -> Result<Moment, Fault> {
        // What is not understood is for a person to mend, and the watch tells of it.
        let Some(ledger) = self.ledger.clone() else { return Ok(self.cluster.clock.now().plus(LOOK)) };
        let now = self.cluster.clock.now();
        let asked = self.secret.as_ref().and_then(|secret| secret.metadata.annotations.as_ref()?.get(ROTATE).cloned());
        let step = ledger.next(asked.as_deref(), now, self.timing);
        if let Step::Wait(_) | Step::Publish = step {
            self.publish(&ledger).await?;
        }
        let (timing, make) = (self.timing, |before: Option<&super::Entry>| make::entry(before, now, self.timing));
        let next = match step {
            Step::Wait(until) => return Ok(until.min(now.plus(LOOK))),
            // Since when: once it was done.
            Step::Publish => ledger.after(step, asked.as_deref(), self.cluster.clock.now(), make)?,
            Step::Found | Step::Introduce | Step::Sign | Step::Forget => {
                ledger.after(step, asked.as_deref(), now, make)?
            }
        };
        // It must be of use before anybody is told of it.
        Authority::of(&next, now, timing)?;
        let before = self.secret.take();
        let secret = Secret {
            metadata: meta(AUTHORITY, self.cluster, before.as_ref().map(|before| &before.metadata)),
            data: Some(next.data()),
            ..before.clone().unwrap_or_default()
        };
        self.secret = before;
        let written = self.write(AUTHORITY, &secret).await?;
        match step {
            Step::Publish => debug!(generation = next.generation, "what is believed is where its readers look"),
            Step::Found => info!(authority = next.entries[0].name, "made Rouse's own authority"),
            Step::Introduce => info!("a new authority is believed beside the old one"),
            Step::Sign => info!("the new authority signs"),
            Step::Forget => info!("the old authority is not believed any more"),
            Step::Wait(_) => {}
        }
        self.saw(Some(written));
        Ok(self.cluster.clock.now())
    }

    /// Puts where their readers look: whom to believe, and what activators show.
    async fn publish(&self, ledger: &Ledger) -> Result<(), Fault> {
        let bundle = ledger.bundle();
        let is: Option<ConfigMap> = self.read(TRUST).await?;
        let said = is.as_ref().and_then(|map| map.data.as_ref()?.get(CA_BUNDLE));
        if said != Some(&bundle) {
            let map = ConfigMap {
                metadata: meta(TRUST, self.cluster, is.as_ref().map(|is| &is.metadata)),
                data: Some([(CA_BUNDLE.to_owned(), bundle.clone())].into()),
                ..ConfigMap::default()
            };
            self.write(TRUST, &map).await?;
        }
        self.publish_credentials(ledger, &bundle).await
    }

    async fn publish_credentials(&self, ledger: &Ledger, bundle: &str) -> Result<(), Fault> {
        let now = self.cluster.clock.now();
        let Some(signer) = ledger.signer(now) else { return Ok(()) };
        let Some(authority) = Authority::of(ledger, now, self.timing)? else { return Ok(()) };
        let is: Option<Secret> = self.read(ACTIVATOR_TLS).await?;
        let is_fresh = |secret: &Secret| {
            let said =
                |key: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
            let left = Stamp::said(said(EXPIRES)).moment.since(now);
            said(SIGNED_BY) == Some(&signer.name) && self.timing.leaf() - authority.renewal() < left
        };
        let shown = is.clone().filter(is_fresh).and_then(credentials);
        if shown.as_ref().is_some_and(|shown| shown.authority == bundle.as_bytes()) {
            return Ok(());
        }
        let mut metadata = meta(ACTIVATOR_TLS, self.cluster, is.as_ref().map(|is| &is.metadata));
        let (certificate, key) = match shown {
            Some(Credentials { certificate, key, .. }) => (certificate, key),
            None => {
                let leaf = authority.client(ACTIVATOR, now);
                let leaf = leaf.map_err(|error| Fault::Refused { why: format!("signing for activators: {error}") })?;
                let annotations = metadata.annotations.get_or_insert_default();
                annotations.insert(SIGNED_BY.to_owned(), signer.name.clone());
                annotations.insert(EXPIRES.to_owned(), time(leaf.expires));
                (leaf.certificate.into_bytes(), leaf.key.into_bytes())
            }
        };
        let data = [("tls.crt", certificate), ("tls.key", key), (CA_BUNDLE, bundle.as_bytes().to_vec())];
        let secret = Secret {
            metadata,
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data.into_iter().map(|(key, bytes)| (key.to_owned(), ByteString(bytes))).collect()),
            ..Secret::default()
        };
        self.write(ACTIVATOR_TLS, &secret).await.map(drop)
    }

    async fn read<K>(&self, name: &str) -> Result<Option<K>, Fault>
    where
        K: Own,
    {
        let own: Api<K> = self.cluster.own();
        in_time(async { own.get_opt(name).await }).await
    }

    /// Makes it, or puts it in the place of the version that its metadata names.
    async fn write<K>(&self, name: &str, object: &K) -> Result<K, Fault>
    where
        K: Own,
    {
        let own: Api<K> = self.cluster.own();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let is_new = object.meta().resource_version.is_none();
        in_time(async {
            if is_new { own.create(&params, object).await } else { own.replace(name, &params, object).await }
        })
        .await
    }
}

/// A kind of object in Rouse's namespace.
trait Own:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
{
}

impl Own for Secret {}
impl Own for ConfigMap {}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
    let answer = timeout(PATIENCE, call).await;
    let answer = answer.map_err(|_| Fault::Unknown { why: format!("no answer within {PATIENCE:?}") })?;
    answer.map_err(|error| Fault::of(&error))
}

/// As it was before, with its version, or new.
fn meta(name: &str, cluster: &Cluster, before: Option<&ObjectMeta>) -> ObjectMeta {
    let mut meta = before.cloned().unwrap_or_default();
    meta.managed_fields = None;
    meta.name = Some(name.to_owned());
    meta.namespace = Some(cluster.site.namespace.to_string());
    meta.labels.get_or_insert_default().insert(PART_OF.0.to_owned(), PART_OF.1.to_owned());
    meta
}

#[cfg(test)]
mod tests;
