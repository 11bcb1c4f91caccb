//! What stands behind each proxy: a model that answers what its path says, and an autoscaler that listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::proxy::message::{self, PIECE, Size};

/// Both servers, for as long as they are held.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Answers each request with the same bytes, unless its path asks for others.
    pub(crate) model: SocketAddr,
    /// Reads what sidecars and activators report, and says nothing.
    pub(crate) autoscaler: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Behind {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (models, autoscalers) = (listen()?, listen()?);
        let (model, autoscaler) = (models.local_addr()?, autoscalers.local_addr()?);
        let (small, _) = message::answer(Size::Small);
        let small: Arc<str> = small.into();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(models, move |stream| serve(stream, small.clone())));
        tasks.spawn(accept(autoscalers, swallow));
        Ok(Self { model, autoscaler, _tasks: tasks })
    }
}

/// Who has no line connects a thousand times at once, which is as many as usually may wait to be accepted.
const BACKLOG: u32 = 4096;

fn listen() -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(socket.listen(BACKLOG)?)
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
async fn serve(mut stream: TcpStream, small: Arc<str>) {
    let _ = stream.set_nodelay(true);
    let mut heard = Vec::with_capacity(4096);
    while let Ok(1..) = stream.read_buf(&mut heard).await {
        let Ok(length) = message::length(&heard) else { return };
        let Some((head, body)) = length else { continue };
        if discard(&mut stream, (head + body).saturating_sub(heard.len())).await.is_err() {
            return;
        }
        let (size, takes) = message::wanted(&heard);
        heard.clear();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let said = match size {
            Size::Small => stream.write_all(small.as_bytes()).await,
            Size::Bytes(_) => say(&mut stream, message::answer(size)).await,
        };
        if said.is_err() {
            return;
        }
    }
}

/// Writes a head, and then so many bytes.
pub(crate) async fn say<W: AsyncWrite + Unpin>(stream: &mut W, (head, body): (String, usize)) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    write_bytes(stream, body).await
}

/// Writes so many bytes; always the same piece of memory, so that neither side of the bench has to fill any.
pub(crate) async fn write_bytes<W: AsyncWrite + Unpin>(stream: &mut W, mut left: usize) -> std::io::Result<()> {
    static BYTES: [u8; PIECE] = [b'x'; PIECE];
    while 0 < left {
        let piece = left.min(PIECE);
        stream.write_all(&BYTES[..piece]).await?;
        left -= piece;
    }
    Ok(())
}

/// Reads so many bytes and forgets them.
pub(crate) async fn discard<R: tokio::io::AsyncRead + Unpin>(stream: &mut R, mut left: usize) -> std::io::Result<()> {
    if left == 0 {
        return Ok(());
    }
    let mut unwanted = vec![0; left.min(PIECE)];
    while 0 < left {
        let piece = left.min(PIECE);
        match stream.read(&mut unwanted[..piece]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

async fn swallow(mut stream: TcpStream) {
    let mut unwanted = [0; 4096];
    while let Ok(1..) = stream.read(&mut unwanted).await {}
}
