//! Commands within a container that runs: exec probes and hooks.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tonic::Status;

use crate::Runtime;
use crate::inside::{ExecSpec, Role, exit_code};
use crate::line::Line;
use crate::protocol as p;
use crate::state::{Phase, environment};

/// Of each stream; what is more is read and dropped, as the protocol asks.
const OUTPUT_BYTES: u64 = 16 * 1024 * 1024;

/// How long output may follow the end of a command that left something running with its streams.
const DRAIN: Duration = Duration::from_secs(1);

impl Runtime {
    /// Runs a command to its end. A `timeout` of none waits as long as it takes.
    pub(crate) async fn exec(&self, request: p::ExecSyncRequest) -> Result<p::ExecSyncResponse, Status> {
        let spec = self.exec_spec(&request)?;
        let limit = u64::try_from(request.timeout).ok().filter(|&seconds| 0 < seconds).map(Duration::from_secs);
        match run(&spec, limit).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Status::deadline_exceeded(format!("{:?} did not end within {limit:?}", request.cmd))),
            Err(error) => Err(Status::internal(format!("{error:#}"))),
        }
    }

    fn exec_spec(&self, request: &p::ExecSyncRequest) -> Result<ExecSpec, Status> {
        let id = &request.container_id;
        self.with_container(id, |state, container| {
            let Phase::Running { pid, .. } = *container.phase.borrow() else {
                return Err(Status::failed_precondition(format!("container {id} does not run")));
            };
            let image = self.image(&container.image).unwrap_or_default();
            let hostname = state.sandboxes.get(&container.sandbox).map_or("", |it| &it.config.hostname);
            let working_dir = &container.config.working_dir;
            Ok(ExecSpec {
                pid,
                command: request.cmd.clone(),
                env: environment(&image, &container.config, hostname),
                working_dir: if working_dir.is_empty() { "/".into() } else { working_dir.into() },
            })
        })?
    }
}

/// What a command gave; none if it had to be killed.
async fn run(spec: &ExecSpec, limit: Option<Duration>) -> anyhow::Result<Option<p::ExecSyncResponse>> {
    let (mut line, stdin) = Line::pair()?;
    let mut child = Command::new("/proc/self/exe")
        .arg(Role::Exec.name())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {:?}", spec.command))?;
    line.tell(spec).await?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = {
        let read = async { tokio::join!(collect(out, &mut stdout), collect(err, &mut stderr)) };
        tokio::pin!(read);
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let mut all_read = false;
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break Some(ended.context("cannot wait for a command")?),
                () = &mut over => break None,
                _ = &mut read, if !all_read => all_read = true,
            }
        };
        if ended.is_some() && !all_read {
            let _ = tokio::time::timeout(DRAIN, read).await;
        }
        ended
    };
    // With the line the command goes, if there still is one, and also if this future is dropped; its parent, which waits
    // for it, must not be killed: the container could not end while nobody has waited.
    drop(line);
    let Some(ended) = ended else {
        child.wait().await.context("cannot wait for a command that was killed")?;
        return Ok(None);
    };
    Ok(Some(p::ExecSyncResponse { stdout, stderr, exit_code: exit_code(ended) }))
}

async fn collect(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    // What cannot be read is as if it had not been said.
    let _ = (&mut from).take(OUTPUT_BYTES).read_to_end(into).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}
