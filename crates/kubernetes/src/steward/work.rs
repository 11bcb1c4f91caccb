//! One thing that is to be done: a call to the API server, and what is said where it fails.

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, Preconditions,
};
use platform::Actuator;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use units::{EndpointKey, RevisionKey};

use super::lanes::{Kind, Subject};
use super::needs::Needs;
use super::release::{self, End, Record};
use super::status;
use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::names::ADOPTED_DOMAIN;
use crate::objects::EndpointObject;
use crate::route::shapes::{service_of, service_ports};
use crate::site::{MANAGER, REVISIONS};

/// A call that takes longer is given up, and done again where it is still wanted.
const PATIENCE: Duration = Duration::from_secs(5);

/// A name in the part of an annotation's key after the slash may be so long.
const LONGEST_IN_A_KEY: usize = 63;

/// Something to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Makes a Service.
    Create { key: EndpointKey, service: Box<Service> },
    /// Gives a Service the ports that its endpoint says.
    Reshape { key: EndpointKey, name: String, patch: Value },
    /// Takes away a Service of a tag that is gone.
    Delete { key: EndpointKey, name: String, uid: Arc<str> },
    /// Takes away a slice of ours behind a Service of KServe's that the endpoint has no more to do with.
    DeleteSlice { key: EndpointKey, name: Arc<str> },
    /// Writes a status.
    Status { key: EndpointKey, patch: Value },
    /// Writes down that revisions are adopted.
    Adopt { key: EndpointKey, patch: Value },
    /// Tells of a change.
    Tell { event: Box<Event> },
    /// Raises a revision that nobody names any more, if it is at zero.
    Raise { revision: RevisionKey, epoch: u64 },
    /// Reads the record of what was named.
    Recall { epoch: u64 },
    /// Writes it.
    Record { record: Record },
}

impl Work {
    pub(super) fn of_services(key: &EndpointKey, object: &EndpointObject, needs: Needs) -> Vec<Self> {
        let Ok(spec) = &object.spec else { return Vec::new() };
        let create =
            |name: &String| Self::Create { key: key.clone(), service: Box::new(service_of(spec, &object.uid, name)) };
        let reshape = |name: String| Self::Reshape {
            key: key.clone(),
            name,
            // A merge patch, so that the whole list is as it is said here.
            patch: json!({ "spec": { "ports": service_ports(spec) } }),
        };
        let delete = |(name, uid)| Self::Delete { key: key.clone(), name, uid };
        let created = needs.missing.iter().map(create);
        created
            .chain(needs.outdated.into_iter().map(reshape))
            .chain(needs.superfluous.into_iter().map(delete))
            .chain(needs.superfluous_slices.into_iter().map(|name| Self::DeleteSlice { key: key.clone(), name }))
            .collect()
    }

    pub(super) fn status(key: &EndpointKey, object: &EndpointObject, status: &Status) -> Self {
        Self::Status { key: key.clone(), patch: status::patch(&object.uid, status) }
    }

    /// `adopted`: revisions of which it is to be written down. What stands there of others is taken out: a revision that
    /// comes back is found anew.
    pub(super) fn adoption(
        key: &EndpointKey,
        object: &EndpointObject,
        spec: &api::ModelEndpoint,
        adopted: &[&str],
    ) -> Option<Self> {
        let name = |revision: &str| format!("{ADOPTED_DOMAIN}/{revision}");
        let fits = |revision: &&&str| revision.len() <= LONGEST_IN_A_KEY;
        let new = adopted.iter().filter(fits).map(|revision| name(revision));
        let new =
            new.filter(|name| !object.annotations.contains_key(name.as_str())).map(|name| (name, Value::from("true")));
        let is_named = |key: &str| spec.targets().any(|target| key == name(&target.revision));
        let old = object.annotations.keys().filter(|key| key.starts_with(ADOPTED_DOMAIN) && !is_named(key));
        let old = old.map(|key| (key.to_string(), Value::Null));
        let annotations: serde_json::Map<String, Value> = new.chain(old).collect();
        if annotations.is_empty() {
            return None;
        }
        let patch = json!({ "metadata": { "uid": &*object.uid, "annotations": annotations } });
        Some(Self::Adopt { key: key.clone(), patch })
    }

