//! A path that changes, with the controllers of Kubernetes and kube-proxy behind it, under load. Played before Rouse is
//! installed: nobody else is to lead here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::objects::api_of;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kubernetes::{Cluster, Program};
use parking_lot::Mutex;
use platform::{Actuator, Leadership, Path, Route, RouteOrder};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use units::EndpointKey;
use wired::Client;

use crate::leading::seen_by;

pub(crate) const TESTS: &[Test] = &[
    ("a_path_changes_to_and_fro_under_load_and_leaves_nothing_behind", to_and_fro),
    ("a_service_of_somebody_else_is_left_as_it_is", name_taken),
];

const CHANGES: u32 = 10;

/// An endpoint of a model with its sidecar, and stand-ins for activators: two models that answer on the endpoint's own
/// port by themselves.
struct Stand {
    namespace: String,
    cluster: Cluster,
    actuator: Arc<dyn Actuator>,
    slices: Api<EndpointSlice>,
    endpoints: Api<Endpoints>,
    _follows: JoinSet<()>,
}

impl Stand {
    async fn new(ground: &Ground, namespace: &str) -> anyhow::Result<Self> {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds");
        ground.kubectl(&["apply", "--server-side", "-k", crds]).await?;
        let system = format!("{namespace}-system");
        ground.namespace(namespace).await?;
        ground.namespace(&system).await?;

        let mut activators = Model { replicas: Some(2), ..Model::new(&system, "activator") }.deployment();
        let labels = json!({ "app.kubernetes.io/part-of": "rouse", "app.kubernetes.io/component": "activator" });
        activators["spec"]["selector"]["matchLabels"] = labels.clone();
        activators["spec"]["template"]["metadata"]["labels"] = labels;
        ground.apply(&activators).await?;
        let model = Model { replicas: Some(1), ..Model::new(namespace, "v1").with_sidecar_by_hand(None) };
        ground.apply(&model.deployment()).await?;
        ground.apply(&model.endpoint("recommender")).await?;
        ground.available(&system, "activator").await?;
        ground.available(namespace, "v1").await?;

        let cluster = seen_by(ground, &system, "autoscaler").await?;
        let mut follows = JoinSet::new();
        let followed = cluster.clone();
        follows.spawn(async move {
            let _ = followed.follow(Program::Autoscaler).await;
        });
        Ok(Self {
            namespace: namespace.to_owned(),
            actuator: cluster.actuator(watch::Sender::new(Leadership::ALONE).subscribe()),
            cluster,
            slices: Api::namespaced(ground.client(), namespace),
            endpoints: Api::namespaced(ground.client(), namespace),
            _follows: follows,
        })
    }

    /// The Service and the port that the leader would see to.
    async fn serve(&self, ground: &Ground) -> anyhow::Result<()> {
        let endpoint = ground_object(ground, &self.namespace).await?;
        let uid = endpoint.metadata.uid.context("a UID")?;
        ground
            .apply(&json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {
                    "name": "recommender", "namespace": self.namespace,
                    "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
                    "ownerReferences": [{
                        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "name": "recommender",
                        "uid": uid, "controller": true,
                    }],
                },
                "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": 8012 }] },
            }))
            .await?;
        Ok(())
    }

    async fn has_port(&self, ground: &Ground) -> anyhow::Result<()> {
        let kind = json!({
            "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "namespace": self.namespace },
        });
        let status = Patch::Merge(json!({ "status": { "activatorPort": 8080 } }));
        api_of(ground.client(), &kind)?.patch_status("recommender", &PatchParams::default(), &status).await?;
        until("the port is seen", async || {
            let key = self.key();
            let endpoint = self.cluster.catalogue().endpoints.get(&key).context("no endpoint")?;
            let port = endpoint.own_port.context("no port")?.port();
            ensure!(port == 8080, "{port}");
            Ok(())
        })
        .await
    }

    fn key(&self) -> EndpointKey {
        EndpointKey::new(self.namespace.as_str(), "recommender")
    }

    fn seen(&self) -> Option<Route> {
        self.cluster.catalogue().endpoints.get(&self.key()).map(|endpoint| endpoint.route.clone())
    }

    async fn activators(&self) -> anyhow::Result<Route> {
        let through = until("the activators are seen", async || {
            let pods = self.cluster.catalogue().activators.borrow().clone().context("not known")?;
            let mut uids: Vec<Arc<str>> = pods.iter().map(|pod| Arc::clone(&pod.uid)).collect();
            ensure!(uids.len() == 2, "{uids:?}");
            uids.sort();
            Ok(uids)
        });
        Ok(Route::Proxied { through: through.await?.into() })
    }

    /// Orders a route until it is done, and until it is seen.
    async fn order(&self, route: &Route) -> anyhow::Result<()> {
        let order = RouteOrder { endpoint: self.key(), route: route.clone(), epoch: 1 };
        until("the route is as ordered", async || Ok(self.actuator.set_route(order.clone()).await?)).await?;
        until("it is seen", async || {
            ensure!(self.seen().as_ref() == Some(route), "{:?}", self.seen());
            Ok(())
        })
        .await
    }

    /// Who keeps the slices behind the Service.
    async fn keepers(&self) -> anyhow::Result<Vec<String>> {
        let behind = ListParams::default().labels("kubernetes.io/service-name=recommender");
        let slices = self.slices.list(&behind).await?;
        let keeper = |slice: EndpointSlice| slice.metadata.labels?.remove("endpointslice.kubernetes.io/managed-by");
        Ok(slices.into_iter().filter_map(keeper).collect())
    }

    async fn check(&self, path: Path) -> anyhow::Result<()> {
        let keepers = self.keepers().await?;
        let expected = match path {
            Path::Proxied => "rouse",
            Path::Direct => "endpointslice-controller.k8s.io",
        };
        ensure!(keepers.iter().all(|keeper| keeper == expected) && !keepers.is_empty(), "{path:?}: {keepers:?}");
        if path == Path::Proxied {
            ensure!(self.endpoints.get_opt("recommender").await?.is_none(), "an Endpoints object is left");
        }
        Ok(())
    }
}

