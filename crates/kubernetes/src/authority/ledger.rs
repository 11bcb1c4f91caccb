//! The ledger in its Secret: one JSON text, so that what belongs together changes together.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};
use units::Moment;

use super::{Entry, Ledger};
use crate::fault::Fault;

/// The key in the Secret's data.
const TEXT: &str = "ledger.json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    generation: u64,
    published_unix_ms: Option<u64>,
    obeyed: Option<String>,
    signer: usize,
    authorities: Vec<Authority>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Authority {
    name: String,
    made_unix_ms: u64,
    expires_unix_ms: u64,
    certificate: String,
    key: Option<String>,
    crossed: Vec<String>,
}

impl Ledger {
    /// What a Secret says. An empty one, as none, says nothing.
    ///
    /// # Errors
    /// If what it says is not understood: nobody overwrites that.
    pub(super) fn of(secret: Option<&Secret>) -> Result<Self, Fault> {
        let data = secret.and_then(|secret| secret.data.as_ref());
        let Some(ByteString(text)) = data.and_then(|data| data.get(TEXT)) else { return Ok(Self::default()) };
        let not_understood = |error: &dyn std::fmt::Display| Fault::Refused {
            why: format!(
                "{TEXT} of Secret {} is not understood, and left alone: {error}; delete the Secret to begin anew",
                crate::site::AUTHORITY
            ),
        };
        let record: Record = serde_json::from_slice(text).map_err(|error| not_understood(&error))?;
        if record.authorities.len() <= record.signer {
            return Err(not_understood(&"it has fewer authorities than it says"));
        }
        let entry = |of: Authority| Entry {
            name: of.name,
            made: Moment::from_unix_millis(of.made_unix_ms),
            expires: Moment::from_unix_millis(of.expires_unix_ms),
            certificate: of.certificate,
            key: of.key,
            crossed: of.crossed,
        };
        Ok(Self {
            generation: record.generation,
            published: record.published_unix_ms.map(Moment::from_unix_millis),
            obeyed: record.obeyed,
            signer: record.signer,
            entries: record.authorities.into_iter().map(entry).collect(),
        })
    }

    /// What the Secret is to hold.
    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let millis = |moment: Moment| u64::try_from(moment.unix().as_millis()).unwrap_or(u64::MAX);
        let authority = |entry: &Entry| Authority {
            name: entry.name.clone(),
            made_unix_ms: millis(entry.made),
            expires_unix_ms: millis(entry.expires),
            certificate: entry.certificate.clone(),
            key: entry.key.clone(),
            crossed: entry.crossed.clone(),
        };
        let record = Record {
            generation: self.generation,
            published_unix_ms: self.published.map(millis),
            obeyed: self.obeyed.clone(),
            signer: self.signer,
            authorities: self.entries.iter().map(authority).collect(),
        };
        // A plain struct always is JSON.
        let text = serde_json::to_vec(&record).unwrap_or_default();
        [(TEXT.to_owned(), ByteString(text))].into()
    }
}
