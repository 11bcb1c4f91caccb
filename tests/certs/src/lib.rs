//! An authority for tests, and certificates of it: such as activators and sidecars have, and faulty ones.
//!
//! ```
//! let authority = certs::Authority::new();
//! let sidecar = authority.issue("sidecar.rouse", certs::Use::Server, certs::Valid::Now);
//! assert!(sidecar.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
//! ```

#![expect(clippy::unwrap_used, reason = "for tests: a fault here is a fault of the test")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};

/// Signs certificates. Each one is another, though all have the same name, as the old and the new one of a rotation.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

/// A certificate, its key and the authorities that its owner believes, in a folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// `tls.crt`: for `PROXIED_TLS_CERT`.
    pub certificate: PathBuf,
    /// `tls.key`: for `PROXIED_TLS_KEY`.
    pub key: PathBuf,
    /// `ca.crt`: for `PROXIED_TLS_CA`.
    pub authority: PathBuf,
}

impl Leaf {
    /// Writes it, with the authorities that its owner believes as PEM, over what was there.
    pub fn write(&self, authorities: &str, folder: &Path) -> Files {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) = (write("tls.crt", &self.certificate), write("tls.key", &self.key));
        Files { certificate, key, authority: write("ca.crt", authorities) }
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To be connected to.
    Server,
    /// To connect.
    Client,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// From long ago to long from now.
    Now,
    /// Until some years ago.
    Before,
    /// From many years hence.
    Later,
    /// From so long from now, to a second.
    In(Duration),
}

impl Authority {
    /// A new one, with a key of its own.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "rouse");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with this one DNS name.
    pub fn issue(&self, name: &str, purpose: Use, valid: Valid) -> Leaf {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![match purpose {
            Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let year = |year| date_time_ymd(year, 1, 1);
        (params.not_before, params.not_after) = match valid {
            Valid::Now => (year(2020), year(2120)),
            Valid::Before => (year(2010), year(2020)),
            Valid::Later => (year(2110), year(2120)),
            Valid::In(span) => (year(1970) + since_1970() + span, year(2120)),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Leaf { certificate, key: key.serialize_pem() }
    }

    /// A server's certificate with this name for a key that somebody else has: a point of P-256, not compressed.
    pub fn certify(&self, name: &str, public_key: &[u8]) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(&Point(public_key), &self.0).unwrap().pem()
    }

    /// What an activator has.
    pub fn activator(&self) -> Leaf {
        self.issue("activator.rouse", Use::Client, Valid::Now)
    }

    /// What a sidecar has.
    pub fn sidecar(&self) -> Leaf {
        self.issue("sidecar.rouse", Use::Server, Valid::Now)
    }
}

struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates are valid by the clock on the wall")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
