//! The settings in force, live: layers and `config-autoscaler` in, a policy out.
//!
//! What a value means, what is refused and what counts in its place is `kpa::policy`'s. Here a change is noticed, and
//! what was refused is said once in the log, where the change was made.

use std::sync::Arc;

use kpa::policy::{Class, Cluster, InForce, Refusal, Sources, Warning};
use platform::{Revision, Source};
use tracing::warn;

/// The settings of one revision, and what they were read from.
#[derive(Debug)]
pub(crate) struct Settings {
    in_force: Arc<InForce<Source>>,
    cluster: Arc<Cluster>,
    revision: Arc<Revision>,
}

impl Settings {
    /// Reads them for the first time.
    pub(crate) fn read(revision: Arc<Revision>, cluster: Arc<Cluster>) -> Self {
        let in_force = Arc::new(read(&revision, &cluster, None));
        Self { in_force, cluster, revision }
    }

    /// Reads them again, if anything that they come from is different. Is there a new policy?
    pub(crate) fn read_again(&mut self, revision: Arc<Revision>, cluster: Arc<Cluster>) -> bool {
        let of = |revision: &Revision| {
            (revision.container_concurrency, revision.container_concurrency_from, revision.reachable)
        };
        if Arc::ptr_eq(&cluster, &self.cluster)
            && revision.layers == self.revision.layers
            && of(&revision) == of(&self.revision)
        {
            self.revision = revision;
            return false;
        }
        let in_force = read(&revision, &cluster, Some(&self.in_force));
        let is_new = in_force.policy != self.in_force.policy;
        *self = Self { in_force: Arc::new(in_force), cluster, revision };
        is_new
    }

    /// What is in force.
    pub(crate) fn in_force(&self) -> &Arc<InForce<Source>> {
        &self.in_force
    }
}

fn read(revision: &Revision, cluster: &Cluster, last: Option<&InForce<Source>>) -> InForce<Source> {
    let layers: Vec<_> = revision.layers.iter().map(|layer| (layer.source, &layer.values)).collect();
    let sources = Sources {
        layers: &layers,
        cluster,
        config_map: Source::ConfigMap,
        built_in: Source::BuiltIn,
        container_concurrency: (revision.container_concurrency, revision.container_concurrency_from),
        reachable: revision.reachable,
    };
    let read = InForce::read(&sources, last);
    let before = |of: fn(&InForce<Source>) -> &Vec<Refusal<Source>>| last.map(of).map_or(&[][..], Vec::as_slice);
    for refusal in read.refusals.iter().filter(|refusal| !before(|last| &last.refusals).contains(refusal)) {
        warn!(%refusal, "a setting is refused, what counted before still does");
    }
    let said: &[Warning<Source>] = last.map_or(&[], |last| &last.warnings);
    for warning in read.warnings.iter().filter(|warning| !said.contains(warning)) {
        warn!(%warning, "a setting is ignored");
    }
    if read.class != Class::Kpa && last.is_none_or(|last| last.class != read.class) {
        warn!(class = read.class.as_str(), "an autoscaler of this class is not at hand, it is scaled by requests");
    }
    read
}

/// Reads `config-autoscaler`, and says what was refused in it that was not before.
pub(crate) fn read_cluster(data: &std::collections::BTreeMap<String, String>, last: Option<&Cluster>) -> Cluster {
    let read = Cluster::read(data, last);
    for refusal in read.refusals.iter().filter(|refusal| last.is_none_or(|last| !last.refusals.contains(refusal))) {
        warn!(%refusal, "a setting is refused, what counted before still does");
    }
    for warning in read.warnings.iter().filter(|warning| last.is_none_or(|last| !last.warnings.contains(warning))) {
        warn!(%warning, "a setting is ignored");
    }
    read
}
