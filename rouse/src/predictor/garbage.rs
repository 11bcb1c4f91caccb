//! A socket that can be told to speak nonsense.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// No status line, no frame of HTTP/2, and no text.
const NONSENSE: &[u8] = b"\x00\xff\x13\x37 this is not the answer you were looking for\r\n\xfe\x00\r\n";

/// A connection; once spoiled, the next thing written on it is nonsense, and then it breaks.
#[derive(Debug)]
pub(super) struct MaybeGarbage {
    socket: TcpStream,
    spoil: Spoil,
}

/// The switch of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoil(Arc<AtomicBool>);

impl Spoil {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl MaybeGarbage {
    pub(super) fn new(socket: TcpStream) -> (Self, Spoil) {
        let spoil = Spoil::default();
        (Self { socket, spoil: spoil.clone() }, spoil)
    }

    fn poll_nonsense(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_write(cx, NONSENSE))?;
        Poll::Ready(Err(io::Error::other("spoiled on purpose")))
    }
}

impl AsyncRead for MaybeGarbage {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for MaybeGarbage {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.spoil.is_on() {
            return self.poll_nonsense(cx);
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.spoil.is_on() {
            return self.poll_nonsense(cx);
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
