//! People's own commands on a cluster; the last of them ends Rouse there, so these come last.

use anyhow::{Context as _, ensure};
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::kserve::Inference;
use cluster::model::Model;
use cluster::suite::{Stage, Test};

use crate::zero::{at, deploy};

pub(crate) const TOLD: &[Test] = &[("rouse_get_and_why_tell_what_the_leader_knows", told)];

pub(crate) const UNINSTALLED: &[Test] = &[("rouse_uninstall_leaves_services_that_work", uninstalled)];

pub(crate) async fn rouse(ground: &Ground, args: &[&str]) -> anyhow::Result<(bool, String)> {
    let mut command = tokio::process::Command::new(ground.ours.join("rouse"));
    command.args(args).env("KUBECONFIG", ground.identities.file("admin.kubeconfig"));
    let done = command.output().await.context("rouse")?;
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    Ok((done.status.success(), told))
}

fn told(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let model = Model::new("told", "asked-v1");
        deploy(&ground, &model, &model.endpoint("asked")).await?;
        let (is_good, said) = rouse(&ground, &["get", "--cluster", "endpoints", "told/asked"]).await?;
        ensure!(is_good && said.contains("asked"), "{said}");
        let (is_good, said) = rouse(&ground, &["why", "--cluster", "told/asked-v1"]).await?;
        ensure!(is_good && said.contains("asked-v1"), "{said}");
        Ok(())
    })
}

fn uninstalled(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let plain = Model::new("uninstalled", "plain-v1");
        let client = deploy(&ground, &plain, &plain.endpoint("plain")).await?;
        let beside = Model { replicas: Some(1), ..Model::new("uninstalled", "beside-v1").with_sidecar() };
        let direct = deploy(&ground, &beside, &beside.endpoint("beside")).await?;
        let nowhere = Model::new("uninstalled", "nowhere-v1");
        ground.apply(&nowhere.endpoint("nowhere")).await?;
        until("what leads to no Deployment has a slice", async || {
            let slices = ground.kubectl(&["get", "endpointslices", "-n", "uninstalled", "-o", "name"]).await?;
            ensure!(slices.contains("nowhere-rouse-v4"), "{slices}");
            Ok(())
        })
        .await?;
        at(&ground, &plain, 0).await?;
        ground.with_kserve().await?;
        let iris = Inference::new("uninstalled", "iris");
        ground.infer(&iris).await?;
        ground.apply(&iris.endpoint("flowers")).await?;
        let by_kserves_name = crate::kserve::client(&ground, &iris, "iris-predictor").await?;
        crate::kserve::client(&ground, &iris, "flowers").await?;
        crate::kserve::asleep(&ground, &iris).await?;
        let (is_good, said) = rouse(&ground, &["uninstall", "--dry-run"]).await?;
        ensure!(is_good && said.contains("uninstalled/plain-v1: from 0 to 1"), "{said}");
        ensure!(ground.replicas("uninstalled", "plain-v1").await? == 0, "a dry run did something");
        let (is_good, said) = rouse(&ground, &["uninstall", "--patience", "2m"]).await?;
        ensure!(is_good, "{said}");
        ground.kubectl(&["delete", "deployment", "-n", "rouse", "rouse-activator"]).await?;
        for client in [client, direct, by_kserves_name] {
            let answer = client.connecting_anew().get("/").await;
            ensure!(answer.status == 200, "{}", answer.status);
        }
        let ours = ["get", "endpointslices", "-A", "-l", "endpointslice.kubernetes.io/managed-by=rouse", "-o", "name"];
        let left = ground.kubectl(&ours).await?;
        ensure!(left.trim().is_empty(), "slices of ours are left: {left}");
        Ok(())
    })
}
