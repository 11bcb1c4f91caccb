//! TLS 1.3 to a server that shows a certificate of Rouse's own authority. Who the client is it says inside, with a token.
//!
//! [`Server`] takes connections and [`Client`] makes them. What one shows and the other believes is replaced whole while
//! they are used: connections that there are go on, new ones take the new set. Both may be there before they have
//! anything: then connections wait, or fail.
//!
//! Not here: connections on which both sides show certificates, between activators and sidecars (`forward::tls`).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::ToSocketAddrs;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use crate::peer;

/// The name in the certificate that autoscalers show to activators and sidecars. It is never looked up.
pub const AUTOSCALER: &str = "autoscaler.rouse";

/// Takes connections, and shows a certificate. Cheap to clone; the clones change together.
#[derive(Clone)]
pub struct Server(Arc<watch::Sender<Option<Arc<ServerConfig>>>>);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("shows", &self.0.borrow().is_some()).finish()
    }
}

impl Default for Server {
    /// Shows nothing yet: connections wait until it does.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Server {
    /// Shows this from now on: a certificate with those that lead on from it, and its key, as PEM.
    ///
    /// # Errors
    /// If they cannot be used; then nothing has changed.
    pub fn show(&self, certificate: &[u8], key: &[u8]) -> anyhow::Result<()> {
        let chain = certificates(certificate).context("the certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).context("the key")?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config?;
        // Each connection begins in full: what was shown before a change counts no longer than that.
        config.send_tls13_tickets = 0;
        self.0.send_replace(Some(Arc::new(config)));
        Ok(())
    }

    /// The handshake. Whoever calls it bounds the time.
    ///
    /// # Errors
    /// If the peer speaks something else, or does not believe what is shown.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<server::TlsStream<S>> {
        let mut shown = self.0.subscribe();
        let config = shown.wait_for(Option::is_some).await.map_err(io::Error::other)?.clone();
        match config {
            Some(config) => TlsAcceptor::from(config).accept(stream).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Makes connections to servers that show a certificate of an authority that it believes. Cheap to clone; the clones
/// change together.
#[derive(Clone)]
pub struct Client(Arc<watch::Sender<Option<Arc<ClientConfig>>>>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("believes", &self.0.borrow().is_some()).finish()
    }
}

impl Default for Client {
    /// Believes nobody yet.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Client {
    /// Believes these authorities from now on, as PEM.
    ///
    /// # Errors
    /// If there is none, or one cannot be used; then nothing has changed.
    pub fn believe(&self, authorities: &[u8]) -> anyhow::Result<()> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            roots.add(certificate)?;
        }
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        self.0.send_replace(Some(Arc::new(config)));
        Ok(())
    }

    /// The handshake with a server of this name. Whoever calls it bounds the time.
    ///
    /// # Errors
    /// `NotConnected` while nobody is believed; `InvalidData` if the server is not; else what the connection says.
    pub async fn connect<S>(&self, stream: S, name: &'static str) -> io::Result<Io>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = self.0.borrow().clone();
        let nobody = || io::Error::new(io::ErrorKind::NotConnected, "it is not known yet whom to believe");
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config.ok_or_else(nobody)?).connect(name, stream).await?))
    }
}

/// How a program knows an autoscaler, and proves to it who it is.
#[derive(Clone, Debug)]
pub struct Proving {
    /// Whom it believes.
    pub client: Client,
    /// The file of its ServiceAccount token, which the kubelet keeps fresh: read for each connection.
    pub token: PathBuf,
}

impl Proving {
    /// The token as it is now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn token(&self) -> io::Result<String> {
        let token = tokio::fs::read_to_string(&self.token).await;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.token.display()));
        Ok(token.map_err(named)?.trim().to_owned())
    }
}

/// Bytes both ways, in plain TCP or in TLS.
pub type Io = Box<dyn Stream>;

