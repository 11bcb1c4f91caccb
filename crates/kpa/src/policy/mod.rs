//! What a revision is to be scaled by: every setting resolved, checked, and in its unit.
//!
//! [`resolve()`] takes one set of annotations and one `config-autoscaler` the way Knative does: all or nothing.
//! [`layers`] is what the programs run with: settings from many places, where a bad value costs nothing but itself.
//! Both read text by the rules of `text`, `annotations` and `config`.

pub mod annotations;
pub mod config;
pub mod layers;
mod refusal;
mod resolve;
mod settings;
mod sheet;
pub mod text;

pub use annotations::{Annotation, Annotations};
pub use config::{Config, ConfigKey};
pub use layers::{Cluster, InForce, Setting, Sources, Values};
pub use refusal::{Refusal, Warning};
pub use resolve::{Resolved, policy_of, resolve};
pub use settings::built_in;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use units::ReplicaCount;

/// The settings in force for one revision. Made by resolving layers of annotations over `config-autoscaler` over
/// Knative's defaults; past that nothing is a string and nothing is checked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is measured.
    pub metric: Metric,
    /// How seconds are averaged over a window.
    pub aggregation: Aggregation,
    /// Metric per replica to aim for, at least 0.01.
    pub target: f64,
    /// The most of the metric that a replica can hold; `target` is this times the utilisation.
    pub total: f64,
    /// Room for bursts beyond what is there.
    pub burst: TargetBurstCapacity,
    /// Panic begins when the panic window asks for so many times the ready replicas. A factor: 2 is Knative's 200 %.
    pub panic_threshold: f64,
    /// Length of the stable window, whole seconds, 6 s to 1 h.
    pub stable_window: Duration,
    /// Length of the panic window, whole seconds, at least 1 s.
    pub panic_window: Duration,
    /// Most growth in one evaluation, as a factor above 1.
    pub max_scale_up_rate: f64,
    /// Most shrinking in one evaluation, as a divisor above 1.
    pub max_scale_down_rate: f64,
    /// For how long a higher wish holds back a lower one, whole seconds.
    pub scale_down_delay: Duration,
    /// How long the last replica stays at least after the revision fell idle.
    pub retention: Duration,
    /// How long routers are given to learn that the path is proxied.
    pub grace: Duration,
    /// Never fewer.
    pub min: ReplicaCount,
    /// Never more; `None` for no limit.
    pub max: Option<ReplicaCount>,
    /// What a new revision starts with.
    pub initial: ReplicaCount,
    /// From zero at least so many; `None` where not set.
    pub activation: Option<NonZeroU32>,
    /// May it go to zero at all?
    pub scale_to_zero: bool,
    /// Does anything route to it? If not, minimum, delay and retention do not count.
    pub reachable: bool,
    /// Requests that one activator is good for, in the arithmetic of how many activators a revision needs.
    pub activator_capacity: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Requests in flight.
    Concurrency,
    /// Requests per second.
    Rps,
}

/// How seconds are averaged over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// Each second counts alike.
    Linear,
    /// Newer seconds count more.
    WeightedExponential,
}

/// Room for bursts that is kept beyond what is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetBurstCapacity {
    /// Knative's -1: the activator always stays in the path.
    Unlimited,
    /// In units of the metric; 0: the activator is in the path only at zero.
    Of(f64),
}

/// Who scales a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// `kpa.autoscaling.knative.dev`: the algorithm of this crate.
    Kpa,
    /// `hpa.autoscaling.knative.dev`: the platform's own autoscaler.
    Hpa,
    /// Somebody else.
    Other(String),
}

impl Class {
    /// By its name; any text names one.
    pub fn from_text(text: &str) -> Self {
        match text {
            "kpa.autoscaling.knative.dev" => Self::Kpa,
            "hpa.autoscaling.knative.dev" => Self::Hpa,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Kpa => "kpa.autoscaling.knative.dev",
            Self::Hpa => "hpa.autoscaling.knative.dev",
            Self::Other(name) => name,
        }
    }
}

/// Where a value stands, for who knows of these two places only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The annotations of the revision.
    Annotations,
    /// The ConfigMap.
    ConfigAutoscaler,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Annotations => "annotations",
            Self::ConfigAutoscaler => "config-autoscaler",
        })
    }
}
