//! A way to the leader's admin port that is kept, as a live view asks several times a second.

use std::sync::Arc;

use anyhow::Context as _;
use daemon::Unavailable;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kubernetes::Leader;
use tokio::sync::Mutex;

use super::Way;
use crate::admin::Stream;

/// Who was found to lead.
#[derive(Clone, Default)]
pub(crate) struct Cached(Arc<Mutex<Option<Leader>>>);

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cached")
    }
}

impl Way {
    /// A connection to the admin port of whoever leads.
    pub(crate) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let mut found = self.found.0.lock().await;
        if let Some(leader) = &*found
            && let Ok(stream) = leader.connect().await
        {
            return Ok(Box::new(stream));
        }
        // It went, or somebody else leads since.
        let unavailable = |error: anyhow::Error| Unavailable(format!("{error:#}"));
        let client = self.client().await.map_err(unavailable)?;
        let leader = Leader::find(&client, &self.rouse_namespace).await.map_err(unavailable)?;
        let stream = leader.connect().await.map_err(unavailable)?;
        *found = Some(leader);
        Ok(Box::new(stream))
    }

    /// A client of that cluster.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        let config = match &self.context {
            None => kube::Config::infer().await.context("no cluster: there is no kubeconfig")?,
            Some(context) => {
                let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
                let file = Kubeconfig::read().context("no cluster: there is no kubeconfig")?;
                let config = kube::Config::from_custom_kubeconfig(file, &options).await;
                config.with_context(|| format!("the context {context} of the kubeconfig"))?
            }
        };
        kube::Client::try_from(config).context("the client of the API server")
    }
}
