//! Whoever says that it is somebody else, on the ports of real pods. What a model says that it did not begin:
//! `activator/tests/real/balancing.rs`, and `queue-proxy/tests/wired/trust.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::{counted, until};
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use daemon::tls::{AUTOSCALER, Client as Believing};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::{Hello, Proof, Role, SidecarStats, ToAutoscaler, Up};
use wired::Client;

use crate::injection::says;
use crate::trusting::bundle;
use crate::zero::deploy;

pub(crate) const TESTS: &[Test] = &[
    ("a_client_that_sends_every_internal_header_is_counted_as_any_other", headers),
    ("who_reaches_the_port_for_activators_without_a_certificate_gets_nothing", no_certificate),
    ("counts_for_another_pod_are_not_taken_from_who_holds_a_token_of_its_own", false_peer),
];

/// All by which Rouse's programs, Knative's, or the kubelet steer each other.
const PRETENCES: [(&str, &str); 11] = [
    ("rouse-probe", "wait"),
    ("rouse-not-started", "leaving"),
    ("rouse-shadow", "true"),
    ("rouse-proxied", "true"),
    ("k-network-probe", "queue"),
    ("k-proxy-request", "activator"),
    ("k-kubelet-probe", "true"),
    ("k-passthrough-lb", "true"),
    ("knative-serving-revision", "other"),
    ("x-forwarded-client-cert", "DNS=activator.rouse"),
    ("user-agent", "kube-probe/1.35"),
];

/// A model with its sidecar, straight to which requests go.
async fn target(ground: &Ground, namespace: &str) -> anyhow::Result<(Model, Client, Pod)> {
    let model = Model::new(namespace, "target-v1").with_sidecar().with(&["--service-time", "500ms"]);
    let model = Model { replicas: Some(1), ..model };
    let mut endpoint = model.endpoint("target");
    endpoint["spec"]["autoscaling"] =
        json!({ "target": 2, "minReplicas": 1, "maxReplicas": 2, "targetBurstCapacity": 0, "window": "6s" });
    let client = deploy(ground, &model, &endpoint).await?;
    says(ground, &model, "target", "straight to the replicas").await?;
    let pods = ground.pods(namespace, "app=target-v1").await?;
    ensure!(pods.len() == 1, "{} pods", pods.len());
    let pod = pods.into_iter().next().context("no pod")?;
    Ok((model, client, pod))
}

/// What a pod's sidecar counted.
async fn requests(ground: &Ground, pod: &Pod) -> anyhow::Result<(u64, u64)> {
    let stats: Value = serde_json::from_slice(&ground.client_of_pod(pod, 8022)?.get("/stats").await.body)?;
    let number = |name: &str| stats[name].as_u64().with_context(|| name.to_owned());
    Ok((number("requests")?, number("proxiedRequests")?))
}

fn headers(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let (model, _, pod) = target(&ground, "forged-headers").await?;
        // Not by the Service: while a replica is added it may lead through an activator, which is proxied by right.
        let client = ground.client_of_pod(&pod, 8012)?;
        let before = requests(&ground, &pod).await?;
        let ask = async || {
            loop {
                let bare = client.request("/");
                let asked = PRETENCES.iter().fold(bare, |asked, (name, value)| asked.header(*name, *value));
                let answer = client.ask(asked, "").await.map_err(anyhow::Error::msg)?;
                // The model's own, and not what a probe is told.
                ensure!(answer.status == 200 && answer.text().starts_with("Hello"), "{}", answer.text());
            }
        };
        // As much as two replicas should have: who is not counted stays with one.
        let asked = join_all((0..8).map(|_| ask()));
        let raised = until("a replica is added for them", async || {
            ensure!(ground.replicas(&model.namespace, &model.name).await? == 2);
            Ok(())
        });
        tokio::select! {
            ended = asked => return ended.into_iter().collect(),
            raised = raised => raised?,
        }
        let after = requests(&ground, &pod).await?;
        ensure!(before.0 + 8 <= after.0 && before.1 == after.1, "{before:?}, then {after:?}");
        Ok(())
    })
}

/// Asks in HTTP; returns all that came back.
async fn spoken(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut heard = Vec::new();
    let asked =
        "POST / HTTP/1.1\r\nhost: target\r\nrouse-probe: now\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx";
    // Broken off at any point: then less came back.
    if stream.write_all(asked.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
        let _ = stream.read_to_end(&mut heard).await;
    }
    String::from_utf8_lossy(&heard).into_owned()
}

