//! The ground itself: what Kubernetes does by itself is what one knows of it.

use std::time::Duration;

use tokio::time::Instant;

use anyhow::Context as _;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use wired::Client;

pub(crate) const TESTS: &[Test] = &[("a_deployment_that_is_scaled_from_zero_answers_through_its_service", answers)];

fn answers(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("ground").await?;
        let model = Model::new("ground", "plain");
        ground.apply(&model.deployment()).await?;
        let service = json!({
            "metadata": { "name": "plain" },
            "spec": { "selector": { "app": "plain" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        let services: Api<Service> = Api::namespaced(ground.client(), "ground");
        let service = services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("an address")?;
        let begun = Instant::now();
        let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(ground.client(), "ground");
        deployments
            .patch_scale("plain", &PatchParams::default(), &Patch::Merge(json!({ "spec": { "replicas": 1 } })))
            .await?;
        let client = Client::that_asks(format!("{address}:80").parse()?, "plain").connecting_anew();
        let deadline = begun + Duration::from_secs(60);
        while client.ask(client.request("/"), "").await.is_err() {
            anyhow::ensure!(Instant::now() < deadline, "no answer in a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eprintln!("from the order to the first answer: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    })
}