/// What [`Io`] is.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens a stream to an autoscaler within `limit`, in plain TCP where nobody has anything to prove, and says with which
/// token this program is to prove itself.
///
/// # Errors
/// If it cannot be opened in that time.
pub async fn open(
    address: impl ToSocketAddrs,
    limit: Duration,
    proving: Option<&Proving>,
) -> io::Result<(Io, Option<String>)> {
    let stream = peer::connect(address, limit).await?;
    let Some(proving) = proving else { return Ok((Box::new(stream), None)) };
    let shaken = timeout(limit, proving.client.connect(stream, AUTOSCALER)).await;
    let stream = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok((stream, Some(proving.token().await?)))
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("is not PEM")?;
    anyhow::ensure!(!all.is_empty(), "has no CERTIFICATE section");
    Ok(all)
}

/// Ours explicitly: there is none for the process, which another crate may want to be another's.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use certs::{Authority, Use, Valid};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn server(authority: &Authority, name: &str, purpose: Use) -> Server {
        let (leaf, server) = (authority.issue(name, purpose, Valid::Now), Server::default());
        server.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
        server
    }

    fn client(believed: &str) -> Client {
        let client = Client::default();
        client.believe(believed.as_bytes()).unwrap();
        client
    }

    /// What a server hears of one who connects, and why that one does not get through.
    async fn says_hello(client: &Client, server: &Server) -> io::Result<()> {
        let (theirs, ours) = duplex(1 << 14);
        let heard = async {
            let mut stream = server.accept(ours).await?;
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.map(|_| heard)
        };
        let said = async {
            let mut stream = client.connect(theirs, AUTOSCALER).await?;
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            Ok(stream)
        };
        let (heard, said) = tokio::join!(heard, said);
        said.map(|_| assert_eq!(heard.unwrap(), *b"hello"))
    }

    #[tokio::test]
    async fn an_autoscaler_of_the_authority_is_believed_and_nobody_else() {
        let (authority, other) = (Authority::new(), Authority::new());
        let believing = client(&authority.pem());
        says_hello(&believing, &server(&authority, AUTOSCALER, Use::Server)).await.unwrap();
        for stranger in [
            server(&other, AUTOSCALER, Use::Server),
            server(&authority, "sidecar.rouse", Use::Server),
            server(&authority, AUTOSCALER, Use::Client),
        ] {
            let error = says_hello(&believing, &stranger).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[tokio::test]
    async fn both_change_while_they_are_used() {
        let (old, new) = (Authority::new(), Authority::new());
        let (server, client) = (server(&old, AUTOSCALER, Use::Server), client(&old.pem()));
        says_hello(&client, &server).await.unwrap();
        client.believe((old.pem() + &new.pem()).as_bytes()).unwrap();
        says_hello(&client, &server).await.unwrap();
        let leaf = new.issue(AUTOSCALER, Use::Server, Valid::Now);
        server.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
        says_hello(&client, &server).await.unwrap();
        client.believe(old.pem().as_bytes()).unwrap();
        says_hello(&client, &server).await.unwrap_err();
        client.believe(b"nonsense").unwrap_err();
        server.show(leaf.certificate.as_bytes(), b"nonsense").unwrap_err();
    }

    #[tokio::test]
    async fn who_believes_nobody_yet_does_not_connect_and_who_shows_nothing_yet_lets_wait() {
        let authority = Authority::new();
        let nobody = Client::default();
        let error = says_hello(&nobody, &server(&authority, AUTOSCALER, Use::Server)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let (waiting, leaf) = (Server::default(), authority.issue(AUTOSCALER, Use::Server, Valid::Now));
        let believing = client(&authority.pem());
        let connected = says_hello(&believing, &waiting);
        let shown = async { waiting.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()) };
        // In this order: it is connected to before it shows anything.
        let (connected, shown) = tokio::join!(biased; connected, shown);
        connected.unwrap();
        shown.unwrap();
    }
}
