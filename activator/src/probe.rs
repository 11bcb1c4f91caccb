//! Is this replica really answering? Asked for speed: the platform knows too, later.

use std::io;
use std::time::Duration;

use daemon::Clock;
use forward::{Protocol, Transport};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;
use units::Moment;

use crate::replica::Replica;

/// Pauses between attempts: from here, doubling …
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// … to here, which is Knative's period.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// A connection that is not there by then is begun anew.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// A handshake is not lost on the way, only slow.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Who has taken so long to answer has waited for its model, and is asked again at once: it may be ready by now.
const WAITED: Duration = Duration::from_secs(1);
/// A sidecar answers a waiting probe after 10 s at the latest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns once the replica has answered that it is ready, with the moment at which that probe began. Until then it goes
/// on. May be dropped at any await.
pub(crate) async fn until_ready(replica: &Replica, clock: Clock) -> Moment {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let begun = clock.now();
        match ask(replica).await {
            Ok(true) => return begun,
            Ok(false) => {}
            // Nobody there yet is to be expected. Somebody who is refused, or refuses us, is for a person to mend.
            Err(error) if error.kind() == io::ErrorKind::InvalidData && !told => {
                warn!(%error, replica = %replica.name, address = %replica.address, "no trust between us and a sidecar");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause_after(pause, clock.now().since(begun))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// None after an answer that took so long.
fn pause_after(pause: Duration, took: Duration) -> Duration {
    if took < WAITED { pause } else { Duration::ZERO }
}

/// Is it ready? An error if there is no connection.
async fn ask(replica: &Replica) -> io::Result<bool> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(replica.address)).await??;
    if !replica.sidecar {
        return Ok(true);
    }
    stream.set_nodelay(true)?;
    let stream = match &replica.tls {
        None => stream.into(),
        Some(tls) => timeout(HANDSHAKE_TIMEOUT, tls.connect(stream, Protocol::Http1)).await??,
    };
    Ok(matches!(timeout(ANSWER_TIMEOUT, ask_sidecar(stream)).await, Ok(Ok(true))))
}

/// A sidecar answers the moment its model is ready.
async fn ask_sidecar(stream: Transport) -> hyper::Result<bool> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let probe = hyper::Request::get("/")
        .header("host", "rouse-probe")
        .header(forward::PROBE, "wait")
        .body(Empty::<Bytes>::new())
        .expect("a constant request is well formed");
    let answer = sender.send_request(probe);
    tokio::select! {
        answer = answer => Ok(answer?.status() == hyper::StatusCode::OK),
        ended = connection => ended.map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_with_us_is_asked_again_at_once() {
        assert_eq!(pause_after(LONGEST_PAUSE, Duration::from_millis(3)), LONGEST_PAUSE);
        assert_eq!(pause_after(LONGEST_PAUSE, Duration::from_secs(10)), Duration::ZERO);
    }
}