/// So that nobody finds it there who looks after endpoints later.
async fn take_away(ground: &Ground, namespace: &str) -> anyhow::Result<()> {
    ground.kubectl(&["delete", "modelendpoint", "recommender", "-n", namespace]).await?;
    ground.kubectl(&["delete", "namespace", namespace, &format!("{namespace}-system"), "--wait=false"]).await?;
    Ok(())
}

async fn ground_object(ground: &Ground, namespace: &str) -> anyhow::Result<kube::api::DynamicObject> {
    let kind = json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "namespace": namespace },
    });
    Ok(api_of(ground.client(), &kind)?.get("recommender").await?)
}

/// What happened when, for whoever has to find out why something was lost.
#[derive(Clone)]
struct Timeline {
    begun: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Timeline {
    fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    fn note(&self, what: &str) {
        self.lines.lock().push(format!("{:9.3} s {what}", self.begun.elapsed().as_secs_f64()));
    }
}

/// A client that asks on and on.
struct Load {
    stop: Arc<AtomicBool>,
    task: JoinSet<(u64, u64)>,
}

impl Load {
    fn of(client: Client, timeline: &Timeline) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut task = JoinSet::new();
        let (stopped, timeline) = (Arc::clone(&stop), timeline.clone());
        task.spawn(async move {
            let (mut answered, mut lost) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                match client.ask(client.request("/"), "").await {
                    Ok(answer) if answer.status == 200 => answered += 1,
                    other => {
                        lost += 1;
                        let why =
                            other.map_or_else(|error| error, |answer| format!("{} {}", answer.status, answer.text()));
                        timeline.note(&format!("lost: {why}"));
                    }
                }
            }
            (answered, lost)
        });
        Self { stop, task }
    }

    /// How many were answered, and how many lost.
    async fn end(mut self) -> anyhow::Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.join_next().await.context("it ran")??)
    }
}

fn to_and_fro(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "routes").await?;
        stand.serve(&ground).await?;
        stand.has_port(&ground).await?;
        let proxied = stand.activators().await?;
        stand.order(&proxied).await?;
        stand.check(Path::Proxied).await?;

        let keeps = ground.client_of("routes", "recommender").await?;
        until("it answers", async || keeps.ask(keeps.request("/"), "").await.map_err(anyhow::Error::msg)).await?;
        let anew = ground.client_of("routes", "recommender").await?.connecting_anew();
        let timeline = Timeline::new();
        let loads = [Load::of(keeps, &timeline), Load::of(anew, &timeline)];
        for _ in 0..CHANGES {
            for route in [&Route::Direct, &proxied] {
                timeline.note(&format!("to be {:?}", route.path()));
                stand.order(route).await?;
                timeline.note("so it is");
                stand.check(route.path()).await?;
            }
        }
        let took = timeline.begun.elapsed().as_secs_f64() / f64::from(CHANGES);
        let mut lost = 0;
        for load in loads {
            let ended = load.end().await?;
            eprintln!("{} answers, {} lost", ended.0, ended.1);
            lost += ended.1;
        }
        eprintln!("to and fro in {took:.2} s each");
        take_away(&ground, "routes").await?;
        ensure!(lost == 0, "{lost} lost\n{}", timeline.lines.lock().join("\n"));
        Ok(())
    })
}

fn name_taken(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let stand = Stand::new(&ground, "taken").await?;
        stand.has_port(&ground).await?;
        let others = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "recommender", "namespace": "taken" },
            "spec": { "selector": { "app": "theirs" }, "ports": [{ "port": 80 }] },
        });
        ground.apply(&others).await?;
        let services: Api<Service> = Api::namespaced(ground.client(), "taken");
        let before = services.get("recommender").await?;
        let order = RouteOrder { endpoint: stand.key(), route: stand.activators().await?, epoch: 1 };
        let Err(error) = stand.actuator.set_route(order).await else { bail!("it was changed") };
        ensure!(error.why.starts_with("NameTaken"), "{error}");
        ensure!(services.get("recommender").await?.metadata.resource_version == before.metadata.resource_version);
        ensure!(!stand.keepers().await?.iter().any(|keeper| keeper == "rouse"), "a slice of ours is there");
        take_away(&ground, "taken").await
    })
}
