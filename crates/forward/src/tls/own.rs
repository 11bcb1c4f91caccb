//! A key that a program makes for itself and gives to nobody; somebody else certifies its public part.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::tls::material::{Part, Pem, TlsFaults, fault};

/// A private key of P-256, in this process only.
#[derive(Clone)]
pub struct OwnKey {
    /// PKCS #8, DER.
    private: Vec<u8>,
    public: Vec<u8>,
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnKey").finish_non_exhaustive()
    }
}

impl OwnKey {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate() -> Result<Self, TlsFaults> {
        let made = |_| fault(Part::Key, "could not be made: the system gives no randomness".to_owned());
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(made)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, private.as_ref(), &random);
        let pair = pair.map_err(|rejected| fault(Part::Key, format!("could not be made: {rejected}")))?;
        Ok(Self { private: private.as_ref().to_vec(), public: pair.public_key().as_ref().to_vec() })
    }

    /// The point of the curve that is to be certified, not compressed.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// With the certificate that somebody made for it, and whom to believe, both PEM.
    pub fn certified(&self, certificate: &str, authority: &str) -> Pem {
        Pem { certificate: certificate.into(), key: self.private.clone(), authority: authority.into() }
    }
}
