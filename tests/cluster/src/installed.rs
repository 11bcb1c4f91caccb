//! Rouse as it is installed: what `deploy/base` says, applied with kubectl.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use wired::{Client, throughout};

use crate::ground::Ground;

/// Longer than anything takes on a machine that is four times slower.
const PATIENCE: Duration = Duration::from_secs(120);

impl Ground {
    /// Sees to it that Rouse is installed, once for all tests.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn with_rouse(&self) -> anyhow::Result<()> {
        self.installed.get_or_try_init(|| self.install()).await.copied()
    }

    /// As it is shipped, but with short graces, so that what tests wait for comes soon.
    async fn install(&self) -> anyhow::Result<()> {
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/base");
        self.kubectl(&["apply", "--server-side", "-k", base]).await?;
        // What believes an authority follows it in seconds, and not within a day.
        let of_autoscalers = ["-n", "rouse", "set", "env", "deployment/rouse-autoscaler", "AUTHORITY_STEP=3s"];
        self.kubectl(&of_autoscalers).await?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "rouse", "name": "config-autoscaler" },
            "data": { "scale-to-zero-grace-period": "2s", "initial-scale": "0", "allow-zero-initial-scale": "true" },
        }))
        .await?;
        for program in ["rouse-autoscaler", "rouse-activator"] {
            self.available("rouse", program).await?;
        }
        until("the API server has been told whom to believe when it asks the webhook", async || {
            let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
            let bundle = self.kubectl(&["get", "mutatingwebhookconfiguration/rouse-webhook", "-o", path]).await?;
            ensure!(!bundle.is_empty(), "there is no caBundle");
            Ok(())
        })
        .await
    }

    /// Waits until all replicas of a Deployment are there and ready.
    ///
    /// # Errors
    /// If they are not in time, with what it says of itself.
    pub async fn available(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client(), namespace);
        until(&format!("the Deployment {name} is available"), async || {
            let deployment = deployments.get(name).await?;
            let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            let status = deployment.status.unwrap_or_default();
            let is_there = status.available_replicas.unwrap_or(0) == wanted
                && status.updated_replicas.unwrap_or(0) == wanted
                && status.replicas.unwrap_or(0) == wanted;
            ensure!(is_there, "{status:?}");
            Ok(())
        })
        .await
    }

    /// A client of an endpoint's Service, by its address in the cluster.
    ///
    /// # Errors
    /// If it has none in time.
    pub async fn client_of(&self, namespace: &str, service: &str) -> anyhow::Result<Client> {
        let services: Api<Service> = Api::namespaced(self.client(), namespace);
        let address = until(&format!("there is a Service {service}"), async || {
            let spec = services.get(service).await?.spec.context("no spec")?;
            let port = spec.ports.iter().flatten().next().context("no port")?.port;
            let ip = spec.cluster_ip.context("no address")?;
            Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
        })
        .await?;
        Ok(Client::that_asks(address, &format!("{service}.{namespace}")))
    }

    /// Replicas that a Deployment is to have.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn replicas(&self, namespace: &str, name: &str) -> anyhow::Result<i32> {
        let deployments: Api<Deployment> = Api::namespaced(self.client(), namespace);
        Ok(deployments.get(name).await?.spec.and_then(|spec| spec.replicas).unwrap_or(1))
    }

    /// A client of a port of a pod, past every Service.
    ///
    /// # Errors
    /// If it has no address yet.
    pub fn client_of_pod(&self, pod: &Pod, port: u16) -> anyhow::Result<Client> {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
        Ok(Client::that_asks(SocketAddr::new(address.parse()?, port), "pod"))
    }

    /// A client of the admin port of the autoscaler that leads.
    ///
    /// # Errors
    /// If nobody does.
    pub async fn metrics_of_leader(&self) -> anyhow::Result<Client> {
        let leader = self.leader().await?.pod;
        let pods = self.pods("rouse", "app.kubernetes.io/component=autoscaler").await?;
        let pod = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&leader)).context("no leader")?;
        self.client_of_pod(pod, 9090)
    }

    /// Sees that a Deployment is to have so many replicas, and no other number, for so long.
    ///
    /// # Panics
    /// If it is to have another.
    pub async fn keeps(&self, namespace: &str, name: &str, replicas: i32, period: Duration) {
        throughout(period, &format!("{name} has {replicas} replicas"), async || {
            match self.replicas(namespace, name).await {
                Ok(now) if now == replicas => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Pods with a label.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn pods(&self, namespace: &str, label: &str) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client(), namespace);
        Ok(pods.list(&ListParams::default().labels(label)).await?.items)
    }
}

/// What a counter stands at, by its name and labels; 0 while there is none.
///
/// # Errors
/// If it is no number.
pub async fn counted(metrics: &Client, name: &str) -> anyhow::Result<u64> {
    let text = metrics.get("/metrics").await.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(Ok(0), |value| Ok(value.trim().parse()?))
}

/// Looks until something is so; fails with why it was not so at last.
///
/// # Errors
/// If it is not so in two minutes.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(error) if deadline < Instant::now() => return Err(error.context(format!("not so in time: {what}"))),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
