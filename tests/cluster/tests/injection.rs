//! Pods that get their sidecar as they are made, under the strictest standard of pod security, and what happens where the
//! webhook is not there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::taking_over::condition;

pub(crate) const TESTS: &[Test] = &[
    ("a_plain_deployment_with_the_label_has_a_sidecar_that_restricted_pod_security_takes", injected),
    ("a_pod_that_cannot_have_a_sidecar_starts_and_an_event_says_why", left_alone),
    ("with_a_startup_probe_or_an_exec_probe_a_replica_is_used_once_kubernetes_says_ready", kept_probes),
    ("without_the_webhook_pods_start_are_served_and_it_is_said", without),
];

const CONFIGURATION: &str = "mutatingwebhookconfiguration/rouse-webhook";

/// As a person deploys it who knows nothing of sidecars but the label, under the strictest standard of pod security.
fn restricted(model: &Model) -> Value {
    let mut deployment = model.deployment();
    deployment["spec"]["template"]["metadata"]["annotations"] = json!({});
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    });
    deployment
}

/// Waits until an endpoint says this of the way that its requests take.
pub(crate) async fn says(ground: &Ground, model: &Model, endpoint: &str, what: &str) -> anyhow::Result<()> {
    until(&format!("{endpoint} says: {what}"), async || {
        let (_, said) = condition(ground, model, endpoint, "RoutesReady").await?;
        ensure!(said.contains(what), "{said}");
        Ok(())
    })
    .await
}

async fn only_pod(ground: &Ground, model: &Model) -> anyhow::Result<Pod> {
    let pods = ground.pods(&model.namespace, &format!("app={}", model.name)).await?;
    ensure!(pods.len() == 1, "{} pods", pods.len());
    pods.into_iter().next().context("no pod")
}

fn injected(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("injected").await?;
        let strict = "pod-security.kubernetes.io/enforce=restricted";
        ground.kubectl(&["label", "namespace", "injected", strict]).await?;
        let model = Model::new("injected", "plain-v1").with_sidecar();
        ground.apply(&restricted(&model)).await?;
        let mut endpoint = model.endpoint("plain");
        endpoint["spec"]["autoscaling"] =
            json!({ "target": 100, "minReplicas": 1, "targetBurstCapacity": 0, "window": "6s" });
        ground.apply(&endpoint).await?;
        let client = ground.client_of("injected", "plain").await?;
        until("it answers", async || {
            let answer = client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            Ok(())
        })
        .await?;
        let pod = only_pod(&ground, &model).await?;
        let spec = pod.spec.context("no spec")?;
        let ours = spec.init_containers.iter().flatten().next().context("no init container")?;
        ensure!(ours.name == "queue-proxy" && ours.restart_policy.as_deref() == Some("Always"), "{ours:?}");
        let of_model = spec.containers.first().context("no container")?;
        ensure!(of_model.readiness_probe.is_none(), "the readiness probe did not move");
        let hook = of_model.lifecycle.as_ref().and_then(|it| it.pre_stop.as_ref()?.http_get.as_ref()?.path.as_deref());
        ensure!(hook == Some("/drained"), "{hook:?}");
        ensure!(spec.termination_grace_period_seconds == Some(315), "{:?}", spec.termination_grace_period_seconds);
        // Only with a sidecar that is connected and has its settings do requests go past the activators.
        says(&ground, &model, "plain", "straight to the replicas").await?;
        let answer = client.connecting_anew().get("/").await;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(())
    })
}

fn kept_probes(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        tokio::try_join!(kept_probe(&ground, "startup"), kept_probe(&ground, "readiness")).map(drop)
    })
}

