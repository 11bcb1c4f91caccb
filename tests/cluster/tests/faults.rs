//! What happens to requests while a part of Rouse, or of Kubernetes, is gone.

use std::time::Duration;

use anyhow::ensure;
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::pods::Leader;
use cluster::suite::{Stage, Test};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::zero::deploy;

pub(crate) const TESTS: &[Test] = &[
    ("a_leader_that_is_told_to_end_hands_over_and_nothing_is_lowered", leader_ends),
    ("a_leader_that_is_killed_is_followed_and_nothing_is_lowered", leader_is_killed),
    ("a_leader_that_was_paused_past_its_lease_orders_nothing_any_more", leader_is_paused),
    ("an_activator_that_leaves_loses_nothing", activator_leaves),
    ("an_activator_that_is_killed_loses_what_it_had_and_nothing_after_a_while", activator_is_killed),
];

pub(crate) const CONTROL_PLANE: &[Test] =
    &[("the_api_server_and_etcd_are_started_anew_under_load_and_nothing_is_lost", control_plane_restarts)];

/// A model with several replicas, under load that keeps them.
struct Busy {
    model: Model,
    clients: Clients,
    replicas: i32,
}

impl Busy {
    async fn start(ground: &Ground, namespace: &str) -> anyhow::Result<Self> {
        let model =
            Model { limit: 4, ..Model::new(namespace, "steady-v1").with_sidecar().with(&["--service-time", "50ms"]) };
        let mut endpoint = model.endpoint("steady");
        endpoint["spec"]["autoscaling"] = json!({ "target": 4, "maxReplicas": 3, "window": "30s" });
        endpoint["spec"]["path"] = json!("proxied");
        let client = deploy(ground, &model, &endpoint).await?;
        let clients = Clients::start(&client, 8);
        until("there are three replicas", async || {
            let replicas = ground.replicas(namespace, "steady-v1").await?;
            ensure!(replicas == 3, "{replicas}");
            Ok(())
        })
        .await?;
        ground.available(namespace, "steady-v1").await?;
        Ok(Self { model, clients, replicas: 3 })
    }

    /// So many more requests of each kind are asked, and at no look are there fewer replicas.
    async fn goes_on(&self, ground: &Ground, more: u64) -> anyhow::Result<()> {
        let enough = self.clients.begun() + more;
        until("the load goes on", async || {
            let replicas = ground.replicas(&self.model.namespace, &self.model.name).await;
            if let Ok(replicas) = replicas
                && replicas < self.replicas
            {
                panic!("lowered to {replicas} replicas under load");
            }
            ensure!(enough <= self.clients.begun(), "{} of {enough}", self.clients.begun());
            Ok(())
        })
        .await
    }
}

pub(crate) async fn another_leads(ground: &Ground, before: &Leader) -> anyhow::Result<()> {
    until("another leads", async || {
        let leader = ground.leader().await?;
        ensure!(leader != *before, "{leader:?}");
        Ok(())
    })
    .await
}

fn leader_ends(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let busy = Busy::start(&ground, "leader-ends").await?;
        let leader = ground.leader().await?;
        let begun = Instant::now();
        ground.signal_rouse(&leader.pod, "autoscaler", Signal::SIGTERM)?;
        another_leads(&ground, &leader).await?;
        eprintln!("cluster: another leads {:.2} s after SIGTERM", begun.elapsed().as_secs_f64());
        busy.goes_on(&ground, 200).await?;
        busy.clients.end().await.all_good(400)?;
        ground.available("rouse", "rouse-autoscaler").await
    })
}

fn leader_is_killed(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let busy = Busy::start(&ground, "leader-killed").await?;
        let leader = ground.leader().await?;
        let begun = Instant::now();
        ground.signal_rouse(&leader.pod, "autoscaler", Signal::SIGKILL)?;
        another_leads(&ground, &leader).await?;
        eprintln!("cluster: another leads {:.2} s after it was killed", begun.elapsed().as_secs_f64());
        busy.goes_on(&ground, 200).await?;
        busy.clients.end().await.all_good(400)?;
        ground.available("rouse", "rouse-autoscaler").await
    })
}

