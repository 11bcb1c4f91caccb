//! For tests: peers that speak frames over anything that carries bytes, and a toy world (`toy`) to decide about.

pub(crate) mod toy;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wire::{Down, FromAutoscaler, Hello, Role, ToAutoscaler, Up};

/// A peer at its end of a stream.
pub(crate) struct Peer<T>(T);

impl<T: AsyncRead + AsyncWrite + Unpin> Peer<T> {
    /// Says nothing yet.
    pub(crate) fn silent(io: T) -> Self {
        Self(io)
    }

    /// Says hello as an activator.
    pub(crate) async fn activator(io: T, uid: &str) -> Self {
        let mut peer = Self(io);
        peer.say(Up::Hello(hello(Role::Activator, uid, ""))).await;
        peer
    }

    /// Says hello as the sidecar of a replica of `default/<revision>`.
    pub(crate) async fn sidecar(io: T, revision: &str, replica: &str) -> Self {
        let mut peer = Self(io);
        peer.say(Up::Hello(hello(Role::Sidecar, replica, revision))).await;
        peer
    }

    /// Says something. A peer that was cut off finds out when it listens.
    pub(crate) async fn say(&mut self, what: Up) {
        self.say_bytes(&wire::encode(&ToAutoscaler { kind: Some(what) })).await;
    }

    /// Says anything at all.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// The next that is said to it; `None` once it was cut off.
    pub(crate) async fn next(&mut self) -> Option<Down> {
        let mut head = [0; 4];
        self.0.read_exact(&mut head).await.ok()?;
        let length = wire::frame_length(&head).unwrap()?;
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame).await.ok()?;
        wire::decode::<FromAutoscaler>(Bytes::from(frame)).unwrap().kind
    }
}

/// A hello of incarnation 1.
pub(crate) fn hello(role: Role, name: &str, revision: &str) -> Hello {
    Hello {
        role: role as i32,
        namespace: "default".into(),
        name: name.into(),
        uid: name.into(),
        incarnation: 1,
        highest_epoch: 0,
        revision: revision.into(),
        proof: None,
    }
}

/// A wake for `default/<revision>`.
pub(crate) fn wake(revision: &str, held: u32) -> wire::Wake {
    wire::Wake {
        namespace: "default".into(),
        revision: revision.into(),
        held,
        oldest_wait_ms: 0,
        request_id: "request-1".into(),
    }
}
