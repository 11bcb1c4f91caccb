//! Pods with their sidecar that end, or whose model begins anew, while clients of all kinds go on asking.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::{counted, until};
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::injection::says;
use crate::zero::{deploy, deploy_as};

pub(crate) const TESTS: &[Test] = &[
    ("pods_that_are_deleted_under_load_of_all_kinds_lose_nothing_and_close_what_has_no_end", deleted),
    ("a_model_that_its_liveness_probe_starts_anew_loses_nothing", restarted),
    ("before_a_hook_outlasts_the_grace_what_is_left_is_cut_and_it_is_counted_and_said", outlasting),
];

/// The way that requests are to take, and what the endpoint says of it.
pub(crate) const WAYS: [(&str, &str); 2] =
    [("auto", "straight to the replicas"), ("proxied", "through the activators")];

/// An endpoint whose replicas stay as many as they are.
pub(crate) fn steady(model: &Model, path: &str) -> Value {
    let mut endpoint = model.endpoint("worker");
    let replicas = model.replicas;
    endpoint["spec"]["autoscaling"] =
        json!({ "target": 100, "minReplicas": replicas, "maxReplicas": replicas, "targetBurstCapacity": 0 });
    endpoint["spec"]["path"] = json!(path);
    endpoint
}

/// The name of the pod of which the sidecar says that it has one of these.
async fn that_has(ground: &Ground, model: &Model, what: &str) -> anyhow::Result<String> {
    until(&format!("a pod has one {what}"), async || {
        for pod in ground.pods(&model.namespace, &format!("app={}", model.name)).await? {
            let stats: Value = serde_json::from_slice(&ground.client_of_pod(&pod, 8022)?.get("/stats").await.body)?;
            if stats[what] == 1 {
                return pod.metadata.name.context("no name");
            }
        }
        anyhow::bail!("none has")
    })
    .await
}

fn deleted(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let [direct, proxied] = WAYS.map(|(path, way)| deleted_on(&ground, path, way));
        tokio::try_join!(direct, proxied).map(drop)
    })
}

async fn deleted_on(ground: &Ground, path: &str, way: &str) -> anyhow::Result<()> {
    let namespace = format!("deleted-{path}");
    let worker = Model::new(&namespace, "worker-v1").with_sidecar().with(&["--service-time", "30ms"]);
    // Each class has 8 s of it: what the model itself needs in the end is kept.
    let model = Model { replicas: Some(2), grace_seconds: 18, ..worker };
    let client = deploy(ground, &model, &steady(&model, path)).await?;
    ground.available(&namespace, "worker-v1").await?;
    says(ground, &model, "worker", way).await?;

    let mut endless = client.web_socket().await.map_err(anyhow::Error::msg)?;
    let name = that_has(ground, &model, "upgraded").await?;
    let clients = Clients::of_all_kinds(&client, 4);
    ground.kubectl(&["-n", &namespace, "delete", "pod", &name, "--wait=false"]).await?;
    let told = Instant::now();
    let end = loop {
        if let Err(end) = wired::said(&mut endless, "still there?").await {
            break end;
        }
        ensure!(told.elapsed() < Duration::from_secs(60), "the WebSocket is still open");
        sleep(Duration::from_millis(100)).await;
    };
    let lasted = told.elapsed();
    eprintln!(
        "cluster: {path}: a WebSocket was closed {:.1} s after its pod was told to go: {end}",
        lasted.as_secs_f64()
    );
    ensure!((7..18).contains(&lasted.as_secs()), "closed after {lasted:?}");
    until(&format!("{name} is gone and another one is there"), async || {
        let pods = ground.pods(&namespace, "app=worker-v1").await?;
        let names: Vec<_> = pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        ensure!(pods.len() == 2 && !names.contains(&name.as_str()), "{names:?}");
        Ok(())
    })
    .await?;
    ground.available(&namespace, "worker-v1").await?;
    let ended = clients.end().await;
    eprintln!("cluster: {path}: {} requests of all kinds while a pod was deleted", ended.asked);
    ended.all_good(200)
}

fn restarted(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        // Behind activators alone is one enough: they hold what comes while it is away.
        let [(direct, straight), (proxied, through)] = WAYS;
        let both = (restarted_on(&ground, direct, straight, 2), restarted_on(&ground, proxied, through, 1));
        tokio::try_join!(both.0, both.1).map(drop)
    })
}

