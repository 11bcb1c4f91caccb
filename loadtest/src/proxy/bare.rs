//! A bare hyper proxy: what forwarding costs with the same library and nothing else. No counting, no line, no time-outs, no
//! header of its own. `loadtest bare-proxy`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Sender = client::SendRequest<Incoming>;

/// Forwards until it is killed.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let pool = Arc::new(Pool { upstream, idle: Mutex::default(), driven: Mutex::default() });
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Arc::clone(&pool);
        let forward = service_fn(move |request| forward(Arc::clone(&pool), request));
        connections.spawn(server::Builder::new().serve_connection(TokioIo::new(stream), forward));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(pool: Arc<Pool>, mut request: Request<Incoming>) -> anyhow::Result<Response<Returning>> {
    remove_hop_by_hop(request.headers_mut());
    let mut sender = pool.take().await?;
    let mut response = sender.send_request(request).await?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(|body| Returning { body, sender: Some(sender), pool }))
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
