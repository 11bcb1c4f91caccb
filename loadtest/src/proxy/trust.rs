//! Certificates of an authority of this run's own: what the proxies are given where clients speak TLS, and what those show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use certs::{Authority, Leaf};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Files, and the client's side of it.
pub(crate) struct Trust {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// A sidecar's certificate and its key; the others have the same.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// An activator's, for its way to a sidecar.
    pub(crate) activators_certificate: PathBuf,
    pub(crate) activators_key: PathBuf,
    /// A sidecar's certificate and key in one, as HAProxy wants them.
    pub(crate) both: PathBuf,
    client: TlsConnector,
}

impl Trust {
    /// Writes the files into this folder.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let authority = Authority::new();
        let (sidecar, activator) = (authority.sidecar(), authority.activator());
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).map(|()| path)
        };
        Ok(Self {
            authority: write("authority.pem", &authority.pem())?,
            certificate: write("certificate.pem", &sidecar.certificate)?,
            key: write("key.pem", &sidecar.key)?,
            both: write("both.pem", &format!("{}{}", sidecar.certificate, sidecar.key))?,
            activators_certificate: write("activators-certificate.pem", &activator.certificate)?,
            activators_key: write("activators-key.pem", &activator.key)?,
            client: client(&authority, &activator)?,
        })
    }

    /// Connects as an activator does: TLS 1.3 with certificates on both sides.
    pub(crate) async fn connect(&self, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("sidecar.rouse")?;
        self.client.connect(name, stream).await.context("speaking TLS")
    }
}

fn client(authority: &Authority, own: &Leaf) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_proxies_are_given_is_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::new(folder.path()).unwrap();
        let both = std::fs::read_to_string(&trust.both).unwrap();
        for path in [&trust.certificate, &trust.key] {
            assert!(both.contains(&std::fs::read_to_string(path).unwrap()), "{}", path.display());
        }
        assert!(CertificateDer::from_pem_file(&trust.authority).is_ok());
    }
}
