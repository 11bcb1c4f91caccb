//! The server's end of the line to a process that it starts as one of its roles.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// A line of JSON at a time, either way. The other side ends when this one closes, if it only waits.
pub(crate) struct Line(BufReader<UnixStream>);

impl Line {
    /// The server's end, and the standard input of the other side, which waits on it as on any file.
    pub(crate) fn pair() -> anyhow::Result<(Self, Stdio)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("cannot make a pair of sockets")?;
        ours.set_nonblocking(true)?;
        Ok((Self(BufReader::new(UnixStream::from_std(ours)?)), Stdio::from(OwnedFd::from(theirs))))
    }

    pub(crate) async fn tell(&mut self, spec: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(spec)?;
        text.push(b'\n');
        self.0.get_mut().write_all(&text).await.context("nobody listens")
    }

    pub(crate) async fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut text = String::new();
        self.0.read_line(&mut text).await.context("no answer")?;
        let answered: Result<T, String> = serde_json::from_str(&text).context("no answer")?;
        answered.map_err(anyhow::Error::msg)
    }
}
