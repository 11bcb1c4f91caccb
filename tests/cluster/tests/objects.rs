//! `ModelEndpoint` as people meet it: with kubectl.

use anyhow::{Context as _, ensure};
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use serde_json::json;

pub(crate) const TESTS: &[Test] = &[
    ("a_bad_endpoint_is_refused_with_all_that_is_wrong_in_words", refused),
    ("kubectl_explains_every_field", explained),
    ("an_endpoint_that_is_applied_twice_does_not_differ", twice),
];

fn refused(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("refused").await?;
        let mut endpoint = Model::new("refused", "v1").endpoint("bad");
        endpoint["spec"] = json!({
            "hosts": ["Not A Host"],
            "traffic": [{ "revision": "v1", "percent": 60 }, { "revision": "v2", "percent": 30 }],
            "containerConcurrency": -1,
        });
        let said = format!("{:#}", ground.apply(&endpoint).await.err().context("it was taken")?);
        for part in ["percents add up to 100", "spec.hosts[0]", "spec.containerConcurrency"] {
            ensure!(said.contains(part), "{part} is not in: {said}");
        }
        Ok(())
    })
}

fn explained(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        for field in
            ["spec.traffic", "spec.autoscaling", "spec.queue", "spec.timeouts", "status.conditions", "status.revisions"]
        {
            let said = ground.kubectl(&["explain", &format!("modelendpoints.{field}"), "--recursive=false"]).await?;
            let described = said.split("FIELDS:").nth(1).unwrap_or_default();
            ensure!(said.contains("DESCRIPTION:") && !said.contains("<empty>"), "{field}: {said}");
            ensure!(!described.trim().is_empty(), "{field}: {said}");
        }
        Ok(())
    })
}

fn twice(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        ground.namespace("twice").await?;
        let endpoint = Model::new("twice", "v1").endpoint("same");
        let file = ground.folder().join("same.json");
        std::fs::write(&file, endpoint.to_string())?;
        let file = file.to_string_lossy();
        ground.kubectl(&["apply", "--server-side", "-f", &file]).await?;
        // Ends with 1, and so as a failure here, if there is a difference.
        ground.kubectl(&["diff", "--server-side", "-f", &file]).await?;
        Ok(())
    })
}
