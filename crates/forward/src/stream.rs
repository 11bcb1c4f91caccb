//! Streams that hyper reads and writes, with what we need to know about them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
}

/// Reads until it is clear which HTTP is spoken. What was read stays readable in the answered stream. `None` if the
/// peer left without a word.
pub(crate) async fn detect<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<Option<(Spoken, Observed<S>)>> {
    let mut start = [0; PREFACE.len()];
    let mut filled = 0;
    let spoken = loop {
        let read = stream.read(&mut start[filled..]).await?;
        filled += read;
        if read == 0 && filled == 0 {
            return Ok(None);
        }
        if read == 0 || start[..filled] != PREFACE[..filled] {
            break Spoken::Http1;
        }
        if filled == PREFACE.len() {
            break Spoken::Http2;
        }
    };
    let unread = Bytes::copy_from_slice(&start[..filled]);
    // What was read is the beginning of a head.
    let heard = Arc::new(AtomicBool::new(true));
    Ok(Some((spoken, Observed { unread, inner: stream, heard })))
}

/// A stream that notes that something was read, and may have been read a little already.
#[derive(Debug)]
pub(crate) struct Observed<S> {
    unread: Bytes,
    inner: S,
    heard: Arc<AtomicBool>,
}

impl<S> Observed<S> {
    /// From its first byte.
    pub(crate) fn new(inner: S) -> Self {
        Self { unread: Bytes::new(), inner, heard: Arc::new(AtomicBool::new(false)) }
    }

    /// Set whenever a byte was read. Whoever wants to know clears it first.
    pub(crate) fn heard(&self) -> Arc<AtomicBool> {
        self.heard.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread[..length]);
            self.unread.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if before < buffer.filled().len() {
            self.heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream to a replica that is read to its end also when it can no longer be written to.
///
/// A replica may answer before it has read the whole request, and close: 413, or 401. Then writing breaks while the
/// answer lies unread in our own kernel. Hyper takes a broken write for the end of everything; so writing waits until
/// reading has ended, and breaks only then.
#[derive(Debug)]
pub(crate) struct ReadOut<S> {
    inner: S,
    /// Why nothing can be written any more.
    broken: Option<io::ErrorKind>,
    /// Nothing more can be read.
    read_out: bool,
    writer: Option<Waker>,
}

impl<S> ReadOut<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, broken: None, read_out: false, writer: None }
    }

    fn poll_unbroken<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken.is_none() {
            match ready!(write(&mut self.inner, cx)) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) => self.broken = Some(error.kind()),
            }
        }
        match self.broken {
            Some(kind) if self.read_out => Poll::Ready(Err(kind.into())),
            _ => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadOut<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer));
        if read.is_err() || (before == buffer.filled().len() && 0 < buffer.remaining()) {
            self.read_out = true;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadOut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_unbroken(cx, |inner, cx| Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_unbroken(cx, |inner, cx| Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unbroken(cx, |inner, cx| Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
