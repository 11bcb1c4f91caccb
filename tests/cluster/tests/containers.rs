//! Containers are here what they are anywhere: hooks, restarts, images, volumes and probes, of which the other tests take for
//! granted that the kubelet and the runtime beneath it do them right.

use std::path::Path;

use anyhow::Context as _;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) const TESTS: &[Test] = &[
    ("a_hook_runs_in_a_container_before_it_is_told_to_end", hook),
    ("a_container_that_fails_is_started_again_and_tells_why", restarts),
    ("an_image_that_is_missing_is_told_and_taken_once_it_is_there", missing_image),
    ("a_container_has_its_volumes_its_token_and_its_names", volumes),
    ("an_exec_probe_decides_whether_a_pod_is_ready", exec_probe),
    ("a_port_of_a_pod_is_forwarded_through_the_api_server", forward),
];

fn container(name: &str, script: &str) -> Value {
    let journal = json!([{ "name": "journal", "mountPath": "/journal" }]);
    json!({ "name": name, "image": "rouse.dev/shell", "args": ["-c", script], "volumeMounts": journal })
}

/// A pod whose containers write into a folder of this machine.
fn pod(name: &str, journal: &Path, containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "containers", "name": name },
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 60,
            "containers": containers,
            "volumes": [{ "name": "journal", "hostPath": { "path": journal, "type": "DirectoryOrCreate" } }],
        },
    })
}

fn status_of(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

async fn api(ground: &Ground) -> anyhow::Result<Api<Pod>> {
    ground.namespace("containers").await?;
    Ok(Api::namespaced(ground.client(), "containers"))
}

fn hook(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let journal = ground.folder().join("hooked");
        let script = "trap 'echo main ends >> /journal/log; exit 0' TERM; echo main begins >> /journal/log; \
                      while :; do sleep 0.01; done";
        let mut main = container("main", script);
        let hook = "sleep 0.1; echo hook of $HOSTNAME >> /journal/log";
        main["lifecycle"] = json!({ "preStop": { "exec": { "command": ["sh", "-c", hook] } } });
        ground.apply(&pod("hooked", &journal, json!([main]))).await?;
        let log = journal.join("log");
        until("it has begun", async || {
            let text = std::fs::read_to_string(&log)?;
            anyhow::ensure!(text == "main begins\n", "{text}");
            Ok(())
        })
        .await?;
        pods.delete("hooked", &DeleteParams::default()).await?;
        until("the pod is gone", async || {
            anyhow::ensure!(pods.get_opt("hooked").await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        let text = std::fs::read_to_string(&log)?;
        anyhow::ensure!(text == "main begins\nhook of hooked\nmain ends\n", "{text}");
        Ok(())
    })
}

fn restarts(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let script = "echo once more; [ -e /journal/second ] && exec sleep 1000; touch /journal/second; exit 7";
        let object = pod("restarts", &ground.folder().join("restarts"), json!([container("main", script)]));
        ground.apply(&object).await?;
        until("the second one runs", async || {
            let pod = pods.get("restarts").await?;
            let status = status_of(&pod).context("no status")?;
            anyhow::ensure!(status.restart_count == 1 && status.state.as_ref().is_some_and(|it| it.running.is_some()));
            let last = status.last_state.as_ref().and_then(|it| it.terminated.as_ref()).context("no last state")?;
            anyhow::ensure!(last.exit_code == 7, "{last:?}");
            Ok(())
        })
        .await?;
        for previous in [false, true] {
            let said = pods.logs("restarts", &LogParams { previous, ..LogParams::default() }).await?;
            anyhow::ensure!(said == "once more\n", "previous: {previous}: {said:?}");
        }
        let running = ground.container("containers", "restarts", "main")?;
        ground.signal(&running, nix::sys::signal::Signal::SIGKILL)?;
        until("its death is told", async || {
            let pod = pods.get("restarts").await?;
            let last =
                status_of(&pod).and_then(|it| it.last_state.as_ref()?.terminated.as_ref()).context("no last state")?;
            anyhow::ensure!(last.exit_code == 137, "{last:?}");
            Ok(())
        })
        .await?;
        pods.delete("restarts", &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    })
}

fn missing_image(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let mut main = container("main", "exec sleep 1000");
        main["image"] = json!("rouse.dev/missing");
        ground.apply(&pod("missing", &ground.folder().join("missing"), json!([main]))).await?;
        until("it says so", async || {
            let pod = pods.get("missing").await?;
            let reason = status_of(&pod).and_then(|it| it.state.as_ref()?.waiting.as_ref()?.reason.clone());
            anyhow::ensure!(reason.as_deref() == Some("ErrImagePull"), "{reason:?}");
            Ok(())
        })
        .await?;
        ground.images.set("rouse.dev/missing", json!({ "command": ["/bin/sh"] }))?;
        until("it runs", async || {
            anyhow::ensure!(is_ready(&pods.get("missing").await?));
            Ok(())
        })
        .await?;
        pods.delete("missing", &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    })
}

