//! Orders for replicas, to a real Deployment with controllers that write its status.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use cluster::ground::Ground;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use platform::{Actuator, Leadership, Scale, ScaleError, ScaleOrder, ScaleVersion};
use serde_json::json;
use tokio::sync::watch;
use units::{ReplicaCount, RevisionKey};

use crate::leading::seen_by;

pub(crate) const TESTS: &[Test] = &[
    ("an_order_is_carried_out_although_status_was_written_since_it_was_decided", status_written),
    ("an_order_is_not_carried_out_when_somebody_else_wrote_replicas", replicas_written),
    ("zero_is_ordered_of_exactly_one_version", zero),
    ("an_order_is_for_one_deployment_and_no_other_of_its_name", another),
    ("a_refused_order_says_why", refused),
];

/// A Deployment of its own.
struct Stand {
    actuator: Arc<dyn Actuator>,
    deployments: Api<Deployment>,
    revision: RevisionKey,
}

impl Stand {
    async fn new(ground: &Ground, namespace: &str) -> anyhow::Result<Self> {
        ground.namespace(namespace).await?;
        ground.apply(&Model::new(namespace, "v1").deployment()).await?;
        let cluster = seen_by(ground, "rouse", "autoscaler").await?;
        Ok(Self {
            actuator: cluster.actuator(watch::Sender::new(Leadership::ALONE).subscribe()),
            deployments: Api::namespaced(ground.client(), namespace),
            revision: RevisionKey::new(namespace, "v1"),
        })
    }

    async fn read(&self) -> anyhow::Result<Scale> {
        Ok(self.actuator.read_scale(&self.revision).await?)
    }

    async fn order(&self, to: u32, expect: &ScaleVersion) -> Result<Scale, ScaleError> {
        let revision = self.revision.clone();
        let (to, expect) = (ReplicaCount(to), Some(expect.clone()));
        self.actuator.scale(ScaleOrder { revision, to, epoch: 1, expect, victims: Vec::new() }).await
    }

    /// As a controller does it.
    async fn write_status(&self) -> anyhow::Result<()> {
        let before = self.read().await?;
        let deployment = self.deployments.get("v1").await?;
        let count = deployment.status.and_then(|status| status.collision_count).unwrap_or(0);
        let status = Patch::Merge(json!({ "status": { "collisionCount": count + 1 } }));
        self.deployments.patch_status("v1", &PatchParams::default(), &status).await?;
        ensure!(self.read().await?.version != before.version, "it is another version now");
        Ok(())
    }

    /// As a person does it.
    async fn write_replicas(&self, replicas: u32) -> anyhow::Result<()> {
        let scale = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.deployments.patch_scale("v1", &PatchParams::default(), &scale).await?;
        Ok(())
    }
}

fn status_written(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "status-written").await?;
        let mut decided = stand.read().await?;
        for to in [1, 2, 1] {
            stand.write_status().await?;
            let now = stand.order(to, &decided.version).await?;
            ensure!(now.replicas == ReplicaCount(to), "{now:?}");
            // What the controllers write of the order itself comes in between too.
            decided = now;
        }
        Ok(())
    })
}

fn replicas_written(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "replicas-written").await?;
        let decided = stand.read().await?;
        stand.write_replicas(2).await?;
        match stand.order(1, &decided.version).await {
            Err(ScaleError::Conflict { now }) => ensure!(now.replicas == ReplicaCount(2), "{now:?}"),
            other => bail!("{other:?}"),
        }
        ensure!(stand.read().await?.replicas == ReplicaCount(2), "it is as it was written");
        Ok(())
    })
}

fn zero(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "zero").await?;
        let sealed = stand.order(1, &stand.read().await?.version).await?;
        stand.write_status().await?;
        let end = stand.order(0, &sealed.version).await;
        ensure!(matches!(end, Err(ScaleError::Conflict { .. })), "{end:?}");
        // The controllers may write status at any time, so it may take several.
        for _ in 0..100 {
            match stand.order(0, &stand.read().await?.version).await {
                Ok(now) => {
                    ensure!(now.replicas == ReplicaCount::ZERO, "{now:?}");
                    return Ok(());
                }
                Err(ScaleError::Conflict { .. }) => {}
                Err(error) => bail!(error),
            }
        }
        bail!("it never came to zero")
    })
}

fn another(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "another").await?;
        let decided = stand.read().await?;
        stand.deployments.delete("v1", &DeleteParams::default()).await?;
        let end = stand.order(1, &decided.version).await;
        ensure!(end == Err(ScaleError::Gone), "{end:?}");
        ground.apply(&Model::new("another", "v1").deployment()).await?;
        let end = stand.order(1, &decided.version).await;
        ensure!(matches!(end, Err(ScaleError::Conflict { .. })), "{end:?}");
        // Nor if only the UID tells.
        let now = stand.read().await?;
        let (_, rest) = now.version.0.split_once('/').context("parts")?;
        let mixed = ScaleVersion(format!("5f0c7f1e-0000-4000-8000-000000000000/{rest}").into());
        let end = stand.order(1, &mixed).await;
        ensure!(matches!(end, Err(ScaleError::Conflict { .. })), "{end:?}");
        Ok(())
    })
}

fn refused(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "refused").await?;
        let too_many = u32::try_from(i64::from(i32::MAX) + 1)?;
        match stand.order(too_many, &stand.read().await?.version).await {
            Err(ScaleError::Refused { why }) => ensure!(!why.is_empty(), "it says why"),
            other => bail!("{other:?}"),
        }
        Ok(())
    })
}
