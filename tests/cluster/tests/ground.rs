//! The ground itself: what Kubernetes does by itself is what one knows of it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
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
        let address: SocketAddr = format!("{address}:80").parse()?;
        // Before kube-proxy knows of it nobody would answer, not even with a refusal.
        until("an empty Service refuses", async || {
            let tried = timeout(Duration::from_millis(200), TcpStream::connect(address)).await;
            let is_refused = matches!(&tried, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused);
            ensure!(is_refused, "{tried:?}");
            Ok(())
        })
        .await?;

        let begun = Instant::now();
        let deployments: Api<Deployment> = Api::namespaced(ground.client(), "ground");
        let one = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
        deployments.patch_scale("plain", &PatchParams::default(), &one).await?;
        let client = Client::that_asks(address, "plain").connecting_anew();
        let ask = async || client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg);
        let answer = until("it answers", ask).await?;
        ensure!(answer.status == 200, "{}", answer.text());
        eprintln!("from the order to the first answer: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    })
}
