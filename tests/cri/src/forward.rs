//! Ports of pods, for who asks the API server for one: the kubelet is told an address here, and passes the connection on.
//!
//! Spoken is the WebSocket form of it (`v4.channel.k8s.io`): a frame begins with its channel, of which each port has one for
//! data and one for errors, and the first frame of each is the port's number. Left out is SPDY, which `kubectl port-forward`
//! speaks.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use nix::sched::{CloneFlags, setns};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tonic::Status;
use tracing::debug;

use crate::Runtime;
use crate::protocol as p;
use crate::state::new_id;

const PROTOCOL: &str = "v4.channel.k8s.io";

/// Within a pod a port answers at once or not at all.
const CONNECT: Duration = Duration::from_secs(10);

/// Connections that the kubelet was told of and that have not come yet.
pub(crate) struct Forwards {
    address: SocketAddr,
    promised: Mutex<HashMap<String, Promise>>,
}

/// Ports in the network of the process that holds a pod's.
struct Promise {
    holder: u32,
    ports: Vec<u16>,
}

impl Forwards {
    /// What is listened on, and what will be asked for there.
    pub(crate) async fn bind() -> anyhow::Result<(TcpListener, Self)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen for port-forwards")?;
        let address = listener.local_addr()?;
        Ok((listener, Self { address, promised: Mutex::default() }))
    }
}

impl Runtime {
    /// Where the kubelet finds the ports of a pod.
    pub(crate) fn port_forward(&self, request: p::PortForwardRequest) -> Result<String, Status> {
        let id = &request.pod_sandbox_id;
        let holder = self.state.lock().sandboxes.get(id).and_then(|sandbox| *sandbox.holder.borrow());
        let holder = holder.ok_or_else(|| Status::not_found(format!("no sandbox {id} that is ready")))?;
        let ports = request.port.iter().map(|&port| u16::try_from(port)).collect::<Result<Vec<u16>, _>>();
        let ports = ports.map_err(|_| Status::invalid_argument(format!("no ports: {:?}", request.port)))?;
        if ports.is_empty() {
            return Err(Status::unimplemented("ports are forwarded over WebSockets only, not over SPDY"));
        }
        let token = new_id();
        self.forwards.promised.lock().insert(token.clone(), Promise { holder, ports });
        Ok(format!("http://{}/{token}", self.forwards.address))
    }

    /// Takes what the kubelet passes on.
    pub(crate) async fn forward_ports(self: &Arc<Self>, listener: TcpListener) {
        loop {
            if let Ok((connection, _)) = listener.accept().await {
                let runtime = self.clone();
                self.tasks.spawn(async move {
                    if let Err(error) = runtime.forward(connection).await {
                        debug!(error = %format_args!("{error:#}"), "a port-forward ended");
                    }
                });
            }
        }
    }

    async fn forward(&self, connection: TcpStream) -> anyhow::Result<()> {
        let mut promise = None;
        #[expect(clippy::result_large_err, reason = "the handshake's own type")]
        let greet = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            promise = self.forwards.promised.lock().remove(request.uri().path().trim_start_matches('/'));
            if promise.is_none() {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::NOT_FOUND;
                return Err(refusal);
            }
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(connection, greet).await?;
        let Some(Promise { holder, ports }) = promise else { bail!("nobody was promised this") };

        let (to_client, mut from_pod) = tokio::sync::mpsc::channel::<Message>(16);
        let mut to_pod = Vec::new();
        for (index, &port) in ports.iter().enumerate() {
            let data = u8::try_from(2 * index).context("too many ports")?;
            for channel in [data, data + 1] {
                socket.send(frame(channel, &port.to_le_bytes())).await?;
            }
            match connect(holder, port).await {
                Ok(stream) => {
                    let (mut read, write) = stream.into_split();
                    to_pod.push(Some(write));
                    let to_client = to_client.clone();
                    self.tasks.spawn(async move {
                        let mut buffer = vec![0; 16 * 1024];
                        while let Ok(read @ 1..) = read.read(&mut buffer).await {
                            if to_client.send(frame(data, &buffer[..read])).await.is_err() {
                                break;
                            }
                        }
                    });
                }
                Err(error) => {
                    socket.send(frame(data + 1, format!("{error:#}").as_bytes())).await?;
                    to_pod.push(None);
                }
            }
        }
        // Once no port can say more, the last sender is gone.
        drop(to_client);
        loop {
            tokio::select! {
                said = from_pod.recv() => match said {
                    Some(message) => socket.send(message).await?,
                    None => break,
                },
                asked = socket.next() => match asked {
                    Some(Ok(Message::Binary(bytes))) => {
                        let Some((&channel, data)) = bytes.split_first() else { continue };
                        if let Some(Some(port)) = to_pod.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0) {
                            port.write_all(data).await?;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
            }
        }
        Ok(socket.close(None).await?)
    }
}

fn frame(channel: u8, data: &[u8]) -> Message {
    Message::binary([&[channel], data].concat())
}

/// Connects to a port of a pod from within its network, so that also those are reached that listen on its loopback only. A
/// thread enters a network alone, and is not used for anything else.
async fn connect(holder: u32, port: u16) -> anyhow::Result<TcpStream> {
    let (done, connected) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let connect = || -> anyhow::Result<std::net::TcpStream> {
            setns(File::open(format!("/proc/{holder}/ns/net"))?, CloneFlags::CLONE_NEWNET)?;
            let stream = std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), CONNECT)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        // Who asked may have left.
        let _ = done.send(connect().with_context(|| format!("cannot connect to port {port} of the pod")));
    });
    Ok(TcpStream::from_std(connected.await??)?)
}
