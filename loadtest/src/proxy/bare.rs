//! A bare hyper proxy: what forwarding costs with the same library and nothing else. HTTP/1.1 to the model; from
//! clients that, or HTTP/2 without TLS. No counting, no line, no time-outs, no header of its own. `loadtest bare-proxy`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, Version};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Sender = client::SendRequest<Incoming>;

/// Forwards until it is killed. `h2c`: clients speak HTTP/2 by prior knowledge.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr, h2c: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let pool = Arc::new(Pool { upstream, idle: Mutex::default(), driven: Mutex::default() });
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Arc::clone(&pool);
        let forward = service_fn(move |request| forward(Arc::clone(&pool), request));
        let io = TokioIo::new(stream);
        if h2c {
            connections.spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(io, forward));
        } else {
            connections.spawn(http1::Builder::new().serve_connection(io, forward));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(pool: Arc<Pool>, mut request: Request<Incoming>) -> anyhow::Result<Response<Returning>> {
    remove_hop_by_hop(request.headers_mut());
    if request.version() == Version::HTTP_2 {
        as_http1(&mut request)?;
    }
    let mut sender = pool.take().await?;
    let mut response = sender.send_request(request).await?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(|body| Returning { body, sender: Some(sender), pool }))
}

/// The authority becomes the Host, and the path alone is what is asked for.
fn as_http1<B>(request: &mut Request<B>) -> anyhow::Result<()> {
    *request.version_mut() = Version::HTTP_11;
    let uri = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = uri.authority {
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    }
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    Ok(())
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// Connections that are kept; the last that came back goes out first.
#[derive(Debug)]
struct Pool {
    upstream: SocketAddr,
    idle: Mutex<Vec<Sender>>,
    driven: Mutex<JoinSet<()>>,
}

impl Pool {
    async fn take(&self) -> anyhow::Result<Sender> {
        loop {
            let kept = self.idle.lock().pop();
            match kept {
                Some(sender) if sender.is_ready() => return Ok(sender),
                Some(_) => {}
                None => break,
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        self.driven.lock().spawn(async {
            // Whoever waits for an answer on it is told.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// An answer's body, which brings its connection back once it was read.
struct Returning {
    body: Incoming,
    sender: Option<Sender>,
    pool: Arc<Pool>,
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take().filter(|_| self.body.is_end_stream()) {
            self.pool.idle.lock().push(sender);
        }
    }
}
