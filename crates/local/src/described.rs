//! What is to be in force, as told by whoever read it from files: already checked, nothing left to refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::{Endpoint, Layer};
use units::{ReplicaCount, RevisionKey};

/// Everything that is to exist. Given to [`crate::LocalPlatform::apply`] as a whole, each time.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// The endpoints. Their `route` is ours: on one machine everything is proxied.
    pub endpoints: Vec<Endpoint>,
    /// The workloads, each key once. One that no endpoint names is not run.
    pub workloads: Vec<Workload>,
    /// The data of the ConfigMap `config-autoscaler`, unparsed; empty if there is none.
    pub config: BTreeMap<String, String>,
}

/// One revision's workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub key: RevisionKey,
    /// What each replica runs and how to tell that it is well. A change of it replaces the replicas, one at a time;
    /// nothing else does. `working_dir`, if given, is absolute or relative to the program's own.
    pub container: api::Container,
    /// Settings in Knative's annotation names, strongest layer first.
    pub layers: Vec<Layer>,
    /// How long a start may take before it counts as failed. Judged by the autoscaler, not here.
    pub progress_deadline: Duration,
    /// How long a process may take to end after SIGTERM, before SIGKILL.
    pub termination_grace: Duration,
    /// How many replicas it has when it is first seen. From then on only orders change that.
    pub initial_scale: ReplicaCount,
}