async fn restarted_on(ground: &Ground, path: &str, way: &str, replicas: u32) -> anyhow::Result<()> {
    let namespace = format!("restarted-{path}");
    let notes = tempfile::tempdir()?;
    let worker = Model::new(&namespace, "worker-v1").with_sidecar().with(&["--service-time", "30ms"]);
    let model = Model { replicas: Some(replicas), log: Some(notes.path().to_owned()), ..worker };
    let mut deployment = model.deployment();
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!("rouse.dev/abrupt");
    // Fails once: for who finds the file first.
    container["livenessProbe"] = json!({
        "exec": { "command": ["sh", "-c", "! rm /begun/sick 2> /dev/null"] }, "periodSeconds": 1, "failureThreshold": 1,
    });
    let client = deploy_as(ground, &deployment, &steady(&model, path)).await?;
    ground.available(&namespace, "worker-v1").await?;
    says(ground, &model, "worker", way).await?;

    let clients = Clients::of_all_kinds(&client, 4);
    until("the load has begun", async || {
        ensure!(20 < clients.begun());
        Ok(())
    })
    .await?;
    std::fs::write(notes.path().join("sick"), "")?;
    until("the model was started anew, and its pod is ready", async || {
        let restarts = restarts(&ground.pods(&namespace, "app=worker-v1").await?);
        ensure!(restarts.iter().any(|(container, times)| container == "model" && *times == 1), "{restarts:?}");
        Ok(())
    })
    .await?;
    ground.available(&namespace, "worker-v1").await?;
    let enough = clients.begun() + 50;
    until("requests are answered after it", async || {
        ensure!(enough <= clients.begun());
        Ok(())
    })
    .await?;
    let ended = clients.end().await;
    eprintln!("cluster: {path}: {} requests of all kinds while a model was started anew", ended.asked);
    ended.all_good(50)?;
    let restarts = restarts(&ground.pods(&namespace, "app=worker-v1").await?);
    ensure!(restarts.iter().map(|(_, times)| times).sum::<i32>() == 1, "more than one model began anew: {restarts:?}");
    ensure!(restarts.len() == 2 * replicas as usize, "a pod was replaced: {restarts:?}");
    Ok(())
}

/// How often each container of these pods has begun anew, sidecars too.
fn restarts(pods: &[Pod]) -> Vec<(String, i32)> {
    let of = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        status.container_statuses.into_iter().chain(status.init_container_statuses).flatten().collect::<Vec<_>>()
    };
    pods.iter().flat_map(of).map(|container| (container.name, container.restart_count)).collect()
}

fn outlasting(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        // Of its grace each class has 6 s, for the last 10 s are the model's own.
        let worker = Model::new("outlasting", "worker-v1").with_sidecar();
        let model = Model { replicas: Some(1), grace_seconds: 16, ..worker };
        let mut deployment = model.deployment();
        let hook = json!({ "preStop": { "exec": { "command": ["sleep", "60"] } } });
        deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = hook;
        let client = deploy_as(&ground, &deployment, &steady(&model, "auto")).await?;
        says(&ground, &model, "worker", "straight to the replicas").await?;
        let cuts = async || {
            let metrics = ground.metrics_of_leader().await?;
            counted(&metrics, "rouse_replica_cuts_total{class=\"streaming\"}").await
        };
        let before = cuts().await?;

        let endless = async { anyhow::Ok(client.ask(client.request("/events?n=0&every=100ms"), "").await) };
        let told = async {
            let name = that_has(&ground, &model, "inFlight").await?;
            ground.kubectl(&["-n", "outlasting", "delete", "pod", &name, "--wait=false"]).await?;
            anyhow::Ok((name, Instant::now()))
        };
        let (end, (name, told)) = tokio::try_join!(endless, told)?;
        let lasted = told.elapsed();
        let Err(end) = end else { anyhow::bail!("the stream ended as if it were whole") };
        eprintln!("cluster: a stream was cut {:.1} s after its pod was told to go: {end}", lasted.as_secs_f64());
        ensure!((5..16).contains(&lasted.as_secs()), "{lasted:?}");
        // By the sidecar, and not by the end of the pod.
        ground.container("outlasting", &name, "model").context("the model had to stay for its hook")?;
        until("it is said", async || {
            let said = ground.kubectl(&["-n", "outlasting", "logs", &name, "-c", "queue-proxy"]).await?;
            ensure!(said.contains("cut what had not ended in time"), "{said}");
            Ok(())
        })
        .await?;
        until("it is counted", async || {
            ensure!(cuts().await? == before + 1, "{before}, then {}", cuts().await?);
            Ok(())
        })
        .await
    })
}
