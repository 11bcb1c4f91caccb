//! A client that sends bytes as they are written down in a test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that should stay open is given so long to close. One that closes later is not seen to be wrong, and
/// nothing that is right is waited for.
const STAYS: Duration = Duration::from_millis(150);

/// A connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// From the status line to the empty line.
    pub head: String,
    /// Without its framing. In chunks: with the trailers that followed.
    pub body: String,
}

impl Line {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens.
    pub async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("somebody listens"), unread: Vec::new() }
    }

    /// Sends bytes. What cannot be sent, because the other side has closed, is not sent.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// The next answer; `None` if the connection ended instead. One to HEAD has no body.
    ///
    /// # Panics
    /// If nothing comes.
    pub async fn hear(&mut self, to_head: bool) -> Option<Reply> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let body = if to_head || matches!(status, 100..200 | 204 | 304) {
            Vec::new()
        } else if let Some(length) = field("content-length") {
            self.exactly(length.parse().ok()?).await?
        } else if field("transfer-encoding").is_some() {
            self.chunks().await?
        } else {
            self.rest().await
        };
        Some(Reply { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Does the other side close without being asked again, as it should or should not?
    pub async fn closes(&mut self, should: bool) -> bool {
        let patience = if should { PATIENCE } else { STAYS };
        match timeout(patience, self.stream.read_buf(&mut self.unread)).await {
            Err(_) => false,
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(_)) => panic!("nobody asked for {:?}", String::from_utf8_lossy(&self.unread)),
        }
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.until(b"\r\n").await?;
            let bytes = usize::from_str_radix(String::from_utf8_lossy(&size).trim(), 16).ok()?;
            if bytes == 0 {
                break;
            }
            let chunk = self.exactly(bytes + 2).await?;
            body.extend(&chunk[..bytes]);
        }
        loop {
            let line = self.until(b"\r\n").await?;
            if line == b"\r\n" {
                return Some(body);
            }
            body.extend(line);
        }
    }

    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(place) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return Some(self.unread.drain(..place + mark.len()).collect());
            }
            self.read().await?;
        }
    }

    async fn exactly(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.unread.len() < bytes {
            self.read().await?;
        }
        Some(self.unread.drain(..bytes).collect())
    }

    async fn rest(&mut self) -> Vec<u8> {
        while self.read().await.is_some() {}
        std::mem::take(&mut self.unread)
    }

    async fn read(&mut self) -> Option<()> {
        let reading = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        let read = reading.unwrap_or_else(|_| panic!("nothing more came; seen: {:?}", self.seen()));
        (0 < read.ok()?).then_some(())
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}
