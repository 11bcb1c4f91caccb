//! Where Rouse itself stands in the cluster, and what all of it agrees on.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// The label under which all objects of Rouse's own stand.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "rouse");

/// The label that says which program a pod of Rouse's own is: `activator` or `autoscaler`.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Who writes: in `managedFields`, in events, and in the label of our slices.
pub const MANAGER: &str = "rouse";

/// The Lease of the autoscaler that leads, in Rouse's namespace. Its holder is `<pod>_<incarnation>`.
pub(crate) const LEASE: &str = "rouse-autoscaler";

/// The Service of the autoscalers, in Rouse's namespace: an address for each.
pub(crate) const AUTOSCALERS: &str = "rouse-autoscaler";

/// The Service of the webhook in Rouse's namespace, and its MutatingWebhookConfiguration.
pub(crate) const WEBHOOK: &str = "rouse-webhook";

/// The ConfigMap in Rouse's namespace that says which revisions endpoints name, for the leader after this one.
pub(crate) const REVISIONS: &str = "rouse-revisions";

/// The Secret in Rouse's namespace that holds Rouse's own authority, with its private keys.
pub(crate) const AUTHORITY: &str = "rouse-authority";

/// The Secret in Rouse's namespace that holds what activators show to sidecars, and whom they believe.
pub(crate) const ACTIVATOR_TLS: &str = "rouse-activator-tls";

/// The ConfigMap in Rouse's namespace that says, under [`CA_BUNDLE`], whom everybody believes.
pub const TRUST: &str = "rouse-trust";

/// The key of ConfigMap [`TRUST`], and of Secrets, for certificates of the authority.
pub const CA_BUNDLE: &str = "ca.crt";

/// The ServiceAccount of activators, in Rouse's namespace.
pub const ACTIVATOR_ACCOUNT: &str = "rouse-activator";

/// For whom tokens are that Rouse's programs prove themselves with: the audience of a projected ServiceAccount token.
pub const AUDIENCE: &str = "rouse";

/// Where Rouse itself stands, and what its programs agree on. From flags and the downward API.
#[derive(Clone, Debug)]
pub struct Site {
    /// The namespace of Rouse's own pods, its Lease and its ConfigMap.
    pub namespace: Arc<str>,
    /// Name of this pod.
    pub pod_name: Arc<str>,
    /// UID of this pod.
    pub pod_uid: Arc<str>,
    /// The cluster's domain, `cluster.local` mostly.
    pub cluster_domain: Arc<str>,
    /// Ports that endpoints have of their own on every activator.
    pub own_ports: RangeInclusive<u16>,
    /// The activators' shared port.
    pub shared_port: u16,
    /// Where autoscalers take streams.
    pub streams_port: u16,
    /// Whether Rouse's programs also speak plain TCP with each other, and believe who does.
    pub plaintext: bool,
}

impl Site {
    /// The range of own ports unless a flag says otherwise: above what kernels give to clients by default is 32768.
    pub const OWN_PORTS: RangeInclusive<u16> = 20_000..=29_999;
    /// The activators' shared port unless a flag says otherwise.
    pub const SHARED_PORT: u16 = 8080;
    /// Where autoscalers take streams unless a flag says otherwise.
    pub const STREAMS_PORT: u16 = 8081;
}

#[cfg(test)]
mod tests;
