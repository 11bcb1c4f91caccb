//! Two revisions behind one address in the cluster: tags, shares, and shares that are changed while load runs and nobody
//! leads.

use anyhow::ensure;
use cluster::ground::Ground;
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;
use wired::{Client, Paced, Span, nothing_is_lost_or_begun_twice};

use crate::faults::another_leads;
use crate::zero::{at, deploy};

pub(crate) const TESTS: &[Test] =
    &[("shares_that_are_changed_under_load_while_a_leader_is_killed_are_exact_and_lose_nothing", changed)];

const NAMESPACE: &str = "canary";
const V1: &str = "model-v1";
const V2: &str = "model-v2";

struct Canary<'a> {
    ground: &'a Ground,
    v1: Model,
    v2: Model,
}

impl Canary<'_> {
    fn endpoint(&self, percent: u8) -> serde_json::Value {
        let mut endpoint = self.v1.endpoint("model");
        endpoint["spec"]["traffic"] = json!([
            { "revision": V1, "percent": 100 - percent },
            { "revision": V2, "percent": percent, "tag": "candidate" },
        ]);
        endpoint
    }

    async fn write(&self, percent: u8) -> anyhow::Result<()> {
        self.ground.apply(&self.endpoint(percent)).await.map(drop)
    }

    /// Waits until `status` says that this split is in force.
    async fn in_force(&self, percent: u8) -> anyhow::Result<Instant> {
        until(&format!("status has {percent} %"), async || {
            let path = "jsonpath={range .status.traffic[*]}{.revision}={.percent} {end}";
            let said = self.ground.kubectl(&["-n", NAMESPACE, "get", "mep", "model", "-o", path]).await?;
            ensure!(said.trim() == format!("{V1}={} {V2}={percent}", 100 - percent), "{said}");
            Ok(())
        })
        .await?;
        Ok(Instant::now())
    }

    /// From when a split is in force, until so many more requests were sent.
    async fn goes_on(&self, load: &Paced, percent: u8, from: Instant) -> anyhow::Result<Span<'static>> {
        let enough = load.sent() + 300;
        until("the load goes on", async || {
            ensure!(enough <= load.sent(), "{} of {enough}", load.sent());
            Ok(())
        })
        .await?;
        Ok(Span { revision: V2, percent, activators: 2, from, to: Instant::now() })
    }
}

/// Whoever asks by name gets the candidate, whatever its share: at the Service of its tag, and with the header.
async fn is_reached_by_its_tag(client: &Client, tagged: &Client) -> anyhow::Result<()> {
    let by_header = client.request("/").header("rouse-tag", "candidate");
    for answer in [client.ask(by_header, "").await, tagged.ask(tagged.request("/"), "").await] {
        let answer = answer.map_err(anyhow::Error::msg)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        ensure!(answer.header("rouse-revision") == V2, "{:?}", answer.headers);
    }
    Ok(())
}

fn changed(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let log = ground.folder().join("begun-by-canaries");
        let model = |name: &str| {
            let folder = log.join(name);
            std::fs::create_dir_all(&folder)?;
            let model = Model::new(NAMESPACE, name).with_sidecar().with(&["--service-time", "20ms"]);
            anyhow::Ok(Model { limit: 10, log: Some(folder), ..model })
        };
        let canary = Canary { ground: &ground, v1: model(V1)?, v2: model(V2)? };
        ground.with_rouse().await?;
        ground.namespace(NAMESPACE).await?;
        ground.apply(&canary.v2.deployment()).await?;
        let client = deploy(&ground, &canary.v1, &canary.endpoint(0)).await?;
        let tagged = ground.client_of(NAMESPACE, "candidate-model").await?;
        until("the Service of its tag leads to the candidate", async || is_reached_by_its_tag(&client, &tagged).await)
            .await?;
        // From zero, as a canary comes.
        at(&ground, &canary.v2, 0).await?;

        let load = Paced::start(&client, 50);
        let mut spans = vec![canary.goes_on(&load, 0, canary.in_force(0).await?).await?];
        canary.write(10).await?;
        let from = canary.in_force(10).await?;
        at(&ground, &canary.v2, 1).await?;
        spans.push(canary.goes_on(&load, 10, from).await?);
        is_reached_by_its_tag(&client, &tagged).await?;

        let leader = ground.leader().await?;
        ground.signal_rouse(&leader.pod, "autoscaler", Signal::SIGKILL)?;
        canary.write(50).await?;
        another_leads(&ground, &leader).await?;
        spans.push(canary.goes_on(&load, 50, canary.in_force(50).await?).await?);

        canary.write(100).await?;
        let from = canary.in_force(100).await?;
        at(&ground, &canary.v1, 0).await?;
        spans.push(canary.goes_on(&load, 100, from).await?);
        is_reached_by_its_tag(&client, &tagged).await?;

        let all = load.end().await;
        let begun = [V1, V2].map(|name| {
            let written = std::fs::read_dir(log.join(name)).into_iter().flatten().flatten();
            let ids = written.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect::<String>();
            // Those by tag, and those before the load, are others'.
            (name, ids.lines().filter(|id| id.starts_with("request-")).map(|id| format!("{id}\n")).collect())
        });
        nothing_is_lost_or_begun_twice(&all, &begun).map_err(anyhow::Error::msg)?;
        for span in spans {
            let turns = span.is_exact(&all).map_err(anyhow::Error::msg)?;
            ensure!(100 <= turns, "{turns} turns say little");
        }
        eprintln!("cluster: {} requests while shares changed and a leader was killed", all.len());
        ground.available("rouse", "rouse-autoscaler").await
    })
}
