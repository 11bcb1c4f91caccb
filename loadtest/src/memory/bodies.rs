//! One large request that is also a large answer: the model echoes.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Listening, Memory, Mib, free_port, model};
use crate::up::Up;

/// What is sent again and again. Its length has no factor in common with any buffer's, so that a piece that was lost or
/// came twice is seen.
const PIECE: usize = 65_521;
/// Sent before memory is looked at, so that buffers and pools are there.
const FIRST: u64 = 4 << 20;
/// How much more may have been sent than has come back. Without a limit the kernel's buffers fill both ways at once, tens of
/// megabytes each; on a busy machine a connection was seen to stand still for good then (Linux 6.18), with bytes to send on
/// one end and room for them on the other.
const AHEAD: usize = 4 << 20;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// Through whom.
    pub through: &'static str,
    /// Bytes of the request, and of the answer.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// The most memory before it, with all that is shared.
    pub before: u64,
    /// And during it.
    pub peak: u64,
}

impl Large {
    /// By how much memory grew, in bytes.
    pub fn growth(&self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}

impl fmt::Display for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, before, peak) = (Mib(self.bytes), Mib(self.before), Mib(self.peak));
        let took = self.took.as_secs_f64();
        write!(f, "{bytes} there and back through {}: {took:.1} s; at most {before} before, {peak} then", self.through)
    }
}

/// Through activator and sidecar of `rouse up`, which are one process.
///
/// # Errors
/// If it does not come up, or what comes back is not what was sent.
pub async fn through_rouse_up(rouse: &Path, bytes: u64) -> anyhow::Result<Large> {
    let folder = TempDir::new()?;
    let file = folder.path().join("models.yaml");
    let script = format!("exec '{}' predictor", rouse.canonicalize()?.display());
    std::fs::write(&file, model(&script, 0, &json!({ "minReplicas": 1, "maxReplicas": 1 })))?;
    let up = Up::start(rouse, &folder, &file, &[]).await?;
    let pid = up.pid().context("rouse up has ended")?;
    measure("activator and sidecar", up.listen(), pid, bytes).await
}

/// Through the sidecar alone, as it stands in a pod.
///
/// # Errors
/// As above.
pub async fn through_sidecar(rouse: &Path, queue_proxy: &Path, bytes: u64) -> anyhow::Result<Large> {
    let (model, listen) = (free_port()?, free_port()?);
    let model = Listening::start(rouse, &["predictor", "--port", &model.to_string()], &[], model).await?;
    let local = |port: u16| format!("127.0.0.1:{port}");
    let settings = [
        ("UPSTREAM", model.address.to_string()),
        ("LISTEN", local(listen)),
        ("PROXIED_LISTEN", local(0)),
        ("ADMIN_LISTEN", local(0)),
    ];
    let sidecar = Listening::start(queue_proxy, &[], &settings, listen).await?;
    measure("a sidecar", sidecar.address, sidecar.pid()?, bytes).await
}

async fn measure(through: &'static str, to: SocketAddr, pid: u32, bytes: u64) -> anyhow::Result<Large> {
    echo(to, FIRST).await.context("the first, smaller one")?;
    let before = Memory::of(pid)?.peak;
    let begin = Instant::now();
    echo(to, bytes).await?;
    Ok(Large { through, bytes, took: begin.elapsed(), before, peak: Memory::of(pid)?.peak })
}

/// Sends so many bytes, and reads them as they come back.
async fn echo(to: SocketAddr, bytes: u64) -> anyhow::Result<()> {
    let piece: Bytes = (0..PIECE).map(|at| (at % 251) as u8).collect();
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let room = Arc::new(Semaphore::new(AHEAD));
    let (sent, taken) = (piece.clone(), Arc::clone(&room));
    let pieces = futures_util::stream::unfold(bytes, move |left| {
        let next = sent.slice(..sent.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let room = Arc::clone(&taken);
        async move {
            if left == 0 {
                return None;
            }
            room.acquire_many(u32::try_from(next.len()).ok()?).await.ok()?.forget();
            let left = left - next.len() as u64;
            Some((Ok::<_, Infallible>(Frame::data(next)), left))
        }
    });
    let exchange = async {
        let request = Request::post("/echo").header(HOST, "model.localhost").body(StreamBody::new(Box::pin(pieces)))?;
        let mut answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "answered {}", answer.status());
        let (mut came, mut at) = (0, 0);
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.with_context(|| format!("after {came} of {bytes} bytes had come back"))?;
            let Ok(mut data) = frame.into_data() else { continue };
            came += data.len() as u64;
            room.add_permits(data.len());
            while !data.is_empty() {
                let part = data.split_to(data.len().min(PIECE - at));
                ensure!(part == piece[at..at + part.len()], "other bytes came back, before byte {came}");
                at = (at + part.len()) % PIECE;
            }
        }
        ensure!(came == bytes, "{came} of {bytes} bytes came back");
        Ok(())
    };
    tokio::pin!(connection);
    tokio::select! {
        done = exchange => done,
        ended = &mut connection => anyhow::bail!("the connection ended early: {ended:?}"),
    }
}
