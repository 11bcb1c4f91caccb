//! Keys and certificates: an authority, and what it signs. Elliptic curve P-256 throughout, which everybody understands.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use units::Moment;

use super::{Entry, Ledger, Timing};
use crate::fault::Fault;

/// The name in the certificate that activators show to sidecars.
pub(crate) const ACTIVATOR: &str = "activator.rouse";

/// What is signed is valid from so long ago, for machines whose clock is behind.
const SLACK: Duration = Duration::from_secs(3_600);

/// The length of a public key: a point of the curve, not compressed.
const POINT: usize = 65;

/// Rouse's own authority, as far as it signs. Not what it remembers of its rotation.
pub struct Authority {
    generation: u64,
    bundle: Arc<str>,
    issuer: Issuer<'static, KeyPair>,
    /// What stands after each certificate that it signs.
    crossed: String,
    leaf: Duration,
    expires: Moment,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, then those that lead from it to older authorities.
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
    /// Nobody believes it from then on.
    pub expires: Moment,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("expires", &self.expires).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
enum Use {
    Server,
    Client,
}

impl Authority {
    /// What signs now; `None` if nothing can.
    pub(super) fn of(ledger: &Ledger, now: Moment, timing: Timing) -> Result<Option<Self>, Fault> {
        let Some(entry) = ledger.signer(now) else { return Ok(None) };
        let Some(key) = &entry.key else { return Ok(None) };
        let key = KeyPair::from_pem(key).map_err(|error| refused("the key of the authority", &error))?;
        Ok(Some(Self {
            generation: ledger.generation,
            bundle: ledger.bundle().into(),
            issuer: Issuer::new(of_authority(&entry.name, entry.made, entry.expires), key),
            crossed: entry.crossed.concat(),
            leaf: timing.leaf(),
            expires: entry.expires,
        }))
    }

    /// Grows with each change of what signs or is believed. Who hears of two believes the higher.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Certificates of all that is to be believed, PEM: while one authority follows another, of both. Public.
    pub fn ca_bundle(&self) -> &str {
        &self.bundle
    }

    /// A server's certificate for these DNS names, with a new key.
    ///
    /// # Errors
    /// If a name is none.
    pub fn server(&self, names: &[&str], now: Moment) -> anyhow::Result<Leaf> {
        self.leaf(names, Use::Server, now)
    }

    /// A client's, likewise.
    pub(super) fn client(&self, name: &str, now: Moment) -> anyhow::Result<Leaf> {
        self.leaf(&[name], Use::Client, now)
    }

    /// A server's certificate for one DNS name and a key that somebody else has, of which this is the public part: a point
    /// of P-256, not compressed. PEM, with those that lead to older authorities. Nobody can use it without the key, so it
    /// does no harm to sign what is not a point.
    ///
    /// # Errors
    /// If it is not as long as one.
    pub fn certify(&self, name: &str, public_key: &[u8], now: Moment) -> anyhow::Result<String> {
        anyhow::ensure!(
            public_key.len() == POINT && public_key[0] == 4,
            "a public key is a point of P-256, {POINT} bytes of which the first is 4; this has {} bytes",
            public_key.len()
        );
        let (params, _) = self.params(&[name], Use::Server, now)?;
        Ok(params.signed_by(&Point(public_key), &self.issuer)?.pem() + &self.crossed)
    }

    /// After so long what it has signed is to be signed anew: a third of how long that is valid.
    pub fn renewal(&self) -> Duration {
        self.leaf / 3
    }

    fn leaf(&self, names: &[&str], purpose: Use, now: Moment) -> anyhow::Result<Leaf> {
        let key = KeyPair::generate()?;
        let (params, expires) = self.params(names, purpose, now)?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem() + &self.crossed;
        Ok(Leaf { certificate, key: key.serialize_pem(), expires })
    }

    fn params(&self, names: &[&str], purpose: Use, now: Moment) -> anyhow::Result<(CertificateParams, Moment)> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        // Nobody looks at it; and it must not be the authority's own, or a certificate would look as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or_default());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let expires = now.plus(self.leaf).min(self.expires);
        between(&mut params, now, expires);
        Ok((params, expires))
    }
}

/// A new authority, crossed by the one that signs now.
pub(super) fn entry(before: Option<&Entry>, now: Moment, timing: Timing) -> Result<Entry, Fault> {
    let made = |error: rcgen::Error| refused("making an authority", &error);
    let key = KeyPair::generate().map_err(made)?;
    // No two have the same name: a verifier finds its way by them.
    let name = format!("rouse {:016x}", fastrand::u64(..));
    let expires = now.plus(timing.lifetime());
    let params = of_authority(&name, now, expires);
    let mut crossed = Vec::new();
    if let Some((before, their_key)) = before.and_then(|before| Some((before, before.key.as_ref()?))) {
        let their_key = KeyPair::from_pem(their_key).map_err(|error| refused("the key of the authority", &error))?;
        let issuer = Issuer::new(of_authority(&before.name, before.made, before.expires), their_key);
        crossed.push(params.signed_by(&key, &issuer).map_err(made)?.pem());
        crossed.extend(before.crossed.iter().cloned());
    }
    let certificate = params.self_signed(&key).map_err(made)?.pem();
    Ok(Entry { name, made: now, expires, certificate, key: Some(key.serialize_pem()), crossed })
}

/// What an authority's own certificate says.
fn of_authority(name: &str, made: Moment, expires: Moment) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    between(&mut params, made, expires);
    params
}

fn between(params: &mut CertificateParams, made: Moment, expires: Moment) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + made.minus(SLACK).unix();
    params.not_after = epoch + expires.unix();
    params.serial_number = Some(SerialNumber::from(fastrand::u64(1..)));
}

fn refused(what: &str, error: &rcgen::Error) -> Fault {
    Fault::Refused { why: format!("{what}: {error}") }
}

/// A public key of somebody else.
struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
