//! Deployments that were there before, and others who write to them too.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpStream;
use wired::{Client, throughout};

use crate::zero::{at, deploy};

pub(crate) const TESTS: &[Test] = &[
    ("a_deployment_that_serves_already_keeps_its_replicas_until_it_is_asked_through_rouse", found),
    ("a_connection_past_the_sidecar_keeps_its_replica_until_it_ends", past_the_sidecar),
    ("replicas_that_are_applied_under_load_are_corrected", corrected),
    ("a_deployment_that_somebody_writes_all_the_time_is_scaled_all_the_same", restless),
    ("an_autoscaler_of_others_is_told_of_and_not_fought", not_fought),
    ("of_two_endpoints_with_one_deployment_the_older_has_it", older),
    ("a_revision_that_is_let_go_at_zero_is_raised", let_go),
];

/// Longer than a window and the grace.
const LONG: Duration = Duration::from_secs(12);

/// Whether a condition holds of an endpoint, and what it says.
pub(crate) async fn condition(
    ground: &Ground,
    model: &Model,
    endpoint: &str,
    kind: &str,
) -> anyhow::Result<(String, String)> {
    let of = async |field: &str| {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{kind}\")].{field}}}");
        ground.kubectl(&["-n", &model.namespace, "get", "mep", endpoint, "-o", &path]).await
    };
    Ok((of("status").await?, of("message").await?))
}

/// Waits until a condition holds, and gives what it says.
pub(crate) async fn holds(ground: &Ground, model: &Model, endpoint: &str, kind: &str) -> anyhow::Result<String> {
    until(&format!("{kind} holds of {endpoint}"), async || {
        let (status, message) = condition(ground, model, endpoint, kind).await?;
        ensure!(status == "True", "{status} {message}");
        Ok(message)
    })
    .await
}

fn found(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("found").await?;
        let model = Model { replicas: Some(2), ..Model::new("found", "serving-v1") };
        ground.apply(&model.deployment()).await?;
        ground.available("found", "serving-v1").await?;
        let others = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "found", "name": "theirs" },
            "spec": { "selector": { "app": "serving-v1" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        ground.apply(&others).await?;
        let theirs = ground.client_of("found", "theirs").await?;
        ground.apply(&model.endpoint("serving")).await?;
        let told = holds(&ground, &model, "serving", "Bypassed").await?;
        ensure!(told.contains("theirs"), "{told}");
        // Whoever does not wait for a first request has lowered it by then.
        let asked = throughout(LONG, "their clients are answered", async || {
            let status = theirs.get("/").await.status;
            if status == 200 { Ok(()) } else { Err(status.to_string()) }
        });
        tokio::join!(asked, ground.keeps("found", "serving-v1", 2, LONG));
        let ours = ground.client_of("found", "serving").await?;
        ensure!(ours.get("/").await.status == 200);
        until("it is lowered once it was asked through Rouse", async || {
            let replicas = ground.replicas("found", "serving-v1").await?;
            ensure!(replicas < 2, "{replicas}");
            Ok(())
        })
        .await
    })
}

fn past_the_sidecar(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("past", "visited-v1").with_sidecar();
        deploy(&ground, &model, &model.endpoint("visited")).await?;
        let pods = ground.pods("past", "app=visited-v1").await?;
        let address =
            pods.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone()).context("a pod has an address")?;
        let visit = TcpStream::connect((address, 8080)).await?;
        let told = holds(&ground, &model, "visited", "Bypassed").await?;
        ensure!(told.contains("visited-v1"), "{told}");
        ground.keeps("past", "visited-v1", 1, LONG).await;
        drop(visit);
        at(&ground, &model, 0).await
    })
}

fn corrected(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model =
            Model { limit: 4, ..Model::new("corrected", "steady-v1").with_sidecar().with(&["--service-time", "50ms"]) };
        let mut endpoint = model.endpoint("steady");
        endpoint["spec"]["autoscaling"] = json!({ "target": 4, "maxReplicas": 3, "window": "30s" });
        let client = deploy(&ground, &model, &endpoint).await?;
        let clients = Clients::start(&client, 8);
        at(&ground, &model, 3).await?;
        ground.available("corrected", "steady-v1").await?;
        ground.kubectl(&["-n", "corrected", "scale", "deployment", "steady-v1", "--replicas=1"]).await?;
        at(&ground, &model, 3).await?;
        clients.end().await.all_good(100)
    })
}

/// Of all that is ordered, most finds another version than was decided on: then what `scale` says is read, and the order
/// stands, since nobody but Rouse wrote `replicas`.
fn restless(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("restless", "annotated-v1");
        let mut endpoint = model.endpoint("annotated");
        deploy(&ground, &model, &endpoint).await?;
        let deployments: Api<Deployment> = Api::namespaced(ground.client(), "restless");
        let writing = async {
            for number in 0_u64.. {
                let patch = json!({ "metadata": { "annotations": { "somebody": number.to_string() } } });
                deployments.patch("annotated-v1", &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            Ok(())
        };
        let scaling = async {
            for replicas in 2..=8 {
                endpoint["spec"]["autoscaling"]["minReplicas"] = replicas.into();
                ground.apply(&endpoint).await?;
                at(&ground, &model, replicas).await?;
            }
            let audit = ground.audit()?;
            let reads = audit.iter().filter(|entry| {
                let of = &entry["objectRef"];
                entry["verb"] == "get" && of["subresource"] == "scale" && of["namespace"] == "restless"
            });
            ensure!(0 < reads.count(), "no order found another version than was decided on: nothing was shown");
            Ok(())
        };
        tokio::select! {
            end = writing => end,
            end = scaling => end,
        }
    })
}

fn not_fought(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("not-fought", "theirs-v1");
        let client: Client = deploy(&ground, &model, &model.endpoint("theirs")).await?;
        let hpa = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "namespace": "not-fought", "name": "another" },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs-v1" },
                "minReplicas": 2, "maxReplicas": 4,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } }],
            },
        });
        ground.apply(&hpa).await?;
        let told = holds(&ground, &model, "theirs", "ScaleConflict").await?;
        ensure!(told.contains("another"), "{told}");
        ground.kubectl(&["-n", "not-fought", "scale", "deployment", "theirs-v1", "--replicas=3"]).await?;
        let long = tokio::time::Instant::now() + Duration::from_secs(12);
        while tokio::time::Instant::now() < long {
            let replicas = ground.replicas("not-fought", "theirs-v1").await?;
            ensure!((2..=4).contains(&replicas), "{replicas}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ensure!(client.get("/").await.status == 200);
        Ok(())
    })
}

fn older(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("older", "one-v1");
        let first = deploy(&ground, &model, &model.endpoint("first")).await?;
        // Times of creation are whole seconds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        ground.apply(&model.endpoint("second")).await?;
        let told = holds(&ground, &model, "second", "RevisionTaken").await?;
        ensure!(told.contains("first") && told.contains("one-v1"), "{told}");
        ensure!(first.get("/").await.status == 200);
        Ok(())
    })
}

fn let_go(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("let-go", "former-v1");
        deploy(&ground, &model, &model.endpoint("former")).await?;
        at(&ground, &model, 0).await?;
        ground.kubectl(&["-n", "let-go", "delete", "mep", "former"]).await?;
        at(&ground, &model, 1).await
    })
}
