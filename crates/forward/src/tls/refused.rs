//! Why a connection did not come about, as a closed list for metrics.

use std::io;

use crate::tls::verify::{is_authority, is_name, is_outdated, is_use};

/// Why a peer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It has no certificate.
    NoCertificate,
    /// Its certificate is of another authority.
    OtherAuthority,
    /// Its certificate is not valid any more, or not yet.
    Outdated,
    /// Its certificate has another name.
    WrongName,
    /// Its certificate is for servers, as a sidecar's is, and no client's.
    WrongUse,
    /// It does not speak TLS 1.3 as we do: an older version, other ciphers, other protocols inside.
    OldTls,
    /// It does not speak TLS.
    NotTls,
    /// It does not believe *us*, and said so.
    Disbelieved,
    /// It took too long.
    TooSlow,
    /// It left in the middle, or without a word.
    Left,
    /// It broke a rule of the protocol, or its certificate one of certificates.
    Broken,
}

impl Refused {
    /// All of them, so that each is counted from zero.
    pub const ALL: [Self; 11] = [
        Self::NoCertificate,
        Self::OtherAuthority,
        Self::Outdated,
        Self::WrongName,
        Self::WrongUse,
        Self::OldTls,
        Self::NotTls,
        Self::Disbelieved,
        Self::TooSlow,
        Self::Left,
        Self::Broken,
    ];

    /// For labels and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::OtherAuthority => "other-authority",
            Self::Outdated => "outdated",
            Self::WrongName => "wrong-name",
            Self::WrongUse => "wrong-use",
            Self::OldTls => "old-tls",
            Self::NotTls => "not-tls",
            Self::Disbelieved => "disbelieved",
            Self::TooSlow => "too-slow",
            Self::Left => "left",
            Self::Broken => "broken",
        }
    }

    /// Of a handshake that ended so.
    pub(crate) fn because_of(error: &io::Error) -> Self {
        use rustls::Error;
        // What is no fault of TLS is one of the connection.
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else { return Self::Left };
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(fault) if is_authority(fault) => Self::OtherAuthority,
            Error::InvalidCertificate(fault) if is_outdated(fault) => Self::Outdated,
            Error::InvalidCertificate(fault) if is_name(fault) => Self::WrongName,
            Error::InvalidCertificate(fault) if is_use(fault) => Self::WrongUse,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::OldTls,
            Error::InvalidMessage(_) => Self::NotTls,
            Error::AlertReceived(_) => Self::Disbelieved,
            _ => Self::Broken,
        }
    }
}