fn address(pod: &Pod, port: u16) -> anyhow::Result<SocketAddr> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
    Ok(SocketAddr::new(ip.parse()?, port))
}

fn no_certificate(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let (_, _, pod) = target(&ground, "forged-peer").await?;
        let metrics = ground.client_of_pod(&pod, 8022)?;
        let refused =
            async |reason: &str| counted(&metrics, &format!("rouse_tls_refusals_total{{reason=\"{reason}\"}}")).await;
        let before = requests(&ground, &pod).await?;
        let (not_tls, nobody) = (refused("not-tls").await?, refused("no-certificate").await?);

        let heard = spoken(TcpStream::connect(address(&pod, 8013)?).await?).await;
        ensure!(!heard.contains("HTTP"), "in plain TCP: {heard}");
        let believing = Believing::default();
        believing.believe(bundle(&ground).await?.as_bytes())?;
        let stream = believing.connect(TcpStream::connect(address(&pod, 8013)?).await?, "sidecar.rouse").await;
        // In TLS 1.3 the client may think that it is through before it is refused.
        if let Ok(stream) = stream {
            let heard = spoken(stream).await;
            ensure!(heard.is_empty(), "in TLS: {heard}");
        }
        until("both are counted", async || {
            let now = (refused("not-tls").await?, refused("no-certificate").await?);
            ensure!(now == (not_tls + 1, nobody + 1), "{:?}, then {now:?}", (not_tls, nobody));
            Ok(())
        })
        .await?;
        let after = requests(&ground, &pod).await?;
        ensure!(before == after, "{before:?}, then {after:?}");
        Ok(())
    })
}

/// Says that it is a pod of a model, and proves to be another of the same namespace, with the same account.
fn false_peer(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let (model, _, pod) = target(&ground, "forged-peer").await?;
        let other = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "forged-peer", "name": "other" },
            "spec": { "containers": [{ "name": "main", "image": "rouse.dev/shell", "args": ["-c", "sleep 3600"] }] },
        });
        ground.apply(&other).await?;
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", "other", "--audience", "rouse"];
        let made = [&["-n", "forged-peer", "create", "token", "default"][..], &bound[..]].concat();
        let token = ground.kubectl(&made).await?;
        let leader = ground.leader().await?.pod;
        let all = ground.pods("rouse", "app.kubernetes.io/component=autoscaler").await?;
        let leader = all.into_iter().find(|pod| pod.metadata.name.as_deref() == Some(&leader)).context("no leader")?;

        let metrics = ground.metrics_of_leader().await?;
        let unproven = async || counted(&metrics, "rouse_stream_ends_total{reason=\"unproven\"}").await;
        let before = unproven().await?;
        let believing = Believing::default();
        believing.believe(bundle(&ground).await?.as_bytes())?;
        let mut stream = believing.connect(TcpStream::connect(address(&leader, 8081)?).await?, AUTOSCALER).await?;
        let hello = Hello {
            role: Role::Sidecar as i32,
            namespace: "forged-peer".to_owned(),
            name: pod.metadata.name.unwrap_or_default(),
            uid: pod.metadata.uid.unwrap_or_default(),
            incarnation: 7,
            revision: model.name.clone(),
            proof: Some(Proof { token: token.trim().to_owned(), public_key: Vec::new() }),
            ..Hello::default()
        };
        let stats = SidecarStats { number: 1, in_flight: 10_000, ready: true, ..SidecarStats::default() };
        for said in [Up::Hello(hello), Up::SidecarStats(stats)] {
            stream.write_all(&wire::encode(&ToAutoscaler { kind: Some(said) })).await?;
        }
        stream.flush().await?;
        let mut told = Vec::new();
        // Closed, properly or not: in any case nothing was said.
        let _ = stream.read_to_end(&mut told).await;
        ensure!(told.is_empty(), "it was told {told:?}");
        ensure!(before < unproven().await?, "it was not counted");
        // The very first of these would have been enough for one more, at one of the next decisions, two seconds apart.
        ground.keeps(&model.namespace, &model.name, 1, Duration::from_secs(5)).await;
        Ok(())
    })
}
