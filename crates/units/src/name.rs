//! What things are called.

use std::fmt;
use std::sync::Arc;

macro_rules! namespaced {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// The namespace it lives in; `default` on one machine unless the file says otherwise.
            pub namespace: Arc<str>,
            /// Its name within the namespace.
            pub name: Arc<str>,
        }

        impl $name {
            /// A key from its two parts. Cheap to clone from then on.
            pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
                Self { namespace: namespace.into(), name: name.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }
    };
}

namespaced! {
    /// One version of a model: one scalable workload. On Kubernetes the Deployment's name; locally the same.
    RevisionKey
}
namespaced! {
    /// What a client calls: a stable address with traffic rules (`ModelEndpoint`).
    EndpointKey
}

/// A random number that a program draws when it starts, so that its peers can tell a restart from a reconnect.
///
/// Counters that a peer sends are cumulative within one incarnation and begin again at zero with the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
