//! When there are to be fewer: who goes.

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::zero::{at, deploy};

pub(crate) const TESTS: &[Test] = &[("the_idlest_go_first_and_a_stream_stays_with_its_replica", idlest)];

/// Pods that stay, the newest last.
async fn staying(ground: &Ground, model: &Model) -> anyhow::Result<Vec<Pod>> {
    let mut pods = ground.pods(&model.namespace, &format!("app={}", model.name)).await?;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|time| time.0));
    Ok(pods)
}

/// What a pod's sidecar has in flight.
async fn in_flight(ground: &Ground, pod: &Pod) -> anyhow::Result<u64> {
    let stats: Value = serde_json::from_slice(&ground.client_of_pod(pod, 8022)?.get("/stats").await.body)?;
    stats["inFlight"].as_u64().with_context(|| format!("{stats}"))
}

fn idlest(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("idlest", "picked-v1").with_sidecar();
        let mut endpoint = model.endpoint("picked");
        endpoint["spec"]["autoscaling"] =
            json!({ "target": 1, "targetUtilizationPercentage": 100, "maxReplicas": 3, "window": "6s" });
        let client = deploy(&ground, &model, &endpoint).await?;
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(client.open("/events?n=0&every=100ms").await);
        }
        at(&ground, &model, 3).await?;
        ground.available(&model.namespace, &model.name).await?;
        // The newest is whom a ReplicaSet takes first by itself: it is given a stream, and all others end.
        let newest = staying(&ground, &model).await?.pop().context("there are three")?;
        let before = in_flight(&ground, &newest).await?;
        for _ in 0..100 {
            streams.push(client.open("/events?n=0&every=100ms").await);
            if before < in_flight(&ground, &newest).await? {
                break;
            }
        }
        ensure!(before < in_flight(&ground, &newest).await?, "none of a hundred came to the newest");
        streams.drain(..streams.len() - 1);
        at(&ground, &model, 1).await?;
        let pods = until("one stays", async || {
            let pods = staying(&ground, &model).await?;
            ensure!(pods.len() == 1, "{} stay", pods.len());
            Ok(pods)
        })
        .await?;
        let names: Vec<_> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        let newest = newest.metadata.name.context("a name")?;
        ensure!(names == [newest.as_str()], "{names:?} stays, and the stream is with {newest}");
        let costs = pods.iter().filter_map(|pod| pod.metadata.annotations.as_ref());
        let costs: Vec<_> = costs.filter_map(|all| all.get("controller.kubernetes.io/pod-deletion-cost")).collect();
        ensure!(costs.is_empty(), "who stays costs what others do, not {costs:?}");
        Ok(())
    })
}
