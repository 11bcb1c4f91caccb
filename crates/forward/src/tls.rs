//! TLS 1.3 between programs of Rouse, with certificates on both sides, of an authority of its own.
//!
//! [`ServerTls`] takes connections and [`ClientTls`] makes them. Both hold one set of certificates, which is replaced
//! whole while they are used: connections that there are go on, new ones take the new set. Both may be there before they
//! have one: then nobody is let in, and nobody is connected to. Each connection is authenticated by itself, in full:
//! nothing is resumed, so no certificate counts for longer than it is valid.
//!
//! A client of TLS 1.3 believes that it is connected before the server has looked at its certificate. What it sent by
//! then would be lost without a word whether it was begun. So a server says once that it has accepted, with the one
//! message that the protocol has for that time, a ticket (which nobody redeems), and [`ClientTls`] waits for it: who is
//! refused has not connected, and its request goes elsewhere.
//!
//! Not here: what is spoken inside; files, and when they are read again (`tls/files.rs`); what is wrong with
//! certificates, in words (`tls/material.rs`).

mod files;
mod material;
mod own;
mod refused;
mod verify;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};
use tracing::{debug, warn};

pub use files::PemFiles;
pub use material::{Part, Pem, TlsFault, TlsFaults};
pub use own::OwnKey;
pub use refused::Refused;

use crate::pool::Protocol;
use crate::server::HEARD_OUT;
use crate::tls::material::Material;
use crate::tls::verify::{Named, Validity};
use crate::transport::Transport;

/// The name in an activator's certificate.
pub const ACTIVATOR: &str = "activator.rouse";
/// The name in a sidecar's certificate.
pub const SIDECAR: &str = "sidecar.rouse";

/// Who speaks with whom: DNS names that the certificates carry as alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    /// In our own certificate. Looked at when it is read, so that a mix-up is told where it can be mended.
    pub own: &'static str,
    /// In the other side's. It is refused without.
    pub peer: &'static str,
}

impl Parties {
    /// As a sidecar sees it.
    pub const OF_SIDECAR: Self = Self { own: SIDECAR, peer: ACTIVATOR };
    /// As an activator sees it.
    pub const OF_ACTIVATOR: Self = Self { own: ACTIVATOR, peer: SIDECAR };
}

/// What is spoken inside, for clients that ask first (ALPN). Ours do; others are understood by what they say.
const SPOKEN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Takes connections from those who have the right certificate. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerSide>);

struct ServerSide {
    parties: Parties,
    config: watch::Sender<Option<Arc<ServerConfig>>>,
    refused: Box<dyn Fn(Refused) + Send + Sync>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.parties).finish()
    }
}

impl ServerTls {
    /// With these certificates. `refused` is told of each connection that did not come about.
    ///
    /// Our own certificate may be outdated, which is logged: a program that starts again must not stay down for it.
    ///
    /// # Errors
    /// With everything that is wrong with them.
    pub fn new(
        parties: Parties,
        pem: &Pem,
        refused: impl Fn(Refused) + Send + Sync + 'static,
    ) -> Result<Self, TlsFaults> {
        let (config, validity) = server_config(parties, pem)?;
        validity.warn(parties.own);
        let config = watch::Sender::new(Some(Arc::new(config)));
        Ok(Self(Arc::new(ServerSide { parties, config, refused: Box::new(refused) })))
    }

    /// Without any yet: who connects waits until they come, as long as a handshake may take.
    pub fn waiting(parties: Parties, refused: impl Fn(Refused) + Send + Sync + 'static) -> Self {
        Self(Arc::new(ServerSide { parties, config: watch::Sender::new(None), refused: Box::new(refused) }))
    }

    /// New connections get these from now on; those that there are stay.
    ///
    /// # Errors
    /// With everything that is wrong with them; then nothing has changed.
    pub fn replace(&self, pem: &Pem) -> Result<(), TlsFaults> {
        let (config, validity) = server_config(self.0.parties, pem)?;
        validity.demand()?;
        self.0.config.send_replace(Some(Arc::new(config)));
        Ok(())
    }

    /// `None` if the peer is none of those we speak with: it was told, counted, and hung up on.
    pub(crate) async fn accept(&self, stream: TcpStream, peer: SocketAddr, limit: Duration) -> Option<Transport> {
        let handshake = async {
            let config = self.config().await;
            TlsAcceptor::from(config).accept(stream).into_fallible().await
        };
        let (why, rest) = match timeout(limit, handshake).await {
            Ok(Ok(stream)) => return Some(tokio_rustls::TlsStream::Server(stream).into()),
            Ok(Err((error, rest))) => {
                let why = Refused::because_of(&error);
                debug!(%error, %peer, reason = why.word(), "refused a connection");
                (why, Some(rest))
            }
            Err(_) => {
                debug!(?limit, %peer, reason = Refused::TooSlow.word(), "refused a connection");
                (Refused::TooSlow, None)
            }
        };
        (self.0.refused)(why);
        if let Some(rest) = rest {
            hang_up(rest).await;
        }
        None
    }
}

