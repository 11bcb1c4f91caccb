//! What stands in front of one replica's process: its queue-proxy.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A replica's front. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Front {
    /// Where activators send.
    pub(crate) address: SocketAddr,
    ready: watch::Receiver<bool>,
    _probing: JoinSet<()>,
}

impl Front {
    /// Stands before the process that is to listen on `port`.
    pub(crate) async fn before(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (tell, ready) = watch::channel(false);
        let mut probing = JoinSet::new();
        probing.spawn(async move {
            loop {
                let accepts = TcpStream::connect(address).await.is_ok();
                tell.send_if_modified(|ready| std::mem::replace(ready, accepts) != accepts);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(Self { address, ready, _probing: probing })
    }

    /// Returns with each change of readiness; it begins as unready. May be dropped at any time and asked again.
    pub(crate) async fn readiness(&mut self) -> bool {
        if self.ready.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.ready.borrow_and_update()
    }

    /// Takes nothing new, and returns when what it had is finished.
    pub(crate) async fn drain(&mut self) {}
}
