//! What many endpoints cost, and how soon all of them are looked after. In a cluster of its own.
//!
//! A thousand of them with programs as people run them (`make bench-endpoints`), and a tenth of that with those of the
//! other tests, which are several times slower: what is written and asked is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::ground::{Ground, Signal};
use cluster::herd::{self, Herd};
use cluster::installed::until;
use cluster::model::Model;
use cluster::suite::{Stage, Test};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wired::Client;

const TESTS: &[Test] = &[("many_idle_endpoints_are_looked_after_at_once_and_cost_little", many)];

const NAMESPACES: usize = 10;
const ENDPOINTS: usize = if cfg!(debug_assertions) { 100 } else { 1_000 };
/// A decision about each, from when an autoscaler answers: five seconds of a quiet machine.
const DECIDED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 10 });
/// What is looked for takes as long as the machine is slow; that nothing moves at all is a fault.
const STUCK: Duration = Duration::from_secs(60);
/// Idle for this long while requests to the API server are counted.
const QUIET: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    cluster::suite::run(&[TESTS])
}

fn many(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.with_rouse().await?;
        let _herd = Herd::for_pods(&ground.client(), 2 * ENDPOINTS).await?;
        let begun = Instant::now();
        for n in 0..NAMESPACES {
            ground.namespace(&format!("many-{n}")).await?;
        }
        let deployed = stream::iter(0..ENDPOINTS).map(|n| deploy(&ground, n)).buffer_unordered(16);
        deployed.try_collect::<()>().await?;
        say(begun, "they are applied");
        reach(ENDPOINTS, "endpoints are ready", async || ready(&ground).await).await?;
        say(begun, "they are ready, with two pods each");
        status_is_written_seldom(&ground, begun.elapsed())?;

        // Both start anew, without a word. Whoever does not lead decides too, and says so.
        let old: Vec<_> = own(&ground, "autoscaler")?.into_iter().map(|container| container.pid).collect();
        for container in own(&ground, "autoscaler")? {
            ground.signal(&container, Signal::SIGKILL)?;
        }
        let started = until("one answers again", async || started(&ground, &old).await).await?;
        let answers = Instant::now();
        reach(ENDPOINTS, "are decided about", async || decided(&started).await).await?;
        let took = answers.elapsed();
        eprintln!("from the first answer of an autoscaler that started anew to a decision about each: {took:.1?}");
        ensure!(took < DECIDED, "a decision about each took {took:?}");

        until("nothing is left to be said", async || {
            let before = requests(&ground)?;
            sleep(Duration::from_secs(5)).await;
            let more = requests(&ground)?.difference(&before).count();
            ensure!(more <= 10, "{more} requests in five seconds");
            Ok(())
        })
        .await?;
        let before = requests(&ground)?;
        sleep(QUIET).await;
        let asked = requests(&ground)?.difference(&before).count();
        eprintln!("requests to the API server in a minute of quiet: {asked}");
        eprintln!("memory in MiB: {}", memory(&ground)?);
        ensure!(asked <= 90, "{asked} requests in a minute of quiet");
        Ok(())
    })
}

async fn deploy(ground: &Ground, n: usize) -> anyhow::Result<()> {
    let namespace = format!("many-{}", n % NAMESPACES);
    let model = Model { replicas: Some(2), ..Model::new(&namespace, &format!("model-{n}-v1")) };
    let mut deployment = model.deployment();
    herd::send(&mut deployment);
    ground.apply(&deployment).await?;
    let mut endpoint = model.endpoint(&format!("model-{n}"));
    endpoint["spec"]["autoscaling"]["minReplicas"] = json!(2);
    ground.apply(&endpoint).await?;
    Ok(())
}

