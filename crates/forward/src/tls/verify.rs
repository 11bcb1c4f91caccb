//! Whose certificate is believed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::tls::material::{Part, TlsFaults, fault};

/// A name of ours.
pub(crate) fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).expect("our names are DNS names")
}

/// Believes clients of the authority that carry one name. Without the name, whoever has any certificate of the
/// authority, such as another sidecar, could speak as an activator.
#[derive(Debug)]
pub(crate) struct Named {
    inner: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl Named {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        peer: &'static str,
    ) -> Result<Self, TlsFaults> {
        let inner = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        Ok(Self { inner: inner.map_err(TlsFaults::unlikely)?, name: name(peer) })
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Would the other side believe our own certificate now?
#[derive(Clone, Debug)]
pub(crate) enum Validity {
    Valid,
    /// Only its time is wrong.
    Outdated(CertificateError),
}

pub(crate) fn own_as_server(
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    own: &'static str,
) -> Result<Validity, TlsFaults> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    let (end_entity, intermediates) = chain.split_first().ok_or_else(|| TlsFaults::unlikely("it is empty"))?;
    let verifier = verifier.map_err(TlsFaults::unlikely)?;
    judge(verifier.verify_server_cert(end_entity, intermediates, &name(own), &[], UnixTime::now()).err(), own)
}

pub(crate) fn own_as_client(
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    own: &'static str,
) -> Result<Validity, TlsFaults> {
    let verifier = Named::new(roots.clone(), provider, own)?;
    let (end_entity, intermediates) = chain.split_first().ok_or_else(|| TlsFaults::unlikely("it is empty"))?;
    judge(verifier.verify_client_cert(end_entity, intermediates, UnixTime::now()).err(), own)
}

fn judge(error: Option<Error>, own: &str) -> Result<Validity, TlsFaults> {
    let error = match error {
        None => return Ok(Validity::Valid),
        Some(Error::InvalidCertificate(error)) if is_outdated(&error) => return Ok(Validity::Outdated(error)),
        Some(error) => error,
    };
    let why = match error {
        Error::InvalidCertificate(error) if is_name(&error) => format!("does not name {own:?}: {error}"),
        Error::InvalidCertificate(error) if is_authority(&error) => {
            format!("is not of the authority that is given beside it: {error}")
        }
        Error::InvalidCertificate(error) => format!("would not be believed: {error}"),
        error => format!("would not be believed: {error}"),
    };
    Err(fault(Part::Certificate, why))
}

/// Too old or too young.
pub(crate) fn is_outdated(error: &CertificateError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

pub(crate) fn is_name(error: &CertificateError) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, NotValidForName | NotValidForNameContext { .. })
}

pub(crate) fn is_use(error: &CertificateError) -> bool {
    use CertificateError::{InvalidPurpose, InvalidPurposeContext};
    matches!(error, InvalidPurpose | InvalidPurposeContext { .. })
}

/// Signed by another; by one of the same name, the signature does not fit.
pub(crate) fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature)
}
