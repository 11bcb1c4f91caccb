//! Is this replica really answering? Asked for speed: the platform knows too, later.

use std::time::Duration;

use daemon::Clock;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use units::Moment;

use crate::replica::Replica;

/// Pauses between attempts: from here, doubling …
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// … to here, which is Knative's period.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// A connection that is not there by then is begun anew.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// A sidecar answers a waiting probe after 10 s at the latest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns once the replica has answered that it is ready, with the moment at which that probe began. Until then it goes
/// on. May be dropped at any await.
pub(crate) async fn until_ready(replica: &Replica, clock: Clock) -> Moment {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = clock.now();
        if ask(replica).await {
            return begun;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn ask(replica: &Replica) -> bool {
    let connect = TcpStream::connect(replica.address);
    let Ok(Ok(stream)) = tokio::time::timeout(CONNECT_TIMEOUT, connect).await else { return false };
    if !replica.sidecar {
        return true;
    }
    matches!(tokio::time::timeout(ANSWER_TIMEOUT, ask_sidecar(stream)).await, Ok(Ok(true)))
}

/// A sidecar answers the moment its model is ready.
async fn ask_sidecar(stream: TcpStream) -> hyper::Result<bool> {
    let _ = stream.set_nodelay(true);
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
