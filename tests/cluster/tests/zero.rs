//! From zero and back, through the address that an endpoint has in the cluster.

use anyhow::ensure;
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use serde_json::{Value, json};
use wired::Client;

pub(crate) const TESTS: &[Test] = &[
    ("a_model_at_zero_is_woken_by_a_request_and_sleeps_again", wakes_and_sleeps),
    ("a_burst_at_zero_is_held_and_answered_by_as_many_replicas_as_it_needs", burst),
    ("two_namespaces_may_use_the_same_names", same_names),
];

/// Deploys a model with an endpoint before it, and waits until that is answered at all.
pub(crate) async fn deploy(ground: &Ground, model: &Model, endpoint: &Value) -> anyhow::Result<Client> {
    deploy_as(ground, &model.deployment(), endpoint).await
}

/// The same for a Deployment that was changed.
pub(crate) async fn deploy_as(ground: &Ground, deployment: &Value, endpoint: &Value) -> anyhow::Result<Client> {
    ground.with_rouse().await?;
    let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
    ground.namespace(namespace).await?;
    ground.apply(deployment).await?;
    ground.apply(endpoint).await?;
    let name = endpoint["metadata"]["name"].as_str().unwrap_or_default();
    let client = ground.client_of(namespace, name).await?;
    // Until its Service leads to an activator, a connection is refused.
    until(&format!("{name} answers"), async || {
        let answer = client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(())
    })
    .await?;
    Ok(client)
}

/// Waits until a Deployment has so many replicas.
pub(crate) async fn at(ground: &Ground, model: &Model, wanted: i32) -> anyhow::Result<()> {
    until(&format!("{} has {wanted} replicas", model.name), async || {
        let replicas = ground.replicas(&model.namespace, &model.name).await?;
        ensure!(replicas == wanted, "{replicas}");
        Ok(())
    })
    .await
}

fn wakes_and_sleeps(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("zero", "sleeper-v1");
        let client = deploy(&ground, &model, &model.endpoint("sleeper")).await?;
        at(&ground, &model, 0).await?;
        // At once: the last pod answers still, and is not to be asked any more.
        let answer = client.get("/").await;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        ensure!(answer.header("rouse-revision") == "sleeper-v1", "{:?}", answer.headers);
        ensure!(answer.timing("wake").is_some(), "{:?}", answer.headers);
        eprintln!("cluster: server-timing: {}", answer.header("server-timing"));
        at(&ground, &model, 0).await
    })
}

fn burst(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model =
            Model { limit: 2, ..Model::new("burst", "busy-v1").with_sidecar().with(&["--service-time", "200ms"]) };
        let mut endpoint = model.endpoint("busy");
        endpoint["spec"]["autoscaling"] = json!({ "target": 2, "maxReplicas": 6, "window": "6s" });
        let client = deploy(&ground, &model, &endpoint).await?;
        at(&ground, &model, 0).await?;
        let clients = Clients::start(&client, 10);
        at(&ground, &model, 6).await?;
        until("200 of each kind were asked", async || {
            ensure!(200 <= clients.begun(), "{}", clients.begun());
            Ok(())
        })
        .await?;
        clients.end().await.all_good(400)?;
        at(&ground, &model, 0).await
    })
}

fn same_names(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        for namespace in ["left", "right"] {
            let model = Model::new(namespace, "twin-v1");
            let client = deploy(&ground, &model, &model.endpoint("twin")).await?;
            ensure!(client.get("/").await.status == 200);
        }
        let hosts = async |namespace: &str| {
            ground.kubectl(&["-n", namespace, "get", "mep", "twin", "-o", "jsonpath={.status.activatorPort}"]).await
        };
        let (left, right) = (hosts("left").await?, hosts("right").await?);
        ensure!(!left.is_empty() && left != right, "own ports: {left} and {right}");
        Ok(())
    })
}
