//! A running `rouse up`, for as long as it is measured.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::admin::WakeList;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::http1;

/// Starting takes some tens of milliseconds; who takes longer than this is not coming.
const START: Duration = Duration::from_secs(30);
/// How often is looked whether something has happened.
const PAUSE: Duration = Duration::from_millis(20);
/// How long what has happened may take to be told on the admin port.
const NOTED_WITHIN: Duration = Duration::from_secs(5);

/// A running `rouse up`. Killed when it is dropped; its replicas go with it, as it promises.
#[derive(Debug)]
pub struct Up {
    process: Child,
    addresses: Addresses,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    listen: SocketAddr,
    admin: SocketAddr,
}

/// What it writes down once it takes requests: URLs.
#[derive(Debug, Deserialize)]
struct Announced {
    listen: String,
    admin: String,
}

impl Announced {
    fn addresses(&self) -> anyhow::Result<Addresses> {
        let address =
            |url: &str| url.trim_start_matches("http://").parse().with_context(|| format!("no address: {url}"));
        Ok(Addresses { listen: address(&self.listen)?, admin: address(&self.admin)? })
    }
}

impl Up {
    /// Starts it on `file`, a path inside `folder`, with further `flags`, and returns once it takes requests. What it
    /// prints stands in `output` there.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(rouse: &Path, folder: &TempDir, file: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let announced = folder.path().join("addresses.json");
        let output = folder.path().join("output");
        let log = std::fs::File::create(&output)?;
        let process = Command::new(rouse)
            .arg("up")
            .arg("-f")
            .arg(file)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--announce"])
            .arg(&announced)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", rouse.display()))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut up = Self { process, addresses: Addresses { listen: nowhere, admin: nowhere } };
        let coming = async {
            loop {
                if let Some(status) = up.process.try_wait()? {
                    bail!("rouse up ended with {status}:\n{}", std::fs::read_to_string(&output)?);
                }
                // It may be there and not yet be written.
                let text = std::fs::read_to_string(&announced).unwrap_or_default();
                if let Ok(announced) = serde_json::from_str::<Announced>(&text) {
                    return announced.addresses();
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let addresses = tokio::time::timeout(START, coming).await;
        up.addresses = addresses.with_context(|| format!("rouse up takes no requests after {START:?}"))??;
        Ok(up)
    }

    /// Where requests go.
    pub fn listen(&self) -> SocketAddr {
        self.addresses.listen
    }

    /// Where people look.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// Its own process number; `None` once it was seen to have ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until no revision has a replica any more, ordered or leaving.
    ///
    /// # Errors
    /// If there still is one when the time is over, or it does not say.
    pub async fn until_all_is_at_zero(&self, within: Duration) -> anyhow::Result<()> {
        let waiting = async {
            while !self.all_is_at_zero().await? {
                tokio::time::sleep(PAUSE * 10).await;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(within, waiting).await;
        waited.with_context(|| format!("not every revision is back at zero after {within:?}"))?
    }

    /// When the process of the last wake's first replica ran, as the program itself has kept it, since the epoch. At most a
    /// millisecond too late: the wake's own moment is written in whole ones.
    ///
    /// # Errors
    /// If it does not say so soon: its answer to a request may be there before its own note of it.
    pub async fn spawned(&self, revision: &str) -> anyhow::Result<Duration> {
        let noted = async {
            loop {
                if let Some(spawned) = self.spawned_so_far(revision).await? {
                    return anyhow::Ok(spawned);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(NOTED_WITHIN, noted).await;
        waited.with_context(|| format!("{revision} has answered, and no process of it is said to have started"))?
    }

    async fn spawned_so_far(&self, revision: &str) -> anyhow::Result<Option<Duration>> {
        let path = format!("/api/v1/revisions/default/{revision}/wakes");
        let answer = http1::get(self.addresses.admin, "localhost", &path).await?;
        let list: WakeList = serde_json::from_slice(answer.body())?;
        let wake = list.wakes.last().with_context(|| format!("{revision} was never woken"))?;
        let Some(started) = wake.started_seconds else { return Ok(None) };
        let at: jiff::Timestamp = wake.at.parse()?;
        let at = Duration::from_millis(u64::try_from(at.as_millisecond())? + 1);
        Ok(Some(at + Duration::try_from_secs_f64(started)?))
    }

    async fn all_is_at_zero(&self) -> anyhow::Result<bool> {
        let answer = http1::get(self.addresses.admin, "localhost", "/api/v1/endpoints").await?;
        let list: EndpointList = serde_json::from_slice(answer.body())?;
        let mut revisions = list.endpoints.iter().flat_map(|endpoint| &endpoint.revisions);
        Ok(revisions.all(|revision| revision.state == "zero" && revision.replicas.is_empty()))
    }
}

#[derive(Debug, Deserialize)]
struct EndpointList {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    revisions: Vec<Revision>,
}

#[derive(Debug, Deserialize)]
struct Revision {
    state: String,
    replicas: Vec<serde_json::Value>,
}
