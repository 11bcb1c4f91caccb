//! A port to listen on, taken before anything else starts: that one is taken should be the first thing anyone hears.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use crate::owner;

/// Connections that may wait to be accepted. A burst to a sleeping model must not be answered with resets, and tokio's
/// own default is a quarter of this; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long to wait when the process has no descriptor left for a connection. Trying at once again would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How long nothing need come from a client before it is asked for a sign of life, again and again. As Go's servers.
const CLIENT_QUIET: Duration = Duration::from_secs(15);

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}{}", why(source), holder(owner.as_ref()))]
pub struct BindFault {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// Who listens there now, as far as can be seen: a program's name and process id.
    pub owner: Option<String>,
    /// What the operating system says.
    pub source: io::Error,
}

fn why(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "the port is taken",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        io::ErrorKind::PermissionDenied => "not permitted (ports below 1024 need a privilege)",
        _ => "the operating system refuses",
    }
}

fn holder(owner: Option<&String>) -> String {
    owner.map(|owner| format!(", likely by {owner}")).unwrap_or_default()
}

/// A TCP port that accepts with `TCP_NODELAY` set.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds and listens. Must run inside a tokio runtime. Port 0 takes a free one; [`Self::address`] says which.
    ///
    /// `[::]` takes IPv4 too, and means `0.0.0.0` on a machine without IPv6.
    ///
    /// # Errors
    /// If the address cannot be had; the fault says why, and who likely has it.
    pub fn bind(address: SocketAddr) -> Result<Self, BindFault> {
        let without_v6 = |error: &io::Error| {
            address.is_ipv6() && address.ip().is_unspecified() && error.raw_os_error() == Some(NO_SUCH_FAMILY)
        };
        let bound = match listen(address) {
            Err(error) if without_v6(&error) => listen((Ipv4Addr::UNSPECIFIED, address.port()).into()),
            bound => bound,
        };
        let fault = |source: io::Error| {
            let taken = source.kind() == io::ErrorKind::AddrInUse;
            BindFault { address, owner: taken.then(|| owner::of_port(address.port())).flatten(), source }
        };
        let listener = bound.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Faults of one connection are passed over; when descriptors run out it waits a little.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Fails only if the peer has gone already, which the first read will tell.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    warn!(%error, address = %self.address, "cannot accept connections, waiting");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// `EAFNOSUPPORT` on Linux.
const NO_SUCH_FAMILY: i32 = 97;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Accepted connections inherit it: clients that vanish without a word would keep their place for hours.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(CLIENT_QUIET).with_interval(CLIENT_QUIET))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_who_has_it() {
        let first = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let fault = Listener::bind(first.address()).unwrap_err();
        let text = fault.to_string();
        let start = format!("cannot listen on {}: the port is taken, likely by ", first.address());
        assert!(text.starts_with(&start), "{text}");
        assert!(text.ends_with(&format!("(process {})", std::process::id())), "{text}");
    }

    #[tokio::test]
    async fn the_unspecified_address_of_version_6_takes_version_4_too() {
        let listener = Listener::bind("[::]:0".parse().unwrap()).unwrap();
        let dialled = TcpStream::connect(("127.0.0.1", listener.address().port()));
        let (dialled, (accepted, _)) = tokio::join!(dialled, listener.accept());
        dialled.unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_client_that_vanishes_without_a_word_is_noticed() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (_dialled, (accepted, _)) = tokio::join!(TcpStream::connect(listener.address()), listener.accept());
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), CLIENT_QUIET);
    }
}