fn volumes(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let data = json!({ "greeting": "hello" });
        let metadata = json!({ "namespace": "containers", "name": "words" });
        ground.apply(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data })).await?;
        let script = r#"
            cat /words/greeting; echo; hostname; grep -c "$HOSTNAME" /etc/hosts; echo "$NODE_IP $KUBERNETES_SERVICE_HOST"
            cut -c 1-3 /var/run/secrets/kubernetes.io/serviceaccount/token
            cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo
            touch /words/new 2> /dev/null || echo read-only; touch /own/new && ls /own; grep search /etc/resolv.conf
            echo the end > /dev/termination-log"#;
        let mut main = container("main", script);
        main["env"] = json!([{ "name": "NODE_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.hostIP" } } }]);
        main["volumeMounts"] = json!([{ "name": "words", "mountPath": "/words" }, { "name": "own", "mountPath": "/own" }]);
        let mut object = pod("volumes", &ground.folder().join("volumes"), json!([main]));
        object["spec"]["automountServiceAccountToken"] = json!(true);
        object["spec"]["restartPolicy"] = json!("Never");
        object["spec"]["volumes"] =
            json!([{ "name": "words", "configMap": { "name": "words" } }, { "name": "own", "emptyDir": {} }]);
        ground.apply(&object).await?;
        until("it has ended", async || {
            let pod = pods.get("volumes").await?;
            let ended = status_of(&pod).and_then(|it| it.state.as_ref()?.terminated.as_ref()).context("not ended")?;
            anyhow::ensure!(ended.exit_code == 0 && ended.message.as_deref() == Some("the end\n"), "{ended:?}");
            Ok(())
        })
        .await?;
        let said = pods.logs("volumes", &LogParams::default()).await?;
        let wanted = "hello\nvolumes\n1\n10.244.0.1 10.96.0.1\neyJ\ncontainers\nread-only\nnew\nsearch containers.svc.cluster.local svc.cluster.local cluster.local\n";
        anyhow::ensure!(said == wanted, "{said}");
        pods.delete("volumes", &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    })
}

fn exec_probe(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let journal = ground.folder().join("exec-probe");
        let mut main = container("main", "exec sleep 1000");
        main["readinessProbe"] = json!({
            "exec": { "command": ["test", "-e", "/journal/ready"] }, "periodSeconds": 1, "failureThreshold": 1,
        });
        ground.apply(&pod("probed", &journal, json!([main]))).await?;
        let is = async |wanted: bool| {
            until("the pod is as its probe says", async || {
                let pod = pods.get("probed").await?;
                let started = status_of(&pod).is_some_and(|it| it.started == Some(true));
                anyhow::ensure!(started && is_ready(&pod) == wanted);
                Ok(())
            })
            .await
        };
        is(false).await?;
        std::fs::write(journal.join("ready"), "")?;
        is(true).await?;
        std::fs::remove_file(journal.join("ready"))?;
        is(false).await?;
        pods.delete("probed", &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    })
}

fn forward(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let pods = api(&ground).await?;
        let main = json!({
            "name": "main", "image": "rouse.dev/predictor", "args": ["--host", "0.0.0.0"],
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 },
        });
        ground.apply(&pod("forwarded", &ground.folder().join("forwarded"), json!([main]))).await?;
        until("it is ready", async || {
            anyhow::ensure!(is_ready(&pods.get("forwarded").await?));
            Ok(())
        })
        .await?;
        let mut forward = pods.portforward("forwarded", &[8080]).await?;
        let mut stream = forward.take_stream(8080).context("no stream")?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        pods.delete("forwarded", &DeleteParams::default().grace_period(1)).await?;
        Ok(())
    })
}
