//! The webhook: the API server asks it about each pod that is made with the label `rouse.dev/inject: "true"`, and it answers
//! what `inject` makes of it.
//!
//! Every autoscaler serves it, whoever leads. It refuses no pod, ever: one that it cannot inject starts as it is, and is
//! served through the activators. If nobody answers the API server goes on without (`failurePolicy: Ignore`).
//!
//! In reading order: `review` (a question in, an answer out; pure), `serve` (TLS and HTTP), `registration` (the API server
//! is told whom to believe), `tell` (Events of what was left alone).

mod registration;
mod review;
mod serve;
mod tell;

use std::convert::Infallible;
use std::sync::Arc;

use daemon::Listener;
use daemon::tls::Server;
use platform::Leadership;
use tokio::sync::{mpsc, watch};

use crate::cluster::Cluster;
use crate::inject::Sidecar;
use crate::site::WEBHOOK;

#[cfg(test)]
pub(crate) use serve::PATH;

/// Events that wait to be written; what is more is not told.
const TOLD: usize = 64;

impl Cluster {
    /// Serves the webhook for as long as it is polled; and while this program leads, has the API server believe it. `image`
    /// is that of the sidecar.
    ///
    /// # Errors
    /// If the authority signs something that cannot be used.
    pub async fn webhook(
        &self,
        listener: Listener,
        image: &str,
        leadership: watch::Receiver<Leadership>,
    ) -> anyhow::Result<Infallible> {
        let tls = Server::default();
        let (tell, told) = mpsc::channel(TOLD);
        let name = format!("{WEBHOOK}.{}.svc", self.site.namespace);
        let (cluster, image) = (self.clone(), Arc::<str>::from(image));
        let sidecar = move || cluster.sidecar(&image);
        tokio::try_join!(
            serve::show(self.authority(), self.clock, tls.clone(), &name),
            serve::serve(&listener, &tls, sidecar, tell),
            registration::keep(self, leadership),
            tell::events(self, told),
        )
        .map(|(never, ..)| never)
    }

    /// As a pod gets it that is made now. `None` while it is not known yet whom it is to believe.
    fn sidecar(&self, image: &str) -> Option<Sidecar> {
        let site = &self.site;
        let sidecar = Sidecar::of(image, &site.namespace, &site.cluster_domain, site.streams_port);
        match self.authority().borrow().as_deref() {
            Some(authority) => Some(Sidecar { authorities: Some(Arc::from(authority.ca_bundle())), ..sidecar }),
            // Where plain TCP is spoken too, one that speaks it is better than none.
            None => site.plaintext.then_some(sidecar),
        }
    }
}
