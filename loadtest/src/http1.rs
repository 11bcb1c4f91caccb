//! One request on a connection of its own, which is what a wake is for most clients.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks with GET, and reads the whole answer.
///
/// # Errors
/// If there is none.
pub async fn get(to: SocketAddr, host: &str, path: &str) -> anyhow::Result<Response<Bytes>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        anyhow::Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::select! {
        answer = asking => answer.with_context(|| format!("GET {path} from {host}")),
        // It ends before the answer only if it breaks, or if the answer's end is the end of the connection.
        ended = &mut connection => anyhow::bail!("GET {path} from {host}: the connection ended early: {ended:?}"),
    }
}
