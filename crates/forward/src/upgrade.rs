//! What outlives a request's service: upgraded connections (WebSocket and other 101s), and bodies that nobody wants.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::RequestBody;
use crate::leaving::Leaving;
use crate::timeouts::{Activity, Deadline};

/// Bytes that are copied at once, each way. Frames of a WebSocket are small, and there may be thousands of tunnels.
const TUNNEL_BUFFER: usize = 8 << 10;

/// What is read of a request's body after it was refused, so that the client reads the refusal instead of a reset.
const DISCARDED_BYTES: usize = 256 << 10;
const DISCARDED_FOR: Duration = Duration::from_secs(1);
const DISCARDED_ALL_FOR: Duration = Duration::from_secs(10);

/// What is under way at the servers that leave together: tasks that end by themselves, counted, and cut when the program
/// must end; and how far that leaving has come.
#[derive(Clone, Debug, Default)]
pub struct LooseEnds {
    /// Bodies that nobody wants.
    unwanted: TaskTracker,
    tunnels: TaskTracker,
    watches: TaskTracker,
    leaving: Arc<Leaving>,
    cut_tunnels: CancellationToken,
    cut: CancellationToken,
}

impl LooseEnds {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where answers have their time-outs watched. Such a task ends with its answer, and is not counted beside it.
    pub(crate) fn watches(&self) -> &TaskTracker {
        &self.watches
    }

    pub(crate) fn leaving(&self) -> &Arc<Leaving> {
        &self.leaving
    }

    /// Upgraded connections.
    pub(crate) fn tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Is no body read that nobody wants?
    pub(crate) fn is_empty(&self) -> bool {
        self.unwanted.is_empty()
    }

    /// Ends the upgraded connections, and says how many.
    pub(crate) fn cut_tunnels(&self) -> usize {
        let cut = self.tunnels.len();
        self.cut_tunnels.cancel();
        cut
    }

    /// Done when everything is cut that is left, connections too.
    pub(crate) fn last_call(&self) -> &CancellationToken {
        &self.cut
    }

    /// Ends all of them now.
    pub(crate) fn cut(&self) {
        self.cut_tunnels.cancel();
        self.cut.cancel();
    }

    /// Returns once all that there are have ended.
    pub(crate) async fn ended(&self) {
        for tasks in [&self.unwanted, &self.tunnels, &self.watches] {
            tasks.close();
            tasks.wait().await;
        }
    }

    /// Reads a little of a body that nobody wants, in the background.
    ///
    /// A client that still sends while its connection is closed gets a reset, and never sees why it was refused.
    pub fn discard(&self, body: RequestBody) {
        self.read_away(body, DISCARDED_BYTES, DISCARDED_FOR);
    }

    /// Reads all of a body that an activator still sends after it was told that nothing was begun. A reset would hide
    /// that answer, and a request that went nowhere would count as begun.
    pub fn discard_all(&self, body: RequestBody) {
        self.read_away(body, usize::MAX, DISCARDED_ALL_FOR);
    }

    fn read_away(&self, mut body: RequestBody, most: usize, limit: Duration) {
        if http_body::Body::is_end_stream(&body) {
            return;
        }
        let read = async move {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
                if most < bytes {
                    break;
                }
            }
        };
        let cut = self.cut.clone();
        self.unwanted.spawn(async move {
            tokio::select! {
                _ = tokio::time::timeout(limit, read) => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// Joins both ends of an upgraded connection, and keeps `guard` until both are closed.
    pub(crate) fn tunnel<G: Send + 'static>(
        &self,
        client: OnUpgrade,
        replica: OnUpgrade,
        mut deadline: Deadline,
        guard: G,
    ) {
        let cut = self.cut_tunnels.clone();
        self.tunnels.spawn(async move {
            let activity = deadline.activity();
            let copy = async {
                let (client, replica) = futures_util::try_join!(client, replica)?;
                let mut client = TokioIo::new(client);
                let mut replica = Watched { inner: TokioIo::new(replica), activity };
                let copied =
                    copy_bidirectional_with_sizes(&mut client, &mut replica, TUNNEL_BUFFER, TUNNEL_BUFFER).await;
                copied.map_err(AnyError::from)
            };
            tokio::select! {
                copied = copy => if let Err(error) = copied {
                    debug!(%error, "an upgraded connection broke");
                },
                expired = poll_fn(|cx| deadline.poll_expired(cx)) => debug!(%expired, "an upgraded connection is cut"),
                () = cut.cancelled() => {}
            }
            drop(guard);
        });
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A stream whose every byte counts as activity.
struct Watched<S> {
    inner: S,
    activity: Option<Activity>,
}

impl<S> Watched<S> {
    fn touch(&self) {
        if let Some(activity) = &self.activity {
            activity.touch();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.touch();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
