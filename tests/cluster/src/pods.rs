//! Pods of Rouse's own, and what is done to them.

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use nix::sys::signal::Signal;

use crate::ground::Ground;

/// An autoscaler that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Name of its pod.
    pub pod: String,
    /// As it signs the Lease.
    pub holder: String,
}

impl Ground {
    /// Who leads: a pod, and which run of the program in it.
    ///
    /// # Errors
    /// If nobody does.
    pub async fn leader(&self) -> anyhow::Result<Leader> {
        let leases: Api<Lease> = Api::namespaced(self.client(), "rouse");
        let holder = leases.get("rouse-autoscaler").await?.spec.and_then(|spec| spec.holder_identity);
        let holder = holder.filter(|holder| !holder.is_empty()).context("nobody leads")?;
        let pod = holder.rsplit_once('_').map_or(holder.as_str(), |(pod, _)| pod).to_owned();
        Ok(Leader { pod, holder })
    }

    /// Sends a signal to a program of Rouse's own.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal_rouse(&self, pod: &str, program: &str, signal: Signal) -> anyhow::Result<()> {
        self.signal(&self.container("rouse", pod, program)?, signal)
    }
}
