//! InferenceServices in KServe's mode Standard: what its controller makes of them is written as it writes it.

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::kserve::{Inference, LABELS};
use cluster::suite::{Stage, Test};
use serde_json::{Value, json};
use wired::Client;

pub(crate) const TESTS: &[Test] = &[
    ("an_inference_service_is_watched_once_its_kind_is_installed", later),
    ("an_inference_service_is_woken_through_kserves_own_service_and_through_the_endpoint", woken),
];

/// Waits until an endpoint is answered, and gives a client of a Service.
async fn client(ground: &Ground, inference: &Inference, service: &str) -> anyhow::Result<Client> {
    let client = ground.client_of(&inference.namespace, service).await?.connecting_anew();
    until(&format!("{service} answers"), async || {
        let answer = client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(())
    })
    .await?;
    Ok(client)
}

/// Waits until what KServe has made has so many replicas.
async fn at(ground: &Ground, inference: &Inference, wanted: i32) -> anyhow::Result<()> {
    until(&format!("{} has {wanted} replicas", inference.made()), async || {
        let replicas = ground.replicas(&inference.namespace, &inference.made()).await?;
        ensure!(replicas == wanted, "{replicas}");
        Ok(())
    })
    .await
}

/// Waits until it is at zero, and nothing of it is left: the last pod answers for as long as KServe's Service names it.
async fn asleep(ground: &Ground, inference: &Inference) -> anyhow::Result<()> {
    at(ground, inference, 0).await?;
    until("its last pod is gone", async || {
        let pods = ground.pods(&inference.namespace, &format!("app=isvc.{}", inference.made())).await?;
        ensure!(pods.is_empty(), "{} pods", pods.len());
        Ok(())
    })
    .await
}

/// Objects of a kind with a label, in the namespace of an InferenceService.
async fn with_label(ground: &Ground, inference: &Inference, kinds: &str, label: &str) -> anyhow::Result<Vec<Value>> {
    let listed = ground.kubectl(&["-n", &inference.namespace, "get", kinds, "-l", label, "-o", "json"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    Ok(listed["items"].as_array().context("no list")?.clone())
}

/// The slices of ours behind what KServe calls it by.
async fn ours_behind(ground: &Ground, inference: &Inference) -> anyhow::Result<Vec<Value>> {
    let label = format!("kubernetes.io/service-name={},endpointslice.kubernetes.io/managed-by=rouse", inference.made());
    with_label(ground, inference, "endpointslices", &label).await
}

fn later(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        let early = Inference::new("before", "early");
        ground.infer(&early).await?;
        client(&ground, &early, "early").await?;
        Ok(())
    })
}

fn woken(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        ground.namespace("kserve").await?;
        let iris = Inference::new("kserve", "iris");
        ground.infer(&iris).await?;
        ground.apply(&iris.endpoint("flowers")).await?;
        let ours = client(&ground, &iris, "flowers").await?;
        let theirs = client(&ground, &iris, "iris-predictor").await?;
        for (by, client) in [("KServe's own Service", &theirs), ("the endpoint", &ours)] {
            asleep(&ground, &iris).await?;
            let answer = client.get("/").await;
            ensure!(answer.status == 200, "by {by}: {}: {}", answer.status, answer.text());
            ensure!(answer.header("rouse-revision") == "iris-predictor", "by {by}: {:?}", answer.headers);
            ensure!(answer.timing("wake").is_some(), "by {by}: {:?}", answer.headers);
            eprintln!("cluster: by {by}: server-timing: {}", answer.header("server-timing"));
        }
        at(&ground, &iris, 0).await?;
        survive(&ground, &iris).await
    })
}

/// What KServe's controller does in each round: it deletes every Deployment and Service with both its labels whose name it
/// does not expect.
async fn survive(ground: &Ground, inference: &Inference) -> anyhow::Result<()> {
    let both = format!("{}={},{}=predictor", LABELS[0], inference.name, LABELS[1]);
    for found in with_label(ground, inference, "deployments,services", &both).await? {
        let (kind, name) = (&found["kind"], &found["metadata"]["name"]);
        ensure!(*name == json!(inference.made()), "KServe would delete {kind} {name}");
    }
    let mut ours = with_label(ground, inference, "services", "app.kubernetes.io/managed-by=rouse").await?;
    let slices =
        with_label(ground, inference, "endpointslices", "endpointslice.kubernetes.io/managed-by=rouse").await?;
    ensure!(ours.len() == 1 && 2 <= slices.len(), "{} Services, {} slices", ours.len(), slices.len());
    ours.extend(slices);
    for object in ours {
        let labels = &object["metadata"]["labels"];
        ensure!(LABELS.iter().all(|label| labels.get(label).is_none()), "{}: {labels}", object["metadata"]["name"]);
    }
    ensure!(!ours_behind(ground, inference).await?.is_empty(), "nothing of ours is behind KServe's Service");
    Ok(())
}
