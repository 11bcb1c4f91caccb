//! Many requests that wait for a revision at zero, all at once; then it wakes and all are answered.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Memory, Mib, model};
use crate::http1;
use crate::up::Up;

/// How many connect at a time: more than fit into the port's backlog would wait for a second.
const CONNECTING: usize = 64;
/// How long all may take to arrive, and to be answered, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Of the budget, for each request beside its body.
const ROOM: u64 = 32 << 10;
/// Memory that has not grown for so long does not.
const SETTLE: Duration = Duration::from_secs(1);
/// After the last answer.
const LATER: Duration = Duration::from_secs(3);
/// And when connections to replicas that have nothing to do, kept for four seconds, are gone too.
const AT_REST: Duration = Duration::from_secs(10);

/// How many, and how large.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// Requests, each on a connection of its own.
    pub requests: u32,
    /// Bytes of each one's body.
    pub bytes: usize,
}

impl Holding {
    /// What the program is told that all that waits may take: for each its body, and some room beside.
    fn budget(self) -> u64 {
        (u64::from(self.requests) * (ROOM + self.bytes as u64)).max(1 << 20)
    }
}

/// What came of it; memory in bytes, its own.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// What was asked.
    pub of: Holding,
    /// Before anybody came.
    pub before: u64,
    /// While all were held.
    pub holding: u64,
    /// What the budget for what waits was charged with then.
    pub charged: u64,
    /// Three seconds after the last was answered.
    pub later: u64,
    /// Ten seconds after.
    pub at_rest: u64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holding { requests, bytes } = self.of;
        let (before, holding) = (Mib(self.before), Mib(self.holding));
        let (later, at_rest) = (Mib(self.later), Mib(self.at_rest));
        let (charged, budget) = (Mib(self.charged), Mib(self.of.budget()));
        write!(
            f,
            "{requests} held requests of {bytes} bytes, all answered: {before} before, {holding} then (charged {charged} of \
             {budget}), {later} 3 s after, {at_rest} 10 s after"
        )
    }
}

/// Holds them in the activator of `rouse up`, and lets the model begin once all are there.
///
/// # Errors
/// If one of them is not answered, with its own bytes.
pub async fn hold(rouse: &Path, of: Holding) -> anyhow::Result<Held> {
    let folder = TempDir::new()?;
    let (file, go) = (folder.path().join("models.yaml"), folder.path().join("go"));
    let (rouse_, go_) = (rouse.canonicalize()?, go.display());
    let script = format!("while [ ! -e '{go_}' ]; do sleep 0.05; done; exec '{}' predictor", rouse_.display());
    // So few at a time at the model that those who are let through need few descriptors.
    std::fs::write(&file, model(&script, 100, &json!({ "maxReplicas": 1 })))?;
    let budget = of.budget().to_string();
    let up = Up::start(rouse, &folder, &file, &["--memory-budget", &budget]).await?;
    let pid = up.pid().context("rouse up has ended")?;
    let before = Memory::of(pid)?.own;

    let (to, connecting) = (up.listen(), Arc::new(Semaphore::new(CONNECTING)));
    let mut requests = JoinSet::new();
    for number in 0..of.requests {
        requests.spawn(ask(to, number, of.bytes, Arc::clone(&connecting)));
    }
    let all_held = async {
        loop {
            // Who is answered before all are there was not held.
            if let Some(early) = requests.try_join_next() {
                early??;
                anyhow::bail!("one was answered while the model was still down");
            }
            if gauge(&up, "rouse_held_requests").await? == u64::from(of.requests) {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, all_held).await.with_context(|| format!("not all are held after {PATIENCE:?}"))??;
    // Who is held is counted from its head on; what is read of its body comes after.
    let mut holding = Memory::of(pid)?.own;
    loop {
        sleep(SETTLE).await;
        let now = Memory::of(pid)?.own;
        if now <= holding {
            break;
        }
        holding = now;
    }
    let charged = gauge(&up, "rouse_memory_budget_used_bytes").await?;

    std::fs::write(&go, "")?;
    let all_answered = async {
        while let Some(answered) = requests.join_next().await {
            answered??;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all_answered).await.with_context(|| format!("not all are answered after {PATIENCE:?}"))??;
    sleep(LATER).await;
    let later = Memory::of(pid)?.own;
    sleep(AT_REST - LATER).await;
    Ok(Held { of, before, holding, charged, later, at_rest: Memory::of(pid)?.own })
}

/// A gauge of the program, over all its labels.
async fn gauge(up: &Up, name: &str) -> anyhow::Result<u64> {
    let metrics = http1::get(up.admin(), "localhost", "/metrics").await?;
    let text = String::from_utf8_lossy(metrics.body());
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(['{', ' '])?.rsplit(' ').next());
    let values: Vec<f64> = values.map(str::parse).collect::<Result<_, _>>()?;
    ensure!(!values.is_empty(), "no {name} in /metrics");
    Ok(values.iter().sum::<f64>() as u64)
}

/// Sends a body, and expects it back.
async fn ask(to: SocketAddr, number: u32, bytes: usize, connecting: Arc<Semaphore>) -> anyhow::Result<()> {
    let body: Vec<u8> = number.to_string().into_bytes().into_iter().cycle().take(bytes).collect();
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: model.localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = {
        let _turn = connecting.acquire().await?;
        let mut stream = TcpStream::connect(to).await.with_context(|| format!("connecting the {number}th"))?;
        stream.write_all(head.as_bytes()).await?;
        stream
    };
    stream.write_all(&body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.with_context(|| format!("the answer to the {number}th"))?;
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(&body),
        "the {number}th was answered {:?}",
        String::from_utf8_lossy(&answer[..answer.len().min(300)])
    );
    Ok(())
}
