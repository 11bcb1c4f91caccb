//! Hosts and ports.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use serde_json::json;
use wired::Client;

use crate::zero::deploy;

pub(crate) const TESTS: &[Test] = &[
    ("on_an_endpoints_own_port_any_host_is_right_but_the_name_of_another_endpoint", own_port),
    ("a_tag_has_a_service_of_its_own_that_goes_with_it", tag),
];

async fn an_activators_address(ground: &Ground) -> anyhow::Result<std::net::IpAddr> {
    let pods = ground.pods("rouse", "app.kubernetes.io/component=activator").await?;
    let ready = pods.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    let address = ready.and_then(|pod| pod.status?.pod_ip).context("an activator with an address")?;
    Ok(address.parse()?)
}

fn own_port(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("addresses", "own-v1");
        deploy(&ground, &model, &model.endpoint("own")).await?;
        let neighbour = Model::new("addresses", "neighbour-v1");
        deploy(&ground, &neighbour, &neighbour.endpoint("neighbour")).await?;
        let port = ground
            .kubectl(&["-n", "addresses", "get", "mep", "own", "-o", "jsonpath={.status.activatorPort}"])
            .await?
            .parse()?;
        let activator = an_activators_address(&ground).await?;
        let asked_as =
            async |port: u16, host: &str| Client::that_asks(SocketAddr::new(activator, port), host).get("/").await;
        for host in ["anything.example.com", "own.addresses", "10.0.0.1", "own.addresses.svc.cluster.local"] {
            let answer = asked_as(port, host).await;
            ensure!(answer.status == 200 && answer.header("rouse-revision") == "own-v1", "{host}: {}", answer.status);
        }
        let misdirected = asked_as(port, "neighbour.addresses.svc").await;
        ensure!(misdirected.status == 421, "{}", misdirected.status);
        let shared = asked_as(8080, "neighbour.addresses.svc").await;
        ensure!(shared.status == 200 && shared.header("rouse-revision") == "neighbour-v1", "{}", shared.status);
        let unknown = asked_as(8080, "nobody.example.com").await;
        ensure!(unknown.status == 404 && unknown.header("rouse-reason") == "unknown-host", "{}", unknown.status);
        Ok(())
    })
}

fn tag(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let (old, new) = (Model::new("tags", "old-v1"), Model::new("tags", "new-v1"));
        ground.with_rouse().await?;
        ground.namespace("tags").await?;
        ground.apply(&new.deployment()).await?;
        let mut endpoint = old.endpoint("both");
        endpoint["spec"]["traffic"] = json!([
            { "revision": "old-v1", "percent": 100 },
            { "revision": "new-v1", "percent": 0, "tag": "candidate" },
        ]);
        let client = deploy(&ground, &old, &endpoint).await?;
        ensure!(client.get("/").await.header("rouse-revision") == "old-v1");
        let tagged = ground.client_of("tags", "candidate-both").await?;
        until("the tag's Service leads to its revision", async || {
            let answer = tagged.ask(tagged.request("/"), "").await.map_err(anyhow::Error::msg)?;
            ensure!(answer.header("rouse-revision") == "new-v1", "{} {:?}", answer.status, answer.headers);
            Ok(())
        })
        .await?;
        endpoint["spec"]["traffic"] = json!([{ "revision": "old-v1", "percent": 100 }]);
        ground.apply(&endpoint).await?;
        until("its Service is gone", async || {
            let left = ["-n", "tags", "get", "service", "candidate-both", "--ignore-not-found", "-o", "name"];
            let left = ground.kubectl(&left).await?;
            ensure!(left.trim().is_empty(), "{left}");
            Ok(())
        })
        .await?;
        ensure!(client.get("/").await.status == 200);
        Ok(())
    })
}
