//! Orders for replicas: the merge patch of `Deployment/scale`, and what its answers mean.
//!
//! A call ends within [`PROMPT`] whatever happens, and nothing is tried again but what was refused for the sake of its
//! version alone. Which replicas to take first on the way down is said in their pods, see `victims`.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale as ScaleObject;
use kube::Api;
use kube::api::{Patch, PatchParams};
use platform::{Scale, ScaleError, ScaleOrder};
use serde_json::json;
use tokio::time::timeout;
use units::{ReplicaCount, RevisionKey};

use crate::actuator::Hands;
use crate::cluster::PROMPT;
use crate::fault::Fault;
use crate::names::{VersionParts, scale_version};
use crate::site::MANAGER;

impl Hands {
    /// Orders replicas. Ends within [`PROMPT`].
    pub(crate) async fn order_scale(&self, order: ScaleOrder) -> Result<Scale, ScaleError> {
        timeout(PROMPT, self.patch_scale(&order)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Reads what `scale` says now. Ends within [`PROMPT`].
    pub(crate) async fn ask_scale(&self, revision: &RevisionKey) -> Result<Scale, ScaleError> {
        timeout(PROMPT, self.read_scale_object(revision)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn patch_scale(&self, order: &ScaleOrder) -> Result<Scale, ScaleError> {
        if order.to.is_zero() && order.expect.is_none() {
            return Err(ScaleError::Refused {
                why: "zero was ordered without the version it was decided on".to_owned(),
            });
        }
        let restraint = self.cluster.world.restraint(&order.revision);
        if let Some(why) = restraint.and_then(|restraint| restraint.forbids(order)) {
            return Err(ScaleError::Refused { why });
        }
        self.mark_victims(order).await;
        let deployments = self.deployments(&order.revision);
        let mut patch = patch_of(order, None)?;
        loop {
            if !self.may_write(order.epoch) {
                return Err(ScaleError::NotLeading);
            }
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let answer = deployments.patch_scale(&order.revision.name, &params, &Patch::Merge(&patch)).await;
            match answer.map_err(|error| Fault::of(&error)) {
                Ok(object) => return scale_of(&object),
                Err(Fault::Conflict { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
            let now = self.read_scale_object(&order.revision).await?;
            if !stands(order, &now) {
                return Err(ScaleError::Conflict { now });
            }
            patch = patch_of(order, Some(&now))?;
        }
    }

    async fn read_scale_object(&self, revision: &RevisionKey) -> Result<Scale, ScaleError> {
        let object = self.deployments(revision).get_scale(&revision.name).await;
        scale_of(&object.map_err(|error| Fault::of(&error))?)
    }

    fn deployments(&self, revision: &RevisionKey) -> Api<Deployment> {
        Api::namespaced(self.cluster.prompt.clone(), &revision.namespace)
    }
}

/// Does an order still stand although its version is not current any more?
///
/// The version changes with each write of the Deployment's status too, of which there are many while it scales: they are
/// not to hold an order up. If identity and replicas are what the order was decided on, it was such a write, or one of
/// the template or of annotations; and neither changes how many there should be. But an order for zero rests on what was
/// promised for exactly that version, by everybody who was there then, so it stands for no other.
fn stands(order: &ScaleOrder, now: &Scale) -> bool {
    let expected = order.expect.as_ref().and_then(VersionParts::of);
    let (Some(expected), Some(current)) = (expected, VersionParts::of(&now.version)) else { return false };
    !order.to.is_zero() && expected.uid == current.uid && expected.replicas == current.replicas
}

/// The patch that carries an order out, if `scale` is still at the version that it expects; or at `read`, if it has been
/// read anew since.
fn patch_of(order: &ScaleOrder, read: Option<&Scale>) -> Result<serde_json::Value, ScaleError> {
    let replicas = order.to.0;
    let Some(version) = read.map(|scale| &scale.version).or(order.expect.as_ref()) else {
        return Ok(json!({ "spec": { "replicas": replicas } }));
    };
    let parts = VersionParts::of(version);
    let parts =
        parts.ok_or_else(|| ScaleError::Refused { why: format!("{:?} is no version of a scale", version.0) })?;
    Ok(json!({
        "metadata": { "uid": parts.uid, "resourceVersion": parts.resource_version },
        "spec": { "replicas": replicas },
    }))
}

fn scale_of(object: &ScaleObject) -> Result<Scale, ScaleError> {
    let (Some(uid), Some(version)) = (&object.metadata.uid, &object.metadata.resource_version) else {
        return Err(ScaleError::Unknown { why: "the API server answered a scale without UID or version".to_owned() });
    };
    // At zero the field is left out.
    let replicas = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    let replicas = ReplicaCount(u32::try_from(replicas).unwrap_or(0));
    Ok(Scale { replicas, version: scale_version(uid, version, replicas) })
}

fn late() -> ScaleError {
    ScaleError::Unknown { why: format!("the API server did not answer within {PROMPT:?}") }
}

impl From<Fault> for ScaleError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing { .. } => Self::Gone,
            Fault::Conflict { why } | Fault::Refused { why } => Self::Refused { why },
            Fault::Unknown { why } => Self::Unknown { why },
        }
    }
}

mod victims;

#[cfg(test)]
mod tests;