    /// What nothing else is begun about meanwhile.
    pub(super) fn subject(&self) -> Option<Subject> {
        match self {
            Self::Create { key, .. }
            | Self::Reshape { key, .. }
            | Self::Delete { key, .. }
            | Self::DeleteSlice { key, .. } => Some(Subject::Endpoint(key.clone())),
            Self::Status { key, .. } | Self::Adopt { key, .. } => Some(Subject::Endpoint(key.clone())),
            Self::Raise { .. } | Self::Recall { .. } | Self::Record { .. } => Some(Subject::Releases),
            // Nothing is found by looking that would tell of it again.
            Self::Tell { .. } => None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if matches!(self, Self::Create { .. }) { Kind::Service } else { Kind::Other }
    }

    /// Is it found again, while it is not seen to be done?
    pub(super) fn is_tried_again(&self) -> bool {
        match self {
            Self::Create { .. } | Self::Reshape { .. } | Self::Delete { .. } => true,
            Self::DeleteSlice { .. } | Self::Adopt { .. } => true,
            // These two have a pause of their own, and the others are done once.
            Self::Status { .. } | Self::Tell { .. } | Self::Raise { .. } => false,
            Self::Recall { .. } | Self::Record { .. } => false,
        }
    }

    /// Does it, and says so if it cannot be done. Returns what nobody would find by looking.
    pub(super) async fn run(self, cluster: &Cluster, hands: &dyn Actuator) -> Option<End> {
        let what = self.words();
        let failed = match &self {
            Self::Raise { revision, .. } => Some(End::NotRaised(revision.clone())),
            Self::Record { .. } => Some(End::NotRecorded),
            _ => None,
        };
        let done = timeout(PATIENCE, self.attempt(cluster, hands)).await;
        match done.unwrap_or_else(|_| Err(Fault::Unknown { why: format!("no answer within {PATIENCE:?}") })) {
            Ok(end) => end,
            // What it was about has gone, or has changed: what is wanted now is found at the next look.
            Err(fault @ (Fault::Missing { .. } | Fault::Conflict { .. })) => {
                debug!(error = %fault, "{what} came to nothing");
                failed
            }
            Err(fault) => {
                warn!(error = %fault, "{what} failed, trying again");
                failed
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Create { key, service } => {
                format!("making Service {} of {key}", service.metadata.name.as_deref().unwrap_or_default())
            }
            Self::Reshape { key, name, .. } => format!("changing the ports of Service {name} of {key}"),
            Self::Delete { key, name, .. } => format!("deleting Service {name} of {key}"),
            Self::DeleteSlice { key, name } => format!("deleting EndpointSlice {name} of {key}"),
            Self::Status { key, .. } => format!("writing the status of {key}"),
            Self::Adopt { key, .. } => format!("writing down what is adopted of {key}"),
            Self::Tell { event } => format!("an Event {}", event.reason.as_deref().unwrap_or_default()),
            Self::Raise { revision, .. } => format!("raising {revision}, which no endpoint names any more,"),
            Self::Recall { .. } => format!("reading ConfigMap {REVISIONS}"),
            Self::Record { .. } => format!("writing ConfigMap {REVISIONS}"),
        }
    }

    async fn attempt(self, cluster: &Cluster, hands: &dyn Actuator) -> Result<Option<End>, Fault> {
        let client = || cluster.patient.clone();
        let patching = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let posting = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let done = match self {
            Self::Create { key, service } => {
                let made = Api::namespaced(client(), &key.namespace).create(&posting, &*service).await;
                made.map(|_| info!(endpoint = %key, service = service.metadata.name, "made a Service"))
            }
            Self::Reshape { key, name, patch } => {
                let services: Api<Service> = Api::namespaced(client(), &key.namespace);
                services.patch(&name, &patching, &Patch::Merge(&patch)).await.map(drop)
            }
            Self::Delete { key, name, uid } => {
                let preconditions = Some(Preconditions { uid: Some(uid.to_string()), resource_version: None });
                let deleting = DeleteParams { preconditions, ..DeleteParams::default() };
                let services: Api<Service> = Api::namespaced(client(), &key.namespace);
                services
                    .delete(&name, &deleting)
                    .await
                    .map(|_| info!(endpoint = %key, service = name, "deleted a Service"))
            }
            Self::DeleteSlice { key, name } => {
                let slices: Api<EndpointSlice> = Api::namespaced(client(), &key.namespace);
                let deleted = slices.delete(&name, &DeleteParams::default()).await;
                deleted.map(|_| info!(endpoint = %key, slice = &*name, "deleted a slice behind a Service of KServe's"))
            }
            Self::Status { key, patch } => {
                let all = endpoints(client(), &key.namespace);
                all.patch_status(&key.name, &patching, &Patch::Merge(&patch)).await.map(drop)
            }
            Self::Adopt { key, patch } => {
                endpoints(client(), &key.namespace).patch(&key.name, &patching, &Patch::Merge(&patch)).await.map(drop)
            }
            Self::Tell { event } => {
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                Api::namespaced(client(), &namespace).create(&posting, &*event).await.map(drop)
            }
            Self::Raise { revision, epoch } => {
                return release::raise(cluster, hands, &revision, epoch).await.map(|()| None);
            }
            Self::Recall { epoch } => {
                let record = release::recall(cluster).await?;
                return Ok(Some(End::Recalled { epoch, record }));
            }
            Self::Record { record } => return release::record(cluster, &record).await.map(|()| None),
        };
        done.map(|()| None).map_err(|error| Fault::of(&error))
    }
}

/// The endpoints of a namespace, as far as they are written here.
fn endpoints(client: kube::Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("rouse.dev", "v1alpha1", "ModelEndpoint");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk_with_plural(&kind, "modelendpoints"))
}
