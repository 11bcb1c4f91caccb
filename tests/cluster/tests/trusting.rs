//! Streams and requests between the programs in TLS: tokens that the real API server looks at, and authorities that change.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use cluster::clients::Clients;
use cluster::ground::Ground;
use cluster::installed::{counted, until};
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use k8s_openapi::api::core::v1::Pod;
use platform::Unproven;
use serde_json::json;

use crate::injection::says;
use crate::leading::seen_by;
use crate::taking_over::{condition, holds};
use crate::zero::deploy;

pub(crate) const TESTS: &[Test] = &[
    ("a_token_says_which_pod_holds_it_and_nothing_else_does", tokens),
    ("plain_tcp_is_spoken_only_where_a_switch_says_so_and_a_condition_tells_of_it", plaintext),
    ("authorities_change_twice_under_load_and_nothing_is_lost", rotations),
];

async fn token(ground: &Ground, more: &[&str]) -> anyhow::Result<String> {
    let made = ground.kubectl(&[&["-n", "proving", "create", "token", "default"], more].concat()).await?;
    Ok(made.trim().to_owned())
}

fn tokens(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("proving").await?;
        let pod = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "proving", "name": name },
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{ "name": "main", "image": "rouse.dev/shell", "args": ["-c", "sleep 3600"] }],
                },
            })
        };
        ground.apply(&pod("a")).await?;
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", "a"];
        let good = until("the ServiceAccount is there", async || {
            token(&ground, &[&["--audience", "rouse"][..], &bound[..]].concat()).await
        })
        .await?;
        let cluster = seen_by(&ground, "rouse", "nobody").await?;
        let holder = cluster.who_holds(&good).await?;
        let who = (holder.namespace.as_str(), holder.account.as_str(), holder.pod_name.as_str());
        ensure!(who == ("proving", "default", "a") && !holder.pod_uid.is_empty(), "{holder:?}");
        let refused = async |token: &str, says: &str| {
            let answer = cluster.who_holds(token).await;
            let is_so = matches!(&answer, Err(Unproven::Refused(why)) if why.contains(says));
            ensure!(is_so, "{answer:?} and not {says:?}");
            Ok(())
        };
        refused(&token(&ground, &["--audience", "rouse"]).await?, "made for no pod").await?;
        refused(&token(&ground, &bound).await?, "").await?;
        refused(&token(&ground, &[&["--audience", "others"][..], &bound[..]].concat()).await?, "").await?;
        refused(&good[..good.len() - 4], "").await?;
        refused("admin", "").await?;
        ground.kubectl(&["-n", "proving", "delete", "pod", "a", "--wait"]).await?;
        until("a token is not good for longer than its pod is there", async || refused(&good, "").await).await
    })
}

pub(crate) async fn bundle(ground: &Ground) -> anyhow::Result<String> {
    let said =
        ground.kubectl(&["-n", "rouse", "get", "configmap", "rouse-trust", "-o", r"jsonpath={.data.ca\.crt}"]).await?;
    ensure!(said.contains("BEGIN CERTIFICATE"), "{said:?}");
    Ok(said)
}

fn certificates(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

/// Which pods there are, and how often their containers have begun anew.
async fn pods(ground: &Ground, namespace: &str, label: &str) -> anyhow::Result<BTreeMap<String, i32>> {
    let pods = ground.pods(namespace, label).await?;
    let there = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let restarts = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
        containers.map(|container| container.restart_count).sum()
    };
    Ok(there.map(|pod| (pod.metadata.uid.clone().unwrap_or_default(), restarts(pod))).collect())
}

fn rotations(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        rotate_under_load(&ground).await
    })
}

