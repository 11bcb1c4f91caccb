//! What is to be said of an endpoint, beside what stands on the boards: for its status.

use std::collections::BTreeMap;
use std::sync::Arc;

use units::EndpointKey;

/// What was found about one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// Everything that is wrong with its spec, fields that are not served yet among it.
    pub(crate) faults: Option<Arc<api::Faults>>,
    /// It has faults, and the last spec without one that was seen in this run is in force.
    pub(crate) keeps_last_good: bool,
    /// Hosts that it asks for and an older endpoint has.
    pub(crate) hosts_of_others: Vec<(Arc<str>, EndpointKey)>,
    /// Why it never goes direct, in a sentence; `None` if it may.
    pub(crate) never_direct: Option<&'static str>,
    /// Its spec with the Deployments of the InferenceServices that it names, if it names any.
    pub(crate) resolved: Option<Arc<api::ModelEndpoint>>,
    /// Services of KServe's behind which Rouse stands too while it is not direct, so that their callers wake it.
    pub(crate) beside: Vec<Arc<str>>,
    /// Of each revision that it names, by the name of its Deployment.
    pub(crate) revisions: BTreeMap<Arc<str>, RevisionFindings>,
}

/// What was found about one revision of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RevisionFindings {
    /// There is no such Deployment, or none that is to be woken.
    pub(crate) is_missing: bool,
    /// Why that is so of an InferenceService, in a sentence.
    pub(crate) why_missing: Option<Arc<str>>,
    /// KServe's controller writes its `replicas`, and what to do about it: a sentence.
    pub(crate) rival: Option<Arc<str>>,
    /// What its InferenceService asks for and does not get, in a sentence.
    pub(crate) passed_over: Option<Arc<str>>,
    /// The older endpoint to which it belongs.
    pub(crate) taken_by: Option<EndpointKey>,
    /// Services of others that lead to its pods past Rouse.
    pub(crate) bypassed_by: Vec<Arc<str>>,
    /// The same of KServe's, which stay.
    pub(crate) behind_kserves: Vec<Arc<str>>,
    /// Scalers of others on its Deployment.
    pub(crate) scaled_by: Vec<Arc<str>>,
    /// Its pods have no queue-proxy.
    pub(crate) without_sidecars: bool,
    /// It may be scaled below what it was found with.
    pub(crate) adopted: bool,
}
