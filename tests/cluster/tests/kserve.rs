//! InferenceServices in KServe's mode Standard: what its controller makes of them is written as it writes it.

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::kserve::{Inference, LABELS};
use cluster::suite::{Stage, Test};
use serde_json::{Value, json};
use wired::Client;

use crate::leaving::rouse;

pub(crate) const TESTS: &[Test] = &[
    ("an_inference_service_is_watched_once_its_kind_is_installed", later),
    ("an_inference_service_is_woken_through_kserves_own_service_and_through_the_endpoint", woken),
    ("kserves_own_service_leads_past_rouse_only_while_the_endpoint_does", direct),
    ("a_stopped_inference_service_is_not_woken_and_says_why", stopped),
    ("kserves_own_scaling_is_not_fought_and_it_is_said_what_to_write", rivals),
];

/// Waits until an endpoint is answered, and gives a client of a Service.
pub(crate) async fn client(ground: &Ground, inference: &Inference, service: &str) -> anyhow::Result<Client> {
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
pub(crate) async fn asleep(ground: &Ground, inference: &Inference) -> anyhow::Result<()> {
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
        let asked = ["get", "--cluster", "revisions", "kserve/iris-predictor", "-o", "json"];
        let (is_good, said) = rouse(&ground, &asked).await?;
        ensure!(is_good && said.contains("\"source\": \"kserve\""), "no setting is said to be KServe's: {said}");
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

/// Waits until a condition of an endpoint is so and says this.
async fn says(ground: &Ground, namespace: &str, endpoint: &str, kind: &str, what: &[&str]) -> anyhow::Result<()> {
    until(&format!("{kind} of {endpoint} says {what:?}"), async || {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{kind}\")]}}");
        let said = ground.kubectl(&["-n", namespace, "get", "mep", endpoint, "-o", &path]).await?;
        ensure!(what.iter().all(|what| said.contains(what)), "{said}");
        Ok(())
    })
    .await
}

fn direct(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        ground.namespace("kserve-direct").await?;
        // KServe hands the label on to its pods, so that they get a sidecar.
        let iris = Inference {
            labels: json!({ "rouse.dev/inject": "true" }),
            predictor: json!({ "minReplicas": 1, "maxReplicas": 1, "containerConcurrency": 7 }),
            ..Inference::new("kserve-direct", "iris")
        }
        .with_setting("target-burst-capacity", "0");
        ground.infer(&iris).await?;
        let mut endpoint = iris.endpoint("flowers");
        endpoint["spec"]["path"] = json!("proxied");
        ground.apply(&endpoint).await?;
        client(&ground, &iris, "flowers").await?;
        until("ours is behind KServe's Service", async || {
            let ours = ours_behind(&ground, &iris).await?;
            ensure!(ours.iter().any(|slice| slice["endpoints"][0]["addresses"].is_array()), "{ours:?}");
            Ok(())
        })
        .await?;
        endpoint["spec"]["path"] = json!("auto");
        ground.apply(&endpoint).await?;
        says(&ground, "kserve-direct", "flowers", "RoutesReady", &["straight to the replicas"]).await?;
        ensure!(ours_behind(&ground, &iris).await?.is_empty(), "ours is still behind KServe's Service");
        says(
            &ground,
            "kserve-direct",
            "flowers",
            "Bypassed",
            &["KServe's own Service iris-predictor", "at zero it wakes"],
        )
        .await?;
        for service in ["flowers", "iris-predictor"] {
            client(&ground, &iris, service).await?;
        }
        endpoint["spec"]["path"] = json!("proxied");
        ground.apply(&endpoint).await?;
        says(&ground, "kserve-direct", "flowers", "RoutesReady", &["through the activators"]).await?;
        ensure!(!ours_behind(&ground, &iris).await?.is_empty(), "ours is not behind KServe's Service again");
        Ok(())
    })
}

fn stopped(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        ground.namespace("kserve-stopped").await?;
        let iris = Inference::new("kserve-stopped", "iris");
        ground.infer(&iris).await?;
        ground.apply(&iris.endpoint("flowers")).await?;
        let ours = client(&ground, &iris, "flowers").await?;
        asleep(&ground, &iris).await?;
        ground.apply(&iris.clone().annotated("stop", "true").object()).await?;
        says(&ground, "kserve-stopped", "flowers", "Ready", &["False", "is stopped", "serving.kserve.io/stop"]).await?;
        // KServe's controller has not come to it yet: there still is a Deployment that could be woken.
        let refused = ours.get("/").await;
        ensure!(refused.status == 503 && refused.header("rouse-reason") == "revision-missing", "{:?}", refused.headers);
        at(&ground, &iris, 0).await?;
        ground.kubectl(&["-n", "kserve-stopped", "delete", "deployment,service", "iris-predictor"]).await?;
        ensure!(ours.get("/").await.status == 503);
        until("nothing of ours is left behind KServe's Service", async || {
            let left = ours_behind(&ground, &iris).await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await?;
        // And when it is not stopped any more KServe makes both anew.
        ground.infer(&iris).await?;
        client(&ground, &iris, "flowers").await?;
        client(&ground, &iris, "iris-predictor").await?;
        Ok(())
    })
}

fn rivals(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        ground.namespace("kserve-rivals").await?;
        let iris = Inference::new("kserve-rivals", "iris");
        let none =
            Inference { predictor: json!({ "minReplicas": 2 }), ..iris.clone() }.annotated("autoscalerClass", "none");
        ground.infer(&none).await?;
        let mut endpoint = iris.endpoint("flowers");
        endpoint["metadata"]["annotations"] = json!({ "rouse.dev/adopt": "true" });
        ground.apply(&endpoint).await?;
        let says = async |what: &[&str]| says(&ground, "kserve-rivals", "flowers", "ScaleConflict", what).await;
        says(&["True", "autoscalerClass: none", "back to minReplicas", "autoscalerClass: external"]).await?;
        client(&ground, &iris, "flowers").await?;
        for class in ["keda", "hpa"] {
            ground.apply(&none.clone().annotated("autoscalerClass", class).object()).await?;
            says(&["True", &format!("autoscalerClass: {class}")]).await?;
        }
        ensure!(ground.replicas("kserve-rivals", "iris-predictor").await? == 2, "it was scaled all the same");
        ground.infer(&iris).await?;
        says(&["False"]).await?;
        at(&ground, &iris, 0).await
    })
}
