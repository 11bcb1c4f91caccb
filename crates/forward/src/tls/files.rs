//! Certificates in files, read again when they change.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::tls::material::{Part, Pem, TlsFault, TlsFaults};

/// Where the three parts of a [`Pem`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// Our certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority's certificates.
    pub authority: PathBuf,
}

impl PemFiles {
    /// What they say now. Blocks.
    ///
    /// # Errors
    /// With each file that cannot be read.
    pub fn read(&self) -> Result<Pem, TlsFaults> {
        let mut faults = Vec::new();
        let mut read = |part, path: &Path| {
            let fault = |error| TlsFault { part, fault: format!("{} cannot be read: {error}", path.display()) };
            fs::read(path).map_err(|error| faults.push(fault(error))).unwrap_or_default()
        };
        let certificate = read(Part::Certificate, &self.certificate);
        let key = read(Part::Key, &self.key);
        let authority = read(Part::Authority, &self.authority);
        if faults.is_empty() { Ok(Pem { certificate, key, authority }) } else { Err(TlsFaults(faults)) }
    }

    /// Looks every so often, and hands over what is new. What is refused leaves things as they are, and is said once. It is
    /// handed over again at each look: the very same set may be taken later, when it has become valid by this clock.
    ///
    /// What they say is compared, not when they were written: volumes of a kubelet change by a link to another folder. Read
    /// between two of its files a new set does not fit together; it is refused, and taken at the next look.
    pub async fn follow(
        self,
        mut known: Pem,
        every: Duration,
        mut replace: impl FnMut(&Pem) -> Result<(), TlsFaults>,
    ) -> Infallible {
        let mut unreadable = false;
        let mut refused = None;
        loop {
            sleep(every).await;
            let files = self.clone();
            let read = match spawn_blocking(move || files.read()).await {
                Ok(read) => read,
                // The runtime ends.
                Err(_) => return std::future::pending().await,
            };
            match read {
                Err(error) if !unreadable => {
                    warn!(%error, "cannot read the certificates again, the old ones stay");
                    unreadable = true;
                }
                Err(_) => {}
                Ok(pem) => {
                    unreadable = false;
                    if pem == known {
                        continue;
                    }
                    match replace(&pem) {
                        Ok(()) => {
                            info!(certificate = %self.certificate.display(), "took new certificates");
                            known = pem;
                        }
                        Err(error) => {
                            if refused.as_ref() != Some(&pem) {
                                warn!(%error, "the new certificates are refused, the old ones stay");
                            }
                            refused = Some(pem);
                        }
                    }
                }
            }
        }
    }
}
