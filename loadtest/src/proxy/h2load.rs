//! nghttp2's `h2load`, where clients are to speak HTTP/2: as fast as answers come. Not ours, so that no fault of ours is on
//! both sides.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::Instant;

use crate::proxy::message::{ASKED, Asked};

/// Requests at once on each connection.
const STREAMS: &str = "8";

/// Its connections are made anew whenever it asks.
#[derive(Debug)]
pub(crate) struct H2load {
    program: PathBuf,
    url: String,
    connections: usize,
    /// What is asked.
    body: PathBuf,
}

impl H2load {
    /// `folder` is where it reads the request's body from.
    pub(crate) fn new(program: &Path, to: SocketAddr, connections: usize, folder: &Path) -> anyhow::Result<Self> {
        let body = folder.join("asked.json");
        std::fs::write(&body, ASKED)?;
        let url = format!("http://{to}{}", Asked::SMALL.path());
        Ok(Self { program: program.to_owned(), url, connections, body })
    }

    /// Asks so often, all connections together, and says how long that took.
    ///
    /// # Errors
    /// If one request was not answered with 200.
    pub(crate) async fn ask(&self, requests: u64) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.program);
        command.args(["-t", "1", "-m", STREAMS, "-c"]).arg(self.connections.to_string());
        command.arg("-n").arg(requests.to_string()).arg("-d").arg(&self.body);
        command.args(["-H", "content-type: application/json"]).arg(&self.url);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let begin = Instant::now();
        let output = command.output().await.with_context(|| format!("starting {}", self.program.display()))?;
        let took = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(all_succeeded(&said, requests), "h2load: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(took)
    }
}

fn all_succeeded(said: &str, requests: u64) -> bool {
    [format!(" {requests} succeeded, 0 failed, 0 errored"), format!("status codes: {requests} 2xx, ")]
        .iter()
        .all(|wanted| said.contains(wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_failed_is_noticed() {
        let said = |good: u64, failed: u64| {
            format!(
                "requests: 9 total, 9 started, 9 done, {good} succeeded, {failed} failed, 0 errored, 0 timeout\n\
                 status codes: {good} 2xx, 0 3xx, 0 4xx, {failed} 5xx\n"
            )
        };
        assert!(all_succeeded(&said(9, 0), 9));
        assert!(!all_succeeded(&said(8, 1), 9));
        assert!(!all_succeeded(&said(8, 0), 9));
    }
}