/// A model that answers from the first moment on, and of which such a probe says for a while that it does not.
async fn kept_probe(ground: &Ground, kind: &str) -> anyhow::Result<()> {
    let namespace = format!("probed-by-{kind}");
    ground.namespace(&namespace).await?;
    let notes = tempfile::tempdir()?;
    let model = Model::new(&namespace, "slow-v1").with_sidecar();
    let model = Model { replicas: Some(1), log: Some(notes.path().to_owned()), ..model };
    let mut deployment = model.deployment();
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container[format!("{kind}Probe")] = json!({
        "exec": { "command": ["test", "-e", "/begun/good"] }, "periodSeconds": 1, "failureThreshold": 100,
    });
    ground.apply(&deployment).await?;
    let mut endpoint = model.endpoint("slow");
    endpoint["spec"]["autoscaling"] = json!({ "target": 10, "minReplicas": 1, "maxReplicas": 1 });
    ground.apply(&endpoint).await?;
    let client = ground.client_of(&namespace, "slow").await?;
    until("the sidecar says that the model answers", async || {
        let pod = only_pod(ground, &model).await?;
        let kept = pod.spec.as_ref().and_then(|spec| spec.containers.first().cloned()).context("no container")?;
        let probe = if kind == "startup" { kept.startup_probe } else { kept.readiness_probe };
        ensure!(probe.is_some_and(|probe| probe.exec.is_some()), "the {kind} probe is not where it was");
        let sidecar = ground.client_of_pod(&pod, 8022)?;
        let answer = sidecar.ask(sidecar.request("/readyz"), "").await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    })
    .await?;
    says(ground, &model, "slow", "through the activators").await?;
    let asked = client.ask(client.request("/").header("x-request-id", "early"), "");
    tokio::pin!(asked);
    if let Ok(answer) = timeout(Duration::from_secs(3), &mut asked).await {
        anyhow::bail!("used before its {kind} probe was good: {answer:?}");
    }
    std::fs::write(notes.path().join("good"), "")?;
    let answer = asked.await.map_err(anyhow::Error::msg)?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    // Its notes go with this test, and without them it is not ready any more: nobody is to wait for it.
    ground.kubectl(&["-n", &namespace, "delete", "mep,deployment", "--all"]).await?;
    Ok(())
}

fn left_alone(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("left-alone").await?;
        let model = Model { replicas: Some(1), ..Model::new("left-alone", "hosted-v1").with_sidecar() };
        let mut deployment = restricted(&model);
        deployment["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 8012 }]);
        ground.apply(&deployment).await?;
        until("the pod is there", async || only_pod(&ground, &model).await).await?;
        let pod = only_pod(&ground, &model).await?;
        ensure!(pod.spec.is_some_and(|spec| spec.init_containers.is_none()), "it has a sidecar");
        until("an Event says why", async || {
            let path = "jsonpath={.items[?(@.reason==\"SidecarLeftOut\")].message}";
            let said = ground.kubectl(&["-n", "left-alone", "get", "events", "-o", path]).await?;
            ensure!(said.contains("container model listens on 8012"), "{said}");
            Ok(())
        })
        .await?;
        ground.kubectl(&["-n", "left-alone", "delete", "deployment", "hosted-v1"]).await?;
        Ok(())
    })
}

fn without(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        // Alone: what it takes away others need.
        let ground = stage.ground.write().await;
        ground.with_rouse().await?;
        let lead_to = async |service: &str| {
            let patch = json!([{ "op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": service }]);
            ground.kubectl(&["patch", CONFIGURATION, "--type=json", "-p", &patch.to_string()]).await
        };
        lead_to("nobody").await?;
        let served = async {
            let model = Model::new("without", "bare-v1").with_sidecar();
            ground.namespace("without").await?;
            ground.apply(&restricted(&model)).await?;
            let client = deploy_endpoint(&ground, &model).await?;
            let answer = client.get("/").await;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            let pod = only_pod(&ground, &model).await?;
            ensure!(pod.spec.is_some_and(|spec| spec.init_containers.is_none()), "it has a sidecar");
            says(&ground, &model, "bare", "the webhook was not there when it was made").await
        };
        let served = served.await;
        lead_to("rouse-webhook").await?;
        served
    })
}

async fn deploy_endpoint(ground: &Ground, model: &Model) -> anyhow::Result<wired::Client> {
    let mut endpoint = model.endpoint("bare");
    // So that it is there long enough to be looked at.
    endpoint["spec"]["autoscaling"] = json!({ "target": 10, "minReplicas": 1 });
    ground.apply(&endpoint).await?;
    let client = ground.client_of(&model.namespace, "bare").await?;
    until("it answers", async || {
        let answer = client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(())
    })
    .await?;
    Ok(client)
}