async fn rotate_under_load(ground: &Ground) -> anyhow::Result<()> {
    let first = until("the leader says whom to believe", async || bundle(ground).await).await?;
    let model = Model::new("trusting", "trusting-v1").with_sidecar_by_hand(Some(&first));
    let mut endpoint = model.endpoint("trusting");
    endpoint["spec"]["autoscaling"] = json!({ "target": 10, "minReplicas": 1, "maxReplicas": 1 });
    // Over 8013, all of them.
    endpoint["spec"]["path"] = json!("proxied");
    let client = deploy(ground, &model, &endpoint).await?;
    let of_all = async || {
        let mut all = pods(ground, "rouse", "app.kubernetes.io/part-of=rouse").await?;
        all.extend(pods(ground, "trusting", "app=trusting-v1").await?);
        anyhow::Ok(all)
    };
    let before = of_all().await?;
    let clients = Clients::start(&client, 4);
    let mut known = first.clone();
    for turn in ["rouse.dev/rotate=once", "rouse.dev/rotate=twice"] {
        ground.kubectl(&["-n", "rouse", "annotate", "--overwrite", "secret", "rouse-authority", turn]).await?;
        known = until("the old authority is forgotten", async || {
            let now = bundle(ground).await?;
            ensure!(certificates(&now) == 1 && now != known, "{} certificates", certificates(&now));
            Ok(now)
        })
        .await?;
        let enough = clients.begun() + 50;
        until("requests are answered after it", async || {
            ensure!(enough <= clients.begun(), "{} of {enough}", clients.begun());
            Ok(())
        })
        .await?;
    }
    let ended = clients.end().await;
    eprintln!("cluster: {} requests while authorities changed twice", ended.asked);
    ended.all_good(200)?;
    let after = of_all().await?;
    ensure!(before == after, "pods and their restarts: {before:?}, then {after:?}");
    let said =
        ground.kubectl(&["-n", "trusting", "get", "mep", "trusting", "-o", "jsonpath={.status.conditions}"]).await?;
    ensure!(!said.contains("NotEncrypted"), "{said}");
    // A pod with what was injected long ago.
    let pod = ground.pods("trusting", "app=trusting-v1").await?.into_iter().next().context("no pod")?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    ground.kubectl(&["-n", "trusting", "delete", "pod", &name, "--wait=false"]).await?;
    until("another pod takes its place and is answered for", async || {
        let there = pods(ground, "trusting", "app=trusting-v1").await?;
        ensure!(there.len() == 1 && !there.contains_key(pod.metadata.uid.as_deref().unwrap_or_default()));
        let answer = client.ask(client.request("/"), "").await.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(())
    })
    .await
}

/// Has both of Rouse's programs take plain TCP too, or not.
async fn speak(ground: &Ground, plaintext: &str) -> anyhow::Result<()> {
    for program in ["rouse-autoscaler", "rouse-activator"] {
        ground.kubectl(&["-n", "rouse", "set", "env", &format!("deployment/{program}"), plaintext]).await?;
    }
    for program in ["rouse-autoscaler", "rouse-activator"] {
        ground.available("rouse", program).await?;
    }
    Ok(())
}

/// Streams to the leader that did not begin with TLS.
async fn without_tls(ground: &Ground) -> anyhow::Result<u64> {
    counted(&ground.metrics_of_leader().await?, "rouse_stream_ends_total{reason=\"no-tls\"}").await
}

fn plaintext(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        // Nobody else's models are to be about while Rouse speaks another way.
        let ground = stage.ground.write().await;
        ground.with_rouse().await?;
        let model = Model { replicas: Some(1), ..Model::new("plaintext", "old-v1").with_sidecar_by_hand(None) };
        let mut endpoint = model.endpoint("old");
        endpoint["spec"]["autoscaling"] =
            json!({ "target": 10, "minReplicas": 1, "maxReplicas": 1, "targetBurstCapacity": 0 });
        ground.namespace("plaintext").await?;
        ground.apply(&model.deployment()).await?;
        ground.apply(&endpoint).await?;
        ground.available("plaintext", "old-v1").await?;
        until("who speaks plain TCP is turned away and counted", async || {
            ensure!(0 < without_tls(&ground).await?);
            Ok(())
        })
        .await?;
        ensure!(condition(&ground, &model, "old", "Plaintext").await?.0 != "True");

        speak(&ground, "PLAINTEXT=true").await?;
        let served = async {
            holds(&ground, &model, "old", "Plaintext").await?;
            says(&ground, &model, "old", "straight to the replicas").await?;
            ensure!(ground.client_of("plaintext", "old").await?.get("/").await.status == 200);
            endpoint["spec"]["path"] = json!("proxied");
            ground.apply(&endpoint).await?;
            says(&ground, &model, "old", "through the activators").await?;
            ensure!(ground.client_of("plaintext", "old").await?.get("/").await.status == 200);
            ground.kubectl(&["-n", "plaintext", "delete", "deployment,mep", "--all"]).await
        };
        let served = served.await;
        speak(&ground, "PLAINTEXT-").await?;
        served.map(drop)
    })
}
