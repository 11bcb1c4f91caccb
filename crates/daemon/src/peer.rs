//! Streams between the programs: opened here, so that a peer that vanishes without a word is noticed.
//!
//! A machine that loses its power sends no FIN, and a stream to it looks idle for as long as the kernel keeps trying, a
//! quarter of an hour. What is set here ends such a stream within [`NOTICED_WITHIN`], whether bytes are on their way or
//! not. A peer that lives and says nothing is not cut.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

/// After so long without a sign of life a stream ends with an error.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// An idle stream is asked for a sign of life after this long …
const QUIET: Duration = Duration::from_secs(4);
/// … and again at this pace, three times before the end.
const AGAIN: Duration = Duration::from_secs(2);
const QUESTIONS: u32 = 3;

/// Opens a stream to another program within `limit`.
///
/// # Errors
/// If it cannot be opened in that time.
pub async fn connect(address: impl ToSocketAddrs, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(AGAIN);
    // Questions are for a stream on which nothing is under way, the other for bytes that nobody acknowledges.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(NOTICED_WITHIN))?;
    socket.set_tcp_keepalive(&keepalive.with_retries(QUESTIONS))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listener;

    #[tokio::test]
    async fn a_stream_asks_a_silent_peer_for_signs_of_life_and_gives_up_within_ten_seconds() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let stream = connect(listener.address(), Duration::from_secs(5)).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        let asked = socket.tcp_keepalive_time().unwrap() + socket.tcp_keepalive_interval().unwrap() * 3;
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert!(asked <= NOTICED_WITHIN, "{asked:?}");
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(NOTICED_WITHIN));
    }
}
