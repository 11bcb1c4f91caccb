//! Who is believed on the streams, and what is shown and given there, by the cluster's own means.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use autoscaler::{Signer, Trust};
use daemon::Clock;
use daemon::tls::{AUTOSCALER, Server};
use kubernetes::{Authority, Cluster};
use tokio::sync::watch;
use tracing::info;

/// What the autoscaler is given, and what keeps it up to date.
pub(crate) fn trust(cluster: &Cluster, namespace: Arc<str>, plaintext: bool, clock: Clock) -> (Trust, Keeping) {
    let (tls, signer) = (Server::default(), watch::Sender::new(None));
    let trust = Trust {
        tls: tls.clone(),
        who_holds: who_holds(cluster.clone()),
        namespace,
        activators: kubernetes::ACTIVATOR_ACCOUNT.into(),
        signer: signer.subscribe(),
        plaintext,
    };
    (trust, Keeping { authority: cluster.authority(), clock, tls, signer })
}

fn who_holds(cluster: Cluster) -> autoscaler::WhoHolds {
    Arc::new(move |token: String| {
        let cluster = cluster.clone();
        Box::pin(async move { cluster.who_holds(&token).await })
    })
}

/// Shows and gives what the authority signs: anew with each step of it, and long before it expires.
pub(crate) struct Keeping {
    authority: watch::Receiver<Option<Arc<Authority>>>,
    clock: Clock,
    tls: Server,
    signer: watch::Sender<Option<Signer>>,
}

impl Keeping {
    pub(crate) async fn run(mut self) -> anyhow::Result<Infallible> {
        loop {
            let Some(authority) = self.authority.borrow_and_update().clone() else {
                self.authority.changed().await.context("nobody keeps the authority any more")?;
                continue;
            };
            let leaf = authority.server(&[AUTOSCALER], self.clock.now()).context("signing for this autoscaler")?;
            self.tls.show(leaf.certificate.as_bytes(), leaf.key.as_bytes())?;
            info!(generation = authority.generation(), "signs with Rouse's authority");
            self.signer.send_replace(Some(signer(Arc::clone(&authority), self.clock)));
            let renewal = self.clock.now().plus(authority.renewal());
            tokio::select! {
                changed = self.authority.changed() => changed.context("nobody keeps the authority any more")?,
                () = self.clock.sleep_until(renewal) => {}
            }
        }
    }
}

fn signer(authority: Arc<Authority>, clock: Clock) -> Signer {
    Signer {
        generation: authority.generation(),
        authorities: authority.ca_bundle().into(),
        certify: Arc::new(move |name, key| authority.certify(name, key, clock.now())),
    }
}
