//! What pods are promised, as far as the programs rest on it: names, the order of sidecars, and a kubelet that comes and goes.

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = &[
    ("names_of_services_lead_to_them_and_headless_ones_to_their_pods", names),
    ("a_sidecar_begins_before_the_model_and_ends_after_it", order),
    ("a_kubelet_that_comes_back_finds_its_containers_as_they_were", kubelet),
];

/// A pod that does what a script says.
fn scripted(namespace: &str, name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": name } },
        "spec": {
            "automountServiceAccountToken": false, "restartPolicy": "Never", "terminationGracePeriodSeconds": 20,
            "containers": [{ "name": "main", "image": "rouse.dev/shell", "args": ["-c", script] }],
        },
    })
}

/// Says so when it is asked to end, and does not end otherwise.
fn until_told(note: &str) -> String {
    format!(
        "trap 'echo {note} ends >> /notes/order; exit 0' TERM; echo {note} >> /notes/order; while :; do sleep 0.1; done"
    )
}

/// Waits for a phase.
async fn phase(ground: &Ground, pod: &Value, wanted: &str) -> anyhow::Result<Pod> {
    let name = |what: &str| pod["metadata"][what].as_str().unwrap_or_default().to_owned();
    let pods: Api<Pod> = Api::namespaced(ground.client(), &name("namespace"));
    until(&format!("{} is {wanted}", name("name")), async || {
        let pod = pods.get(&name("name")).await?;
        let status = pod.status.clone().unwrap_or_default();
        ensure!(status.phase.as_deref() == Some(wanted), "{status:?}");
        Ok(pod)
    })
    .await
}

fn names(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("names").await?;
        let found = scripted("names", "found", "while :; do sleep 1; done");
        ground.apply(&found).await?;
        for (name, address) in [("one", Value::Null), ("all", json!("None"))] {
            let spec = json!({ "clusterIP": address, "selector": { "app": "found" }, "ports": [{ "port": 80 }] });
            let mut service = json!({ "apiVersion": "v1", "kind": "Service", "spec": spec });
            service["metadata"] = json!({ "namespace": "names", "name": name });
            ground.apply(&service).await?;
        }
        let address = phase(&ground, &found, "Running").await?.status.and_then(|it| it.pod_ip).context("no address")?;

        let script = "until getent ahostsv4 all; do sleep 0.1; done; getent ahostsv4 one.names.svc.cluster.local; \
                      getent ahostsv4 none.names.svc.cluster.local || echo no such name";
        let asking = scripted("names", "asking", script);
        ground.apply(&asking).await?;
        phase(&ground, &asking, "Succeeded").await?;
        let pods: Api<Pod> = Api::namespaced(ground.client(), "names");
        let said = pods.logs("asking", &LogParams::default()).await?;
        ensure!(
            said.contains(&format!("{address} ")) && said.contains("10.96.") && said.contains("no such name"),
            "{said}"
        );
        Ok(())
    })
}

fn order(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("order").await?;
        let notes = tempfile::tempdir()?;
        let container = |name: &str, script: &str| {
            let mounts = json!([{ "name": "notes", "mountPath": "/notes" }]);
            json!({ "name": name, "image": "rouse.dev/shell", "args": ["-c", script], "volumeMounts": mounts })
        };
        let mut sidecar = container("sidecar", &format!("sleep 0.5; touch /notes/up; {}", until_told("sidecar")));
        sidecar["restartPolicy"] = json!("Always");
        sidecar["startupProbe"] = json!({ "exec": { "command": ["test", "-e", "/notes/up"] }, "periodSeconds": 1 });
        let mut pod = scripted("order", "both", "");
        pod["spec"]["initContainers"] = json!([container("first", "echo first >> /notes/order"), sidecar]);
        pod["spec"]["containers"] = json!([container("main", &until_told("main"))]);
        pod["spec"]["volumes"] = json!([{ "name": "notes", "hostPath": { "path": notes.path() } }]);
        ground.apply(&pod).await?;
        phase(&ground, &pod, "Running").await?;
        let noted = || std::fs::read_to_string(notes.path().join("order")).unwrap_or_default();
        until("main has begun", async || {
            ensure!(noted().contains("main"), "{}", noted());
            Ok(())
        })
        .await?;

        let pods: Api<Pod> = Api::namespaced(ground.client(), "order");
        pods.delete("both", &DeleteParams::default()).await?;
        until("it is gone", async || {
            ensure!(pods.get_opt("both").await?.is_none(), "{}", noted());
            Ok(())
        })
        .await?;
        ensure!(noted() == "first\nsidecar\nmain\nmain ends\nsidecar ends\n", "{}", noted());
        Ok(())
    })
}

fn kubelet(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let mut ground = stage.ground.write().await;
        ground.namespace("kubelet").await?;
        let pod = scripted("kubelet", "stays", "while :; do sleep 0.1; done");
        ground.apply(&pod).await?;
        phase(&ground, &pod, "Running").await?;
        let before = ground.container("kubelet", "stays", "main")?;

        ground.stop_kubelet().await?;
        ensure!(ground.container("kubelet", "stays", "main")? == before);
        ground.start_kubelet().await?;
        // Once it starts others, it has looked at what was there.
        let other = scripted("kubelet", "other", "while :; do sleep 0.1; done");
        ground.apply(&other).await?;
        phase(&ground, &other, "Running").await?;
        let after = phase(&ground, &pod, "Running").await?.status.unwrap_or_default();
        let restarts = after.container_statuses.iter().flatten().map(|it| it.restart_count).sum::<i32>();
        ensure!(restarts == 0 && ground.container("kubelet", "stays", "main")? == before, "{after:?}");
        let pods: Api<Pod> = Api::namespaced(ground.client(), "kubelet");
        pods.delete("stays", &DeleteParams::default().grace_period(1)).await?;
        until("it is gone", async || {
            ensure!(pods.get_opt("stays").await?.is_none());
            Ok(())
        })
        .await
    })
}
