//! Nodes and pods that nobody runs: for what many of them cost. The API server, the controllers and the scheduler take them
//! for real; what a kubelet would say of them is said here.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The label of such nodes, and of pods that are for them.
const LABEL: &str = "tests.rouse.dev/herd";
/// As many as a node of a real cluster takes by itself, doubled.
const PODS_A_NODE: usize = 220;
/// Half of what the controllers wait for.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The nodes, for as long as it is held.
pub struct Herd {
    _tasks: JoinSet<()>,
}

impl Herd {
    /// As many nodes as these pods need.
    ///
    /// # Errors
    /// If a node cannot be made.
    pub async fn for_pods(client: &Client, pods: usize) -> anyhow::Result<Self> {
        let nodes: Api<Node> = Api::all(client.clone());
        let names: Vec<String> = (0..pods.div_ceil(PODS_A_NODE)).map(|n| format!("herd-{n}")).collect();
        for name in &names {
            let room = json!({ "cpu": "1000", "memory": "1000Gi", "pods": PODS_A_NODE.to_string() });
            let now = Timestamp::now();
            let ready =
                json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now });
            let node = json!({
                "metadata": { "name": name, "labels": { LABEL: "node" } },
                "spec": { "taints": [{ "key": LABEL, "effect": "NoSchedule" }] },
                "status": { "capacity": room, "allocatable": room, "conditions": [ready] },
            });
            nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await.context("a node")?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(beat(client.clone(), names));
        tasks.spawn(play(client.clone()));
        Ok(Self { _tasks: tasks })
    }
}

/// Has a Deployment's pods run there.
pub fn send(deployment: &mut Value) {
    let template = &mut deployment["spec"]["template"];
    template["metadata"]["labels"][LABEL] = json!("pod");
    template["spec"]["nodeSelector"] = json!({ LABEL: "node" });
    template["spec"]["tolerations"] = json!([{ "key": LABEL, "operator": "Exists" }]);
}

/// Nobody doubts that the nodes live.
async fn beat(client: Client, names: Vec<String>) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    loop {
        for name in &names {
            // Exactly six digits are asked for.
            let now = format!("{:.6}", Timestamp::now());
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name },
                "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now },
            });
            // While the API server is away, the next beat says it.
            let _ = leases.patch(name, &PatchParams::apply("herd").force(), &Patch::Apply(&lease)).await;
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// A pod runs as soon as it has a node, and goes as soon as it is told to.
async fn play(client: Client) {
    let all: Api<Pod> = Api::all(client.clone());
    let next = AtomicU32::new(1);
    let config = watcher::Config::default().labels(&format!("{LABEL}=pod"));
    let seen = watcher(all, config).default_backoff().applied_objects();
    seen.for_each_concurrent(16, async |pod| {
        // Whoever is missed comes again with the next listing.
        let Ok(pod) = pod else { return };
        let (Some(name), Some(namespace)) = (&pod.metadata.name, &pod.metadata.namespace) else { return };
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let is_bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let runs = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
        } else if is_bound && !runs {
            // Behind the addresses of pods that run.
            let address =
                Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 245, 0, 0)) + next.fetch_add(1, Ordering::Relaxed));
            let status = json!({ "status": running(&pod, address) });
            let _ = pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await;
        }
    })
    .await;
}

/// What a kubelet says of a pod all of whose containers are ready.
fn running(pod: &Pod, address: Ipv4Addr) -> Value {
    let now = Timestamp::now();
    let kinds = ["Initialized", "ContainersReady", "Ready"];
    let condition = |kind| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    let state = |name: &str| {
        json!({
            "name": name, "image": "none", "imageID": "none", "restartCount": 0, "ready": true, "started": true,
            "state": { "running": { "startedAt": now } },
        })
    };
    let spec = pod.spec.clone().unwrap_or_default();
    let main: Vec<Value> = spec.containers.iter().map(|it| state(&it.name)).collect();
    let sidecars: Vec<Value> = spec.init_containers.iter().flatten().map(|it| state(&it.name)).collect();
    json!({
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "startTime": now,
        "conditions": kinds.map(condition), "containerStatuses": main, "initContainerStatuses": sidecars,
    })
}
