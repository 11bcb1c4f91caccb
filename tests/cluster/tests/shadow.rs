//! A candidate that gets copies of what comes through the endpoint's address in the cluster, and then a part of it.

use anyhow::ensure;
use cluster::ground::Ground;
use cluster::installed::{counted, until};
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use serde_json::json;
use wired::{Client, Paced, nothing_is_lost_or_begun_twice};

use crate::zero::{at, deploy};

pub(crate) const TESTS: &[Test] =
    &[("a_shadow_is_woken_and_compared_and_becomes_a_canary_under_load_without_a_loss", promoted)];

const NAMESPACE: &str = "shadow";
const USED: &str = "model-v1";
const CANDIDATE: &str = "model-v2";

/// Answers of the shadow that are like those that clients got, over all activators.
async fn alike(ground: &Ground) -> anyhow::Result<u64> {
    let name = format!(
        "rouse_shadow_comparisons_total{{namespace=\"{NAMESPACE}\",result=\"alike\",revision=\"{CANDIDATE}\"}}"
    );
    let mut all = 0;
    for pod in ground.pods("rouse", "app.kubernetes.io/component=activator").await? {
        all += counted(&ground.client_of_pod(&pod, 9090)?, &name).await?;
    }
    Ok(all)
}

async fn predict(client: &Client, number: u32) -> anyhow::Result<()> {
    let request = client.request("/v1/models/any:predict").method("POST");
    let body = format!(r#"{{"instances": [[{number}, 0.5]]}}"#);
    let answer = client.ask(request, body).await.map_err(anyhow::Error::msg)?;
    ensure!(answer.status == 200 && answer.header("rouse-revision") == USED, "{answer:?}");
    Ok(())
}

fn promoted(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let log = ground.folder().join("begun-by-shadows");
        let model = |name: &str| {
            let folder = log.join(name);
            std::fs::create_dir_all(&folder)?;
            let model = Model::new(NAMESPACE, name).with_sidecar().with(&["--service-time", "20ms"]);
            anyhow::Ok(Model { log: Some(folder), ..model })
        };
        let (used, candidate) = (model(USED)?, model(CANDIDATE)?);
        ground.with_rouse().await?;
        ground.namespace(NAMESPACE).await?;
        ground.apply(&candidate.deployment()).await?;
        let mut shadowed = used.endpoint("model");
        shadowed["spec"]["shadow"] = json!([{ "revision": CANDIDATE, "wake": true, "compare": {} }]);
        let client = deploy(&ground, &used, &shadowed).await?;

        // Through the Service, so past the activators never: those make the copies. The first ones wake the candidate.
        for number in 0..20 {
            predict(&client, number).await?;
        }
        until("all predictions are answered alike", async || {
            let seen = alike(&ground).await?;
            // And perhaps one that looked whether the endpoint answers.
            ensure!(20 <= seen, "{seen}");
            Ok(())
        })
        .await?;
        let path =
            "jsonpath={range .status.traffic[*]}{.revision}={.percent} {end}/{range .status.revisions[*]} {.name}{end}";
        let said = ground.kubectl(&["-n", NAMESPACE, "get", "mep", "model", "-o", path]).await?;
        ensure!(said.trim() == "model-v1=100 / model-v1 model-v2", "{said}");

        // What it was asked as a shadow it was not asked by clients; from now on a tenth of them asks it.
        let load = Paced::start(&client, 40);
        let goes_on = async |beyond: u64| {
            until("the load goes on", async || {
                ensure!(beyond <= load.sent(), "{} of {beyond}", load.sent());
                Ok(())
            })
            .await
        };
        goes_on(200).await?;
        let mut canary = used.endpoint("model");
        canary["spec"]["traffic"] =
            json!([{ "revision": USED, "percent": 90 }, { "revision": CANDIDATE, "percent": 10, "tag": "candidate" }]);
        canary["spec"]["shadow"] = json!([]);
        ground.apply(&canary).await?;
        goes_on(load.sent() + 400).await?;
        // And back again.
        ground.apply(&shadowed).await?;
        goes_on(load.sent() + 200).await?;
        let all = load.end().await;

        let begun = |name: &str| {
            let written = std::fs::read_dir(log.join(name)).into_iter().flatten().flatten();
            let ids = written.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect::<String>();
            ids.lines().filter(|id| id.starts_with("request-")).map(str::to_owned).collect::<Vec<_>>()
        };
        let (by_used, mut by_candidate) = (begun(USED), begun(CANDIDATE));
        // Copies beside the requests, and no request twice at either.
        let asked_of = |name: &str| all.iter().filter(|asked| asked.revision == name).count();
        ensure!(40 <= asked_of(CANDIDATE), "{} at the canary", asked_of(CANDIDATE));
        ensure!(asked_of(CANDIDATE) + 200 <= by_candidate.len(), "copies are missing: {}", by_candidate.len());
        by_candidate.sort();
        ensure!(by_candidate.windows(2).all(|pair| pair[0] != pair[1]), "a copy or a request was begun twice");
        let clients: std::collections::BTreeSet<&str> =
            all.iter().filter(|asked| asked.revision == CANDIDATE).map(|asked| &*asked.id).collect();
        let lines = |ids: &mut dyn Iterator<Item = &String>| ids.map(|id| format!("{id}\n")).collect::<String>();
        let begun = [
            (USED, lines(&mut by_used.iter())),
            (CANDIDATE, lines(&mut by_candidate.iter().filter(|id| clients.contains(id.as_str())))),
        ];
        nothing_is_lost_or_begun_twice(&all, &begun).map_err(anyhow::Error::msg)?;
        eprintln!(
            "cluster: {} requests, {} of them a canary's, {} copies",
            all.len(),
            clients.len(),
            by_candidate.len() - clients.len()
        );

        // Named by nobody any more it is not left at zero.
        let mut alone = used.endpoint("model");
        alone["spec"]["shadow"] = json!([]);
        at(&ground, &candidate, 0).await?;
        ground.apply(&alone).await?;
        at(&ground, &candidate, 1).await
    })
}
