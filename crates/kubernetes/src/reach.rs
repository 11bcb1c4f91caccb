//! For people: a way from where they sit to the admin port of the autoscaler that leads, by a port-forward, as with
//! `kubectl port-forward`: no port is opened, and who may do it is for the cluster's own access control to say.

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::DuplexStream;

use crate::site::LEASE;

/// The port that the autoscaler's admin answers at.
const ADMIN_PORT: u16 = 9090;

/// The autoscaler that leads.
#[derive(Clone)]
pub struct Leader {
    pods: Api<Pod>,
    pod: String,
}

impl Leader {
    /// Finds it by the Lease in Rouse's namespace.
    ///
    /// # Errors
    /// If there is no such Lease, nobody holds it, or it may not be read.
    pub async fn find(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = leases.get_opt(LEASE).await.with_context(|| format!("the Lease {namespace}/{LEASE}"))?;
        let holder = lease
            .with_context(|| format!("there is no Lease {namespace}/{LEASE}; is Rouse installed in that namespace?"))?
            .spec
            .and_then(|spec| spec.holder_identity)
            .filter(|holder| !holder.is_empty())
            .with_context(|| format!("no autoscaler leads: nobody holds the Lease {namespace}/{LEASE}"))?;
        // What follows the pod's name says which run of the program it is.
        let pod = holder.rsplit_once('_').map_or(holder.as_str(), |(pod, _)| pod).to_owned();
        Ok(Self { pods: Api::namespaced(client.clone(), namespace), pod })
    }

    /// Name of its pod.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// A connection to its admin port. It lives for as long as what is returned.
    ///
    /// # Errors
    /// If the pod is gone, or its port may not be forwarded.
    pub async fn connect(&self) -> anyhow::Result<DuplexStream> {
        let mut forward = self
            .pods
            .portforward(&self.pod, &[ADMIN_PORT])
            .await
            .with_context(|| format!("a port-forward to {}:{ADMIN_PORT}", self.pod))?;
        forward.take_stream(ADMIN_PORT).ok_or_else(|| anyhow!("a port-forward without a stream"))
    }
}