fn leader_is_paused(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let busy = Busy::start(&ground, "leader-paused").await?;
        let leader = ground.leader().await?;
        ground.signal_rouse(&leader.pod, "autoscaler", Signal::SIGSTOP)?;
        let taken = another_leads(&ground, &leader).await;
        let before = orders_of(&ground, &leader.pod)?;
        ground.signal_rouse(&leader.pod, "autoscaler", Signal::SIGCONT)?;
        taken?;
        busy.goes_on(&ground, 400).await?;
        let after = orders_of(&ground, &leader.pod)?;
        ensure!(before == after, "it ordered: {:?}", &after[before.len()..]);
        busy.clients.end().await.all_good(400)?;
        ground.available("rouse", "rouse-autoscaler").await
    })
}

/// What a pod of ours wrote to `scale`.
fn orders_of(ground: &Ground, pod: &str) -> anyhow::Result<Vec<String>> {
    let is_order = |entry: &&serde_json::Value| {
        entry["verb"] == "patch"
            && entry["objectRef"]["subresource"] == "scale"
            && entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0] == pod
    };
    Ok(ground.audit()?.iter().filter(is_order).map(|entry| entry["requestURI"].to_string()).collect())
}

fn control_plane_restarts(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let mut ground = stage.ground.write().await;
        let busy = Busy::start(&ground, "control-plane").await?;
        ground.restart_apiserver(Duration::from_secs(3)).await?;
        busy.goes_on(&ground, 200).await?;
        ground.restart_etcd(Duration::from_secs(2)).await?;
        busy.goes_on(&ground, 200).await?;
        busy.clients.end().await.all_good(400)?;
        // Everything heals by itself: what is at zero is woken again, and sleeps again.
        let model = Model::new("control-plane", "after-v1");
        let client = deploy(&ground, &model, &model.endpoint("after")).await?;
        crate::zero::at(&ground, &model, 0).await?;
        ensure!(client.get("/").await.status == 200);
        Ok(())
    })
}

async fn an_activator(ground: &Ground) -> anyhow::Result<String> {
    let pods = ground.pods("rouse", "app.kubernetes.io/component=activator").await?;
    let there = pods.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(there.and_then(|pod| pod.metadata.name).unwrap_or_default())
}

fn activator_leaves(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let busy = Busy::start(&ground, "activator-leaves").await?;
        let pod = an_activator(&ground).await?;
        ground.kubectl(&["-n", "rouse", "delete", "pod", &pod, "--wait=false"]).await?;
        until("it is gone", async || {
            let pods = ground.pods("rouse", "app.kubernetes.io/component=activator").await?;
            ensure!(pods.iter().all(|it| it.metadata.name.as_ref() != Some(&pod)), "{pod} is there");
            Ok(())
        })
        .await?;
        busy.goes_on(&ground, 100).await?;
        busy.clients.end().await.all_good(400)?;
        ground.available("rouse", "rouse-activator").await
    })
}

fn activator_is_killed(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let busy = Busy::start(&ground, "activator-killed").await?;
        let pod = an_activator(&ground).await?;
        ground.signal_rouse(&pod, "activator", Signal::SIGKILL)?;
        busy.goes_on(&ground, 100).await?;
        // Both kinds of clients, eight of each: what was on its way at that moment, and what was sent to it until the
        // Service led there no more.
        let ended = busy.clients.end().await;
        eprintln!("cluster: {} of {} lost with a killed activator", ended.lost.len(), ended.asked);
        ensure!(ended.refused.is_empty(), "{:?}", ended.refused);
        let client = ground.client_of("activator-killed", "steady").await?;
        let clients = Clients::start(&client, 8);
        until("200 of each kind were asked", async || {
            ensure!(200 <= clients.begun(), "{}", clients.begun());
            Ok(())
        })
        .await?;
        clients.end().await.all_good(400)?;
        ground.available("rouse", "rouse-activator").await
    })
}
