//! examples/iris on a control plane: KServe's own Python server, of the version in requirements.lock, is the process of an
//! injected pod. In a cluster of its own, as most machines do not have its packages. `make example-iris-cluster` runs it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::kserve::Inference;
use cluster::suite::{Stage, Test};
use serde_json::{Value, json};
use tokio::process::Command;

const TESTS: &[Test] = &[("kserves_python_server_is_woken_and_classifies_as_when_it_is_asked_directly", classified)];

/// Of the flowers that scikit-learn carries.
const FLOWERS: usize = 150;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/iris")
}

fn main() -> ExitCode {
    let has_packages = example().join(".venv/requirements.lock").is_file() && example().join("model.joblib").is_file();
    if !has_packages {
        println!(
            "LEFT OUT: the iris example on a control plane, which downloads Python packages (make example-iris-cluster)"
        );
        return ExitCode::SUCCESS;
    }
    cluster::suite::run(&[TESTS])
}

/// Asks for the classes of all flowers.
async fn ask(folder: &Path, protocol: &str, address: &str) -> anyhow::Result<Vec<u64>> {
    let mut ask = Command::new(folder.join(".venv/bin/python"));
    let done = ask.arg(folder.join("ask.py")).args([protocol, address]).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{protocol} at {address}: {}", said.lines().last().unwrap_or("no word"));
    let classes: Vec<u64> = serde_json::from_slice(&done.stdout)?;
    ensure!(classes.len() == FLOWERS, "{} classes", classes.len());
    Ok(classes)
}

/// The two documents of kserve.yaml, in a namespace.
async fn documents(ground: &Ground, folder: &Path, namespace: &str) -> anyhow::Result<(Inference, Value)> {
    let file = folder.join("kserve.yaml").display().to_string();
    let read = ground.kubectl(&["-n", namespace, "create", "--dry-run=client", "-o", "json", "-f", &file]).await?;
    // One after the other.
    let read: Vec<Value> = serde_json::Deserializer::from_str(&read).into_iter().collect::<Result<_, _>>()?;
    let of = |kind: &str| {
        let found = read.iter().find(|document| document["kind"] == kind).cloned();
        found.with_context(|| format!("no {kind} in kserve.yaml"))
    };
    Ok((Inference::of(&of("InferenceService")?)?, of("ModelEndpoint")?))
}

/// Waits until there is no replica, and no pod either.
async fn asleep(ground: &Ground, inference: &Inference) -> anyhow::Result<()> {
    until("it is at zero and its last pod is gone", async || {
        let replicas = ground.replicas(&inference.namespace, &inference.made()).await?;
        let pods = ground.pods(&inference.namespace, &format!("app=isvc.{}", inference.made())).await?;
        let said =
            ["-n", &inference.namespace, "get", "mep", "-o", "jsonpath={.items[*].status.conditions[*].message}"];
        let said = ground.kubectl(&said).await?;
        ensure!(replicas == 0 && pods.is_empty(), "{replicas} replicas, {} pods: {said}", pods.len());
        Ok(())
    })
    .await
}

fn classified(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_kserve().await?;
        let folder = std::fs::canonicalize(example())?;
        let python = folder.join(".venv/bin/python");
        // The interpreter itself lies wherever the virtual environment was made from.
        let base = Command::new(&python).args(["-c", "import sys; print(sys.base_prefix)"]).output().await?;
        let base = String::from_utf8(base.stdout)?.trim().to_owned();
        ground.images.set(
            "example.com/iris",
            json!({ "command": [python, folder.join("serve.py")], "folders": [folder, base] }),
        )?;

        ground.namespace("iris").await?;
        let (iris, mut endpoint) = documents(&ground, &folder, "iris").await?;
        endpoint["spec"]["autoscaling"] = json!({ "window": "6s" });
        ground.infer(&iris).await?;
        ground.apply(&endpoint).await?;
        let address = async |service: &str| {
            let path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
            ground.kubectl(&["-n", "iris", "get", "service", service, "-o", path]).await
        };
        until("the endpoint has a Service", async || address("flowers").await).await?;
        let ours = address("flowers").await?;
        let first = until("it answers", async || ask(&folder, "http", &ours).await).await?;

        // Each of these wakes it.
        for (protocol, service) in [("http", "flowers"), ("grpc", "flowers"), ("http", "iris-predictor")] {
            asleep(&ground, &iris).await?;
            let begun = tokio::time::Instant::now();
            let classes = ask(&folder, protocol, &address(service).await?).await?;
            ensure!(classes == first, "{protocol} through {service}: {classes:?}");
            eprintln!("cluster: {FLOWERS} flowers over {protocol} through {service}, woken: {:?}", begun.elapsed());
        }
        let pods = ground.pods("iris", "app=isvc.iris-predictor").await?;
        let pod = pods.first().context("no pod")?;
        let sidecar =
            pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()?.first()).context("no sidecar")?;
        ensure!(sidecar.name == "queue-proxy", "{}", sidecar.name);
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
        // Past Rouse, at the server's own ports.
        for (protocol, port) in [("http", 8080), ("grpc", 8081)] {
            let directly = ask(&folder, protocol, &format!("{ip}:{port}")).await?;
            ensure!(directly == first, "{protocol} directly: {directly:?}");
        }
        Ok(())
    })
}
