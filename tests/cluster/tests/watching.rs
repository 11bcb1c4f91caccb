//! What the watches make of a real cluster, and how they come back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kubernetes::{Cluster, Program};
use platform::{Replica, ReplicaState, Revision};
use serde_json::json;
use units::{EndpointKey, RevisionKey};

use crate::leading::seen_by;

pub(crate) const TESTS: &[Test] = &[
    ("a_model_is_on_the_boards_as_it_runs_and_each_of_its_replicas_from_its_birth_to_its_end", lives),
    ("what_changes_after_the_api_server_was_away_is_known_within_five_seconds", heals),
];

/// A model that keeps one replica, with an endpoint before it, and who follows it.
struct Followed {
    cluster: Cluster,
    key: RevisionKey,
}

impl Followed {
    async fn new(ground: &Ground, namespace: &str) -> anyhow::Result<Self> {
        ground
            .kubectl(&["apply", "--server-side", "-k", concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds")])
            .await?;
        ground.namespace(namespace).await?;
        let annotations = json!({ "autoscaling.knative.dev/min-scale": "1" });
        let model =
            Model { annotations, replicas: Some(1), ..Model::new(namespace, "kept-v1").with_sidecar_by_hand(None) };
        ground.apply(&model.deployment()).await?;
        until("the kind of endpoints is served", async || ground.apply(&model.endpoint("kept")).await).await?;
        Ok(Self { cluster: seen_by(ground, "rouse", "follower").await?, key: RevisionKey::new(namespace, "kept-v1") })
    }

    fn revision(&self) -> anyhow::Result<Arc<Revision>> {
        self.cluster.catalogue().revisions.get(&self.key).context("it is not on the boards")
    }

    /// Its replica, if it has one alone, which is ready.
    fn replica(&self) -> anyhow::Result<Replica> {
        let revision = self.revision()?;
        let [replica] = &*revision.replicas else { anyhow::bail!("{:?}", revision.replicas) };
        ensure!(replica.state == ReplicaState::Ready, "{replica:?}");
        Ok(replica.clone())
    }

    /// Follows while `play` does something.
    async fn while_followed(&self, play: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::select! {
            end = self.cluster.follow(Program::Autoscaler) => match end? {},
            played = play => played,
        }
    }
}

/// Later tests see a cluster without it.
async fn gone(ground: &Ground, namespace: &str) -> anyhow::Result<()> {
    ground.kubectl(&["delete", "namespace", namespace, "--wait=false"]).await.map(drop)
}

fn lives(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let followed = Followed::new(&ground, "followed").await?;
        let played = followed.while_followed(async {
            let first = until("its replica is ready", async || followed.replica()).await?;
            let address = first.address.context("it has an address")?;
            ensure!(address.port() == 8013, "the sidecar's port, not {address}");
            ensure!(Some(first.created) <= first.spawned && first.spawned <= Some(first.since), "{first:?}");
            let revision = followed.revision()?;
            ensure!(revision.sidecars && revision.trouble.is_none(), "{revision:?}");
            let endpoint = followed.cluster.catalogue().endpoints.get(&EndpointKey::new("followed", "kept"));
            ensure!(endpoint.is_some(), "it is on the boards");

            let pods: Api<Pod> = Api::namespaced(ground.client(), "followed");
            pods.delete(&first.name, &DeleteParams::default()).await?;
            until("it is seen to leave", async || {
                let revision = followed.revision()?;
                let state = revision.replicas.iter().find(|replica| replica.name == first.name).map(|r| r.state);
                ensure!(state.is_none_or(|state| state == ReplicaState::Leaving), "{state:?}");
                Ok(())
            })
            .await?;
            let second = until("another is alone in its place", async || followed.replica()).await?;
            ensure!(second.name != first.name, "{second:?}");
            ensure!(first.since < second.created, "{first:?} {second:?}");
            ensure!(Some(second.created) <= second.spawned && second.spawned <= Some(second.since), "{second:?}");
            Ok(())
        });
        played.await?;
        gone(&ground, "followed").await
    })
}

fn heals(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let mut ground = stage.ground.write().await;
        let followed = Followed::new(&ground, "followed-on").await?;
        let played = followed.while_followed(async {
            let before = until("its replica is ready", async || followed.replica()).await?;
            ground.restart_apiserver(Duration::from_secs(4)).await?;
            ensure!(followed.replica()?.name == before.name, "what is known stays");
            let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
                Api::namespaced(ground.client(), "followed-on");
            let annotation = json!({ "metadata": { "annotations": { "rouse.dev/adopt": "true" } } });
            until("it can be changed", async || {
                Ok(deployments.patch("kept-v1", &PatchParams::default(), &Patch::Merge(&annotation)).await?)
            })
            .await?;
            let known = until("the change is known", async || {
                ensure!(followed.revision()?.adopted, "not yet");
                Ok(())
            });
            tokio::time::timeout(Duration::from_secs(5), known).await.context("five seconds passed")?
        });
        played.await?;
        gone(&ground, "followed-on").await
    })
}
