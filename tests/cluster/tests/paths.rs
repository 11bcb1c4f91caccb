//! Which way requests take, changed under them.

use anyhow::ensure;
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use serde_json::json;

use crate::zero::deploy;

pub(crate) const TESTS: &[Test] =
    &[("fifty_changes_of_the_path_under_load_lose_nothing_and_leave_nothing_behind", there_and_back)];

/// How often the path goes to direct and back.
const ROUNDS: usize = 25;

/// The managers of the slices behind a Service, and the selector of it.
async fn behind(ground: &Ground) -> anyhow::Result<(String, String)> {
    let label = "kubernetes.io/service-name=swift";
    let managers = "jsonpath={range .items[*]}{.metadata.labels.endpointslice\\.kubernetes\\.io/managed-by} {end}";
    let slices = ground.kubectl(&["-n", "paths", "get", "endpointslices", "-l", label, "-o", managers]).await?;
    let selector =
        ground.kubectl(&["-n", "paths", "get", "service", "swift", "-o", "jsonpath={.spec.selector}"]).await?;
    Ok((slices.trim().to_owned(), selector))
}

fn there_and_back(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model {
            replicas: Some(2),
            ..Model::new("paths", "swift-v1").with_sidecar().with(&["--service-time", "5ms"])
        };
        let mut endpoint = model.endpoint("swift");
        endpoint["spec"]["autoscaling"] =
            json!({ "target": 100, "minReplicas": 2, "targetBurstCapacity": 0, "window": "6s" });
        endpoint["spec"]["path"] = json!("proxied");
        let client = deploy(&ground, &model, &endpoint).await?;
        ground.available("paths", "swift-v1").await?;
        let clients = Clients::start(&client, 4);
        for round in 0..ROUNDS {
            for (path, wanted) in [("auto", "endpointslice-controller.k8s.io"), ("proxied", "rouse")] {
                endpoint["spec"]["path"] = json!(path);
                ground.apply(&endpoint).await?;
                until(&format!("round {round}: the path {path} is there alone"), async || {
                    let (slices, selector) = behind(&ground).await?;
                    ensure!(slices == wanted && selector.is_empty() == (path == "proxied"), "{slices} {selector}");
                    Ok(())
                })
                .await?;
            }
        }
        clients.end().await.all_good(1000)?;
        let left =
            ground.kubectl(&["-n", "paths", "get", "endpoints", "--ignore-not-found", "swift", "-o", "name"]).await?;
        ensure!(left.trim().is_empty(), "an Endpoints object is left: {left}");
        Ok(())
    })
}
