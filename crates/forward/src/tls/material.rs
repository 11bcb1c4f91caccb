//! Certificates and keys out of PEM, and what may be wrong with them.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who we are and whom we believe, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Our certificate, then those between it and the authority's, if any.
    pub certificate: Vec<u8>,
    /// Its private key: PKCS #8, SEC 1 or PKCS #1; also as DER.
    pub key: Vec<u8>,
    /// Certificates of the authority: the old and the new one, while it changes.
    pub authority: Vec<u8>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Our certificate.
    Certificate,
    /// Its key.
    Key,
    /// The authority.
    Authority,
}

/// What is wrong with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// Where.
    pub part: Part,
    /// For people.
    pub fault: String,
}

/// Everything that is wrong with a set of certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TlsFaults(pub Vec<TlsFault>);

impl fmt::Display for TlsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, TlsFault { part, fault }) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            let part = match part {
                Part::Certificate => "certificate",
                Part::Key => "key",
                Part::Authority => "authority",
            };
            write!(f, "{separator}the {part} {fault}")?;
        }
        Ok(())
    }
}

impl TlsFaults {
    /// What the builders may refuse in theory.
    pub(crate) fn unlikely(error: impl fmt::Display) -> Self {
        fault(Part::Certificate, format!("cannot be used: {error}"))
    }
}

pub(crate) fn fault(part: Part, fault: String) -> TlsFaults {
    TlsFaults(vec![TlsFault { part, fault }])
}

/// What a configuration refuses about a certificate and a key, each well formed.
pub(crate) fn of_pair(error: rustls::Error) -> TlsFaults {
    match error {
        rustls::Error::InconsistentKeys(_) => fault(Part::Key, "belongs to another certificate".to_owned()),
        error => fault(Part::Key, format!("cannot be used: {error}")),
    }
}

/// Three well-formed parts.
pub(crate) struct Material {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Material {
    pub(crate) fn parse(pem: &Pem) -> Result<Self, TlsFaults> {
        let mut faults = Vec::new();
        let mut note = |part, fault| faults.push(TlsFault { part, fault });
        let chain = certificates(&pem.certificate).map_err(|fault| note(Part::Certificate, fault)).ok();
        let key = private_key(&pem.key).map_err(|fault| note(Part::Key, fault)).ok();
        let roots = roots(&pem.authority).map_err(|fault| note(Part::Authority, fault)).ok();
        match (chain, key, roots) {
            (Some(chain), Some(key), Some(roots)) => {
                // Ours explicitly: there is none for the process, which another crate may want to be another's.
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                Ok(Self { provider, chain, key, roots: Arc::new(roots) })
            }
            _ => Err(TlsFaults(faults)),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("has no CERTIFICATE section".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

/// PEM, or DER, which no PEM begins like.
fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    const SEQUENCE: u8 = 0x30;
    if text.first() == Some(&SEQUENCE) {
        return PrivateKeyDer::try_from(text).map(|key| key.clone_key()).map_err(str::to_owned);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(of_key)
}

fn of_key(error: pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "has no PRIVATE KEY section (an encrypted one cannot be used)".to_owned(),
        error => format!("is not PEM: {error}"),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
    }
    Ok(roots)
}