impl ServerTls {
    /// What there is, as soon as there is any.
    async fn config(&self) -> Arc<ServerConfig> {
        let mut configs = self.0.config.subscribe();
        loop {
            if let Some(config) = configs.borrow_and_update().clone() {
                return config;
            }
            // The sender is ours.
            let _ = configs.changed().await;
        }
    }
}

/// The peer sees the end at once. What it had sent by then is read for a moment: closed with bytes unread the connection is
/// reset, and then the peer may never see the alert that came before.
async fn hang_up(mut stream: TcpStream) {
    let mut unwanted = [0; 1 << 10];
    let rest = async {
        let _ = stream.shutdown().await;
        while let Ok(1..) = stream.read(&mut unwanted).await {}
    };
    let _ = timeout(HEARD_OUT, rest).await;
}

/// Makes connections to those who have the right certificate. Cheap to clone; the clones change together.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientSide>);

struct ClientSide {
    parties: Parties,
    config: ArcSwapOption<ClientConfig>,
    server: ServerName<'static>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.parties).finish()
    }
}

impl ClientTls {
    /// With these certificates. Our own may be outdated, which is logged.
    ///
    /// # Errors
    /// With everything that is wrong with them.
    pub fn new(parties: Parties, pem: &Pem) -> Result<Self, TlsFaults> {
        let (config, validity) = client_config(parties, pem)?;
        validity.warn(parties.own);
        let client = Self::waiting(parties);
        client.0.config.store(Some(Arc::new(config)));
        Ok(client)
    }

    /// Without any yet: nobody is connected to until they come.
    pub fn waiting(parties: Parties) -> Self {
        let server = verify::name(parties.peer);
        Self(Arc::new(ClientSide { parties, config: ArcSwapOption::empty(), server }))
    }

    /// New connections get these from now on; those that there are stay.
    ///
    /// # Errors
    /// With everything that is wrong with them; then nothing has changed.
    pub fn replace(&self, pem: &Pem) -> Result<(), TlsFaults> {
        let (config, validity) = client_config(self.0.parties, pem)?;
        validity.demand()?;
        self.0.config.store(Some(Arc::new(config)));
        Ok(())
    }

    /// Returns once the server has accepted us. Whoever calls it bounds the time. Nothing can have been begun before.
    ///
    /// # Errors
    /// `InvalidData` if it refuses us, or we it; `NotConnected` while we have no certificate; else what the connection says.
    pub async fn connect(&self, stream: TcpStream, protocol: Protocol) -> io::Result<Transport> {
        let spoken = match protocol {
            Protocol::H2c => SPOKEN[0],
            Protocol::Http1 => SPOKEN[1],
        };
        let config = self.0.config.load_full();
        let none = || io::Error::new(io::ErrorKind::NotConnected, "there is no certificate yet to connect with");
        let connector = TlsConnector::from(config.ok_or_else(none)?);
        let connector = connector.with_alpn(vec![spoken.to_vec()]);
        let mut stream = connector.connect(self.0.server.clone(), stream).await?;
        accepted(&mut stream).await?;
        Ok(tokio_rustls::TlsStream::Client(stream).into())
    }
}

/// Waits until the server has said that it accepts us. See the module's page.
async fn accepted(stream: &mut client::TlsStream<TcpStream>) -> io::Result<()> {
    poll_fn(|cx| {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer)? {
            Poll::Pending if 0 < stream.get_ref().1.tls13_tickets_received() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if buffer.filled().is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            // It is not one of ours: they wait for a request.
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    })
    .await
}

/// Lets tickets be sent, and forgets them: they only say that a client was accepted.
#[derive(Debug)]
struct NothingIsResumed;

impl StoresServerSessions for NothingIsResumed {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        true
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

fn server_config(parties: Parties, pem: &Pem) -> Result<(ServerConfig, Validity), TlsFaults> {
    let Material { provider, chain, key, roots } = Material::parse(pem)?;
    let validity = verify::own_as_server(&chain, &roots, &provider, parties.own)?;
    let clients = Named::new(roots, &provider, parties.peer)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsFaults::unlikely)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain, key);
    let mut config = config.map_err(material::of_pair)?;
    config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NothingIsResumed);
    config.send_tls13_tickets = 1;
    Ok((config, validity))
}

fn client_config(parties: Parties, pem: &Pem) -> Result<(ClientConfig, Validity), TlsFaults> {
    let Material { provider, chain, key, roots } = Material::parse(pem)?;
    let validity = verify::own_as_client(&chain, &roots, &provider, parties.own)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsFaults::unlikely)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key);
    let mut config = config.map_err(material::of_pair)?;
    config.resumption = Resumption::disabled();
    Ok((config, validity))
}

impl Validity {
    fn warn(self, name: &str) {
        if let Self::Outdated(error) = self {
            warn!(%error, name, "our own certificate is not valid now, peers will refuse it");
        }
    }

    fn demand(self) -> Result<(), TlsFaults> {
        match self {
            Self::Valid => Ok(()),
            Self::Outdated(error) => Err(material::fault(Part::Certificate, format!("is not valid now: {error}"))),
        }
    }
}
