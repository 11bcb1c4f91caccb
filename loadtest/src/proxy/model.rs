//! What stands behind each proxy: a model that answers at once, and an autoscaler that listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::proxy::message;

/// Both servers, for as long as they are held.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Answers each request with the same bytes.
    pub(crate) model: SocketAddr,
    /// Reads what sidecars report, and says nothing.
    pub(crate) autoscaler: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Behind {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let models = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let autoscalers = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (model, autoscaler) = (models.local_addr()?, autoscalers.local_addr()?);
        let answer: Arc<str> = message::answer().into();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(models, move |stream| serve(stream, answer.clone())));
        tasks.spawn(accept(autoscalers, swallow));
        Ok(Self { model, autoscaler, _tasks: tasks })
    }
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream));
        while connections.try_join_next().is_some() {}
    }
}

/// Ends with the connection, or with a request that it cannot read: the client then has no answer, and says so.
async fn serve(mut stream: TcpStream, answer: Arc<str>) {
    let _ = stream.set_nodelay(true);
    let mut heard = Vec::with_capacity(4096);
    while let Ok(1..) = stream.read_buf(&mut heard).await {
        match message::length(&heard) {
            Ok(Some(length)) if length <= heard.len() => {
                heard.clear();
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

async fn swallow(mut stream: TcpStream) {
    let mut unwanted = [0; 4096];
    while let Ok(1..) = stream.read(&mut unwanted).await {}
}