/// Waits until a count is reached; fails if it does not grow any more.
async fn reach(wanted: usize, what: &str, count: impl AsyncFn() -> anyhow::Result<usize>) -> anyhow::Result<()> {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let now = count().await?;
        if wanted <= now {
            return Ok(());
        }
        if most < now {
            (most, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < STUCK, "of {wanted} only {most} {what}");
        sleep(Duration::from_millis(250)).await;
    }
}

/// Endpoints that say so of themselves.
async fn ready(ground: &Ground) -> anyhow::Result<usize> {
    let listed = ground.kubectl(&["get", "modelendpoints", "--all-namespaces", "--output=json"]).await?;
    let list: Value = serde_json::from_str(&listed)?;
    let is_ready = |endpoint: &Value| {
        let conditions = endpoint["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
            && endpoint["metadata"]["namespace"].as_str().is_some_and(|it| it.starts_with("many-"))
    };
    Ok(list["items"].as_array().into_iter().flatten().filter(|it| is_ready(it)).count())
}

/// Containers of Rouse's own programs that run.
fn own(ground: &Ground, name: &str) -> anyhow::Result<Vec<cluster::ground::Container>> {
    Ok(ground.containers()?.into_iter().filter(|it| it.namespace == "rouse" && it.container == name).collect())
}

/// One that was not there before, as soon as it answers.
async fn started(ground: &Ground, old: &[u32]) -> anyhow::Result<Client> {
    let new = own(ground, "autoscaler")?.into_iter().find(|container| !old.contains(&container.pid));
    let address = new.context("nobody has started")?.address.context("no address")?;
    let client = Client::that_asks(SocketAddr::new(address.into(), 9090), "autoscaler");
    let answer = client.ask(client.request("/metrics"), "").await.map_err(anyhow::Error::msg)?;
    ensure!(answer.status == 200, "{}", answer.status);
    Ok(client)
}

async fn decided(leader: &Client) -> anyhow::Result<usize> {
    let answer = leader.ask(leader.request("/metrics"), "").await.map_err(anyhow::Error::msg)?;
    let text = answer.text();
    let about = text.lines().filter(|line| line.starts_with("rouse_replicas{") && line.contains("state=\"desired\""));
    Ok(about.filter(|line| line.contains("namespace=\"many-") && line.ends_with(" 2")).count())
}

/// Each request of Rouse's programs, by its id; renewals of the Lease among them.
fn requests(ground: &Ground) -> anyhow::Result<BTreeSet<String>> {
    Ok(ground.audit()?.iter().filter_map(|it| it["auditID"].as_str().map(str::to_owned)).collect())
}

/// Once in five seconds at most for each endpoint, and twice more for its port and for who came to lead.
fn status_is_written_seldom(ground: &Ground, within: Duration) -> anyhow::Result<()> {
    let mut written = BTreeMap::<String, u64>::new();
    for event in ground.audit()? {
        let of = &event["objectRef"];
        let is_status = of["resource"] == "modelendpoints" && of["subresource"] == "status";
        if is_status && of["namespace"].as_str().is_some_and(|it| it.starts_with("many-")) {
            *written.entry(of["name"].to_string()).or_default() += 1;
        }
    }
    let most = written.values().max().copied().unwrap_or(0);
    eprintln!("writes of status: {}, at most {most} of one endpoint", written.values().sum::<u64>());
    ensure!(written.len() == ENDPOINTS, "the status of {} was written", written.len());
    ensure!(most <= 2 + within.as_secs() / 5, "{most} writes of one status in {within:?}");
    Ok(())
}

fn memory(ground: &Ground) -> anyhow::Result<String> {
    let mut all = Vec::new();
    for name in ["autoscaler", "activator"] {
        for container in own(ground, name)? {
            let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid))?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kib: u64 = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
            all.push(format!("{name} {}", kib / 1024));
        }
    }
    Ok(all.join(", "))
}

fn say(begun: Instant, what: &str) {
    eprintln!("{ENDPOINTS} endpoints: {what}, after {:.1} s", begun.elapsed().as_secs_f64());
}
