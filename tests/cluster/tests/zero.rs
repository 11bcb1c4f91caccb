//! From zero and back, through the address that an endpoint has in the cluster.

use anyhow::ensure;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[("a_model_at_zero_is_woken_by_a_request_and_sleeps_again", wakes_and_sleeps)];

fn wakes_and_sleeps(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("zero").await?;
        let model = Model::new("zero", "sleeper-v1");
        ground.apply(&model.deployment()).await?;
        ground.apply(&model.endpoint("sleeper")).await?;
        let client = ground.client_of("zero", "sleeper").await?;
        // Until its Service leads to an activator, a connection is refused.
        let answer =
            until("it answers", async || client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        ensure!(answer.header("rouse-revision") == "sleeper-v1", "{:?}", answer.headers);
        ensure!(ground.replicas("zero", "sleeper-v1").await? == 1);
        eprintln!("server-timing: {}", answer.header("server-timing"));
        until("it is at zero again", async || {
            let replicas = ground.replicas("zero", "sleeper-v1").await?;
            ensure!(replicas == 0, "{replicas}");
            Ok(())
        })
        .await?;
        let again = client.get("/").await;
        ensure!(again.status == 200, "{}: {}", again.status, again.text());
        Ok(())
    })
}
