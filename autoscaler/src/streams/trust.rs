//! Who is believed on a stream. The rule; who holds a token is asked elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daemon::tls::Server;
use futures_util::future::BoxFuture;
use platform::{Holder, Unproven};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::warn;
use wire::{Down, FromAutoscaler, Hello, Role};

/// The name in the certificates that sidecars show to activators.
const SIDECAR: &str = "sidecar.rouse";

/// Tokens of sidecars that are asked about at once, and as many of activators: when an autoscaler starts, every sidecar comes
/// within seconds, and no wake is to wait for them.
const AT_ONCE: usize = 16;

/// Who waits longer to be asked about comes again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells who holds a token.
pub type WhoHolds = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Holder, Unproven>> + Send + Sync>;

/// Certifies a public key for a DNS name; PEM.
pub type Certify = Arc<dyn Fn(&str, &[u8]) -> anyhow::Result<String> + Send + Sync>;

/// What sidecars are given.
#[derive(Clone)]
pub struct Signer {
    /// Grows with each change of whom to believe.
    pub generation: u64,
    /// Whom to believe, PEM.
    pub authorities: Arc<str>,
    /// Makes their certificates.
    pub certify: Certify,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Who is believed on the streams, and what is shown and given there. Without one they are plain TCP, and everyone is
/// believed.
#[derive(Clone)]
pub struct Trust {
    /// What is shown to peers.
    pub tls: Server,
    /// Who holds a token.
    pub who_holds: WhoHolds,
    /// Namespace of Rouse's own pods.
    pub namespace: Arc<str>,
    /// ServiceAccount of its activators.
    pub activators: Arc<str>,
    /// What sidecars are given; each change goes to all. `None`: nothing yet.
    pub signer: watch::Receiver<Option<Signer>>,
    /// Whether who speaks plain TCP is taken too, and believed.
    pub plaintext: bool,
}

/// The same, in use.
pub(crate) struct Gate {
    trust: Trust,
    asking_of_sidecars: Semaphore,
    asking_of_activators: Semaphore,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    pub(crate) fn new(trust: Trust) -> Self {
        let asking = || Semaphore::new(AT_ONCE);
        Self { trust, asking_of_sidecars: asking(), asking_of_activators: asking() }
    }

    #[cfg(test)]
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Is this to be in TLS? Whether it is shows in the first byte: a handshake begins with 22, a frame of ours with 0.
    pub(crate) async fn guards(&self, connection: &TcpStream) -> bool {
        const HANDSHAKE: u8 = 22;
        let mut first = [0];
        // Who says nothing is waited for elsewhere.
        !self.trust.plaintext || matches!(connection.peek(&mut first).await, Ok(1)) && first == [HANDSHAKE]
    }

    pub(crate) fn tls(&self) -> &Server {
        &self.trust.tls
    }

    /// Is the one who says this who it says?
    pub(crate) async fn admit(&self, hello: &Hello) -> Result<(), Unproven> {
        let token = hello.proof.as_ref().map(|proof| proof.token.as_str()).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Unproven::Refused("it brought none".to_owned()))?;
        let asking =
            if hello.role() == Role::Activator { &self.asking_of_activators } else { &self.asking_of_sidecars };
        let permit = timeout(PATIENCE, asking.acquire()).await;
        let permit = permit.map_err(|_| Unproven::Unknown(format!("too many came before it for {PATIENCE:?}")))?;
        let holder = (self.trust.who_holds)(token.to_owned()).await;
        drop(permit);
        self.is_itself(hello, &holder?).map_err(Unproven::Refused)
    }

    /// A sidecar speaks for the pod that it is in, and an activator is one of Rouse's own.
    fn is_itself(&self, hello: &Hello, holder: &Holder) -> Result<(), String> {
        let says = (&hello.namespace, &hello.name, &hello.uid);
        if says != (&holder.namespace, &holder.pod_name, &holder.pod_uid) {
            let is = |(namespace, name, uid): (&String, &String, &String)| format!("{namespace}/{name} ({uid})");
            let holds = is((&holder.namespace, &holder.pod_name, &holder.pod_uid));
            return Err(format!("it says that it is pod {}, and its token is that of {holds}", is(says)));
        }
        let own = (&*self.trust.namespace, &*self.trust.activators);
        if hello.role() == Role::Activator && (holder.namespace.as_str(), holder.account.as_str()) != own {
            let Holder { namespace, account, .. } = holder;
            return Err(format!("ServiceAccount {namespace}/{account} is not that of activators, {}/{}", own.0, own.1));
        }
        Ok(())
    }

    /// What this peer is to be given; nothing to activators, which have it from elsewhere.
    pub(crate) fn handing(&self, hello: &Hello) -> Option<Handing> {
        let signer = (hello.role() == Role::Sidecar).then(|| self.trust.signer.clone())?;
        Some(Handing::new(signer, hello.proof.as_ref().map(|proof| proof.public_key.clone()).unwrap_or_default()))
    }
}

/// What one sidecar is given, now and on each change.
#[derive(Debug)]
pub(crate) struct Handing {
    signer: watch::Receiver<Option<Signer>>,
    public_key: Vec<u8>,
}

impl Handing {
    fn new(mut signer: watch::Receiver<Option<Signer>>, public_key: Vec<u8>) -> Self {
        signer.mark_changed();
        Self { signer, public_key }
    }

    /// The next frame. May be dropped at any await. Never, once nobody signs any more.
    pub(crate) async fn next(&mut self) -> Bytes {
        loop {
            if self.signer.changed().await.is_err() {
                return std::future::pending().await;
            }
            let Some(signer) = self.signer.borrow_and_update().clone() else { continue };
            let certificate = match self.public_key.as_slice() {
                [] => Ok(String::new()),
                key => (signer.certify)(SIDECAR, key),
            };
            match certificate {
                Ok(certificate) => {
                    let Signer { generation, authorities, .. } = signer;
                    let trust = wire::Trust { generation, certificate, authorities: authorities.to_string() };
                    return wire::encode(&FromAutoscaler { kind: Some(Down::Trust(trust)) });
                }
                Err(error) => warn!(%error, "cannot certify the key of a sidecar"),
            }
        }
    }
}
