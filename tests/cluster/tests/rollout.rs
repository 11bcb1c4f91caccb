//! Deployments whose pods are replaced while clients of all kinds go on asking: by a new template, slowly or all at once, and
//! by nodes that are drained.

use anyhow::{Context as _, ensure};
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::EvictParams;
use serde_json::{Value, json};
use wired::Client;

use crate::ending::{WAYS, steady};
use crate::injection::says;
use crate::zero::deploy_as;

pub(crate) const TESTS: &[Test] = &[
    ("a_rolling_update_under_load_loses_nothing", rolling),
    ("while_all_pods_of_a_deployment_are_recreated_requests_wait_and_none_is_lost", recreated),
    ("pods_that_are_evicted_from_their_node_under_load_lose_nothing", evicted),
];

/// A model that is asked by clients of all kinds.
struct Asked<'a> {
    ground: &'a Ground,
    model: Model,
    deployment: Value,
    clients: Clients,
}

impl<'a> Asked<'a> {
    /// `change`: what else the Deployment says.
    async fn by_all(
        ground: &'a Ground,
        model: Model,
        change: impl FnOnce(&mut Value),
        (path, way): (&str, &str),
    ) -> anyhow::Result<Self> {
        let mut deployment = model.deployment();
        change(&mut deployment);
        let client: Client = deploy_as(ground, &deployment, &steady(&model, path)).await?;
        ground.available(&model.namespace, &model.name).await?;
        says(ground, &model, "worker", way).await?;
        let clients = Clients::of_all_kinds(&client, 4);
        let asked = Self { ground, model, deployment, clients };
        asked.go_on(20).await?;
        Ok(asked)
    }

    /// So many more requests are begun.
    async fn go_on(&self, more: u64) -> anyhow::Result<()> {
        let enough = self.clients.begun() + more;
        until("requests are begun", async || {
            ensure!(enough <= self.clients.begun(), "{} of {enough}", self.clients.begun());
            Ok(())
        })
        .await
    }

    /// Gives the pods another template.
    async fn update(&mut self) -> anyhow::Result<()> {
        self.deployment["spec"]["template"]["metadata"]["annotations"]["version"] = json!("2");
        self.ground.apply(&self.deployment).await.map(drop)
    }

    async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        self.ground.pods(&self.model.namespace, &format!("app={}", self.model.name)).await
    }

    /// Once other pods have taken the place of these, and some requests more were answered.
    async fn end(self, before: &[Pod], what: &str) -> anyhow::Result<()> {
        until("other pods are there in their place", async || {
            let pods = self.pods().await?;
            let is_old = |pod: &Pod| before.iter().any(|old| old.metadata.uid == pod.metadata.uid);
            ensure!(!pods.iter().any(is_old), "{} pods", pods.len());
            Ok(())
        })
        .await?;
        self.ground.available(&self.model.namespace, &self.model.name).await?;
        self.go_on(20).await?;
        let ended = self.clients.end().await;
        eprintln!("cluster: {what}: {} requests of all kinds", ended.asked);
        ended.all_good(50)
    }
}

fn model(namespace: &str, replicas: u32) -> Model {
    let model = Model::new(namespace, "worker-v1").with_sidecar().with(&["--service-time", "30ms"]);
    Model { replicas: Some(replicas), ..model }
}

fn rolling(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let [direct, proxied] = WAYS.map(|way| rolling_on(&ground, way));
        tokio::try_join!(direct, proxied).map(drop)
    })
}

async fn rolling_on(ground: &Ground, way: (&str, &str)) -> anyhow::Result<()> {
    let model = model(&format!("rolling-{}", way.0), 2);
    let mut asked = Asked::by_all(ground, model, |_| {}, way).await?;
    let before = asked.pods().await?;
    asked.update().await?;
    until("there are pods of two ReplicaSets, and both serve", async || {
        let hash = |pod: Pod| is_ready(&pod).then(|| pod.metadata.labels?.remove("pod-template-hash")).flatten();
        let serve: Vec<String> = asked.pods().await?.into_iter().filter_map(hash).collect();
        ensure!(serve.iter().any(|one| *one != serve[0]), "{serve:?}");
        Ok(())
    })
    .await?;
    asked.end(&before, &format!("a rolling update, {}", way.1)).await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

fn recreated(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        // So that there is none for a while, whatever the kubelet does at once.
        let model = model("recreated", 2).with(&["--startup", "2s"]);
        let recreate = |deployment: &mut Value| deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
        // Its path may be direct by what is asked for, and is not: nobody would hold what comes meanwhile.
        let mut asked = Asked::by_all(&ground, model, recreate, ("auto", "through the activators")).await?;
        let before = asked.pods().await?;
        asked.update().await?;
        until("no pod is there that could answer", async || {
            let ready = asked.pods().await?.iter().filter(|pod| is_ready(pod)).count();
            ensure!(ready == 0, "{ready} ready");
            Ok(())
        })
        .await?;
        asked.end(&before, "all pods recreated").await
    })
}

fn evicted(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        // Behind activators alone is one enough: they hold what comes while it is away.
        let [direct, proxied] = WAYS;
        let both = (evicted_on(&ground, direct, 2), evicted_on(&ground, proxied, 1));
        tokio::try_join!(both.0, both.1).map(drop)
    })
}

/// As a node is drained: each pod on it is evicted, again and again where a budget does not allow it yet.
async fn evicted_on(ground: &Ground, way: (&str, &str), replicas: u32) -> anyhow::Result<()> {
    let namespace = format!("evicted-{}", way.0);
    let asked = Asked::by_all(ground, model(&namespace, replicas), |_| {}, way).await?;
    ground
        .apply(&json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "namespace": namespace, "name": "worker" },
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "worker-v1" } } },
        }))
        .await?;
    let before = asked.pods().await?;
    let pods: Api<Pod> = Api::namespaced(ground.client(), &namespace);
    for pod in &before {
        let name = pod.metadata.name.as_deref().context("no name")?;
        until(&format!("{name} may be evicted"), async || {
            pods.evict(name, &EvictParams::default()).await.map_err(anyhow::Error::from)
        })
        .await?;
    }
    asked.end(&before, &format!("pods evicted, {}", way.1)).await
}
