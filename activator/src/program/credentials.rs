//! Who this activator is to sidecars and autoscalers, and whom it takes for them, as the leader says it in a Secret.

use std::path::PathBuf;

use daemon::tls::{Client, Proving};
use forward::tls::{ClientTls, Parties, Pem};
use tracing::{info, warn};

/// What there is for connections in TLS. Until it is there, nobody is connected to in it.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) sidecars: ClientTls,
    pub(crate) autoscalers: Proving,
}

impl Credentials {
    /// Nothing yet, and the token in this file.
    pub(crate) fn waiting(token: PathBuf) -> Self {
        let autoscalers = Proving { client: Client::default(), token };
        Self { sidecars: ClientTls::waiting(Parties::OF_ACTIVATOR), autoscalers }
    }

    /// From now on it is these. What cannot be used changes nothing.
    pub(crate) fn take(&self, is: &kubernetes::Credentials) {
        let kubernetes::Credentials { certificate, key, authority } = is.clone();
        if let Err(error) = self.autoscalers.client.believe(&authority) {
            warn!(%error, "cannot believe what is said of autoscalers, the old stays");
        }
        match self.sidecars.replace(&Pem { certificate, key, authority }) {
            Ok(()) => info!("took a certificate for connections to sidecars"),
            Err(error) => warn!(%error, "the certificate for connections to sidecars is refused, the old one stays"),
        }
    }
}
