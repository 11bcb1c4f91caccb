//! `ModelEndpoint`, checked: past this point nothing is a string that means something else, and nothing is checked
//! again. How it is read from YAML is in `endpoint/read.rs`.

pub(crate) mod bounds;
mod read;
mod routing;
mod shadow;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use traffic::{Match, Sticky};
use units::{ConcurrencyLimit, EndpointKey, Percent, RevisionKey};

/// The group and version of `ModelEndpoint`.
pub const API_VERSION: &str = "rouse.dev/v1alpha1";

/// What a client calls, and who serves it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEndpoint {
    /// Its name; a DNS label, since its Service is named like it.
    pub key: EndpointKey,
    /// Further host names: lower case, without port and trailing dot.
    pub hosts: Vec<String>,
    /// What it listens on and where that goes; `None`: the default, `http` 80 to the container's own port.
    pub port: Option<EndpointPort>,
    /// Who serves it, 1 to 16; each revision once; percents add up to 100.
    pub traffic: Vec<TrafficTarget>,
    /// Requests that go to a certain entry of `traffic`, whatever its percent; the first that fits decides.
    pub matches: Vec<Match>,
    /// By what a client is known, so that it stays with a revision.
    pub sticky: Option<Sticky>,
    /// Who gets copies of requests, at most 4. None of them is in `traffic`.
    pub shadows: Vec<Shadow>,
    /// May requests go past the activator?
    pub path: PathMode,
    /// The most one replica may work on at once.
    pub container_concurrency: ConcurrencyLimit,
    /// Limits that start when a replica has the request.
    pub timeouts: Timeouts,
    /// Which of these two limits a person gave: one that was not given an InferenceService may give.
    pub said: Said,
    /// Limits of waiting.
    pub queue: Queue,
    /// What happens to a request whose revision cannot be woken.
    pub on_unavailable: OnUnavailable,
    /// For each revision alone.
    pub autoscaling: Autoscaling,
    /// Whether answers carry `rouse-revision` and `server-timing`.
    pub answer_headers: bool,
}

impl ModelEndpoint {
    /// An endpoint with every default, all of whose traffic goes to one revision of the same namespace.
    pub fn new(key: EndpointKey, revision: &str) -> Self {
        let everything = Percent::new(100).unwrap_or_default();
        Self {
            key,
            hosts: Vec::new(),
            port: None,
            traffic: vec![TrafficTarget {
                revision: revision.to_owned(),
                inference_service: None,
                percent: everything,
                tag: None,
                autoscaling: Autoscaling::default(),
            }],
            matches: Vec::new(),
            sticky: None,
            shadows: Vec::new(),
            path: PathMode::Auto,
            container_concurrency: ConcurrencyLimit::Unlimited,
            timeouts: Timeouts::default(),
            said: Said::default(),
            queue: Queue::default(),
            on_unavailable: OnUnavailable::Fail,
            autoscaling: Autoscaling::default(),
            answer_headers: true,
        }
    }

    /// What it names: the entries of `traffic`, then those of `shadow`, each in its order.
    pub fn targets(&self) -> impl Iterator<Item = &TrafficTarget> {
        self.traffic.iter().chain(self.shadows.iter().map(|shadow| &shadow.target))
    }

    /// The revisions of [`Self::targets`], in their order.
    pub fn revisions(&self) -> impl Iterator<Item = RevisionKey> + '_ {
        self.targets().map(|target| RevisionKey::new(self.key.namespace.clone(), target.revision.as_str()))
    }

    /// Where the entry of [`Self::targets`] at this position stands, as `spec.traffic[1]`.
    pub fn path_of(&self, target: usize) -> String {
        match target.checked_sub(self.traffic.len()) {
            None => format!("spec.traffic[{target}]"),
            Some(shadow) => format!("spec.shadow[{shadow}]"),
        }
    }
}

/// A port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// Its name.
    pub name: String,
    /// What the endpoint's Service listens on.
    pub port: u16,
    /// Where it goes in the container; `None`: the container's own port.
    pub container_port: Option<u16>,
    /// How replicas are spoken to; `None`: as the name of the container's port says, else HTTP/1.1.
    pub protocol: Option<Protocol>,
}

/// How replicas are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    H2c,
}

/// A revision's part in an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficTarget {
    /// The name of its Deployment; it lives in the endpoint's namespace. Where an InferenceService is named instead, only
    /// a cluster knows its Deployment: until it is found there stands what no Deployment can be called.
    pub revision: String,
    /// The KServe InferenceService that is named in its place.
    pub inference_service: Option<String>,
    /// Its exact share of unpinned requests.
    pub percent: Percent,
    /// Reached with `rouse-tag: <tag>` regardless of its share.
    pub tag: Option<String>,
    /// Overrides the endpoint's `autoscaling`, knob by knob.
    pub autoscaling: Autoscaling,
}

impl TrafficTarget {
    /// What stands in `revision` while the Deployment of an InferenceService is not known.
    pub fn unknown(inference_service: &str) -> String {
        format!("{}{inference_service}", Self::UNKNOWN)
    }

    /// No name of an object has a colon in it.
    const UNKNOWN: &str = "inferenceservice:";

    /// Is its Deployment yet to be found?
    pub fn is_unknown(&self) -> bool {
        self.revision.starts_with(Self::UNKNOWN)
    }

    /// As a person wrote it.
    pub fn name(&self) -> &str {
        self.inference_service.as_deref().unwrap_or(&self.revision)
    }
}

/// A revision that gets copies of requests, and whose answers nobody gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// Whom. It has no share, no tag, and no settings of its own here.
    pub target: TrafficTarget,
    /// Of how many requests it gets a copy.
    pub percent: Percent,
    /// Whether a copy may wake it from zero.
    pub wake: bool,
    /// What counts as the same answer; `None`: answers are not compared.
    pub compare: Option<compare::Rules>,
}

/// May requests go past the activator?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMode {
    /// When there is burst room enough and nothing forbids it.
    Auto,
    /// Never.
    Proxied,
}

/// What happens to a request whose revision cannot be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnavailable {
    /// It is refused.
    Fail,
    /// Another revision takes it.
    Fallback,
}

/// Time-outs of a request once a replica has it. `None`, written `0s`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To the last byte of the answer.
    pub request: Option<Duration>,
    /// To the head of the answer.
    pub response_start: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    /// Knative's: 300 s for the whole, no other limit.
    fn default() -> Self {
        Self { request: Some(Duration::from_secs(300)), response_start: None, idle: None }
    }
}

/// What stands in a `spec`, be it the default or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `containerConcurrency`.
    pub container_concurrency: bool,
    /// `timeouts.request`.
    pub request_timeout: bool,
}

/// How much may wait, for each revision at each activator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Requests.
    pub max_requests: NonZeroU32,
    /// Bytes of held bodies.
    pub max_bytes: u64,
    /// The longest that a request waits before it is handed over.
    pub max_wait: Duration,
}

impl Default for Queue {
    /// 10,000 requests is what Knative's activator holds for a revision; 256 Mi keeps that honest for large bodies.
    fn default() -> Self {
        Self {
            max_requests: NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN),
            max_bytes: 256 << 20,
            max_wait: Duration::from_secs(300),
        }
    }
}

/// Knobs that were set, each in the words of its Knative annotation. What was not set is not here.
///
/// Only `kpa` knows what the values mean and how far they may go, so there is one parser for annotations, for the
/// ConfigMap and for these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscaling(pub BTreeMap<Knob, String>);

impl Autoscaling {
    /// As annotations: `autoscaling.knative.dev/<name>` to value.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(knob, value)| (knob.annotation(), value.clone())).collect()
    }
}

macro_rules! knobs {
    ($(#[doc = $meaning:literal] $variant:ident = $field:literal, $annotation:literal, $kind:ident;)*) => {
        /// A field of `autoscaling`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Knob { $(#[doc = $meaning] $variant,)* }

        impl Knob {
            /// Every one, in the order in which they are printed.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in `autoscaling`.
            pub fn field(self) -> &'static str {
                match self { $(Self::$variant => $field,)* }
            }

            /// What it does, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)* }
            }

            /// Its name among Knative's annotations, without the prefix.
            pub fn annotation_name(self) -> &'static str {
                match self { $(Self::$variant => $annotation,)* }
            }

            /// What is written there.
            pub fn kind(self) -> KnobKind {
                match self { $(Self::$variant => KnobKind::$kind,)* }
            }
        }
    };
}

/// What is written in a field of `autoscaling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnobKind {
    /// A word of a closed list.
    Word,
    /// A whole number.
    Whole,
    /// Any number.
    Number,
    /// A duration.
    Duration,
}

knobs! {
    /// What is counted: requests in flight, or requests per second.
    Metric = "metric", "metric", Word;
    /// How much of the metric one replica is for.
    Target = "target", "target", Number;
    /// How much of the target is aimed for, in percent.
    TargetUtilizationPercentage = "targetUtilizationPercentage", "target-utilization-percentage", Number;
    /// The fewest replicas there are.
    MinReplicas = "minReplicas", "min-scale", Whole;
    /// The most replicas there are; 0 for no limit.
    MaxReplicas = "maxReplicas", "max-scale", Whole;
    /// How many replicas a new revision starts with.
    InitialReplicas = "initialReplicas", "initial-scale", Whole;
    /// The fewest replicas when there are any: one that wakes gets so many at once.
    ActivationReplicas = "activationReplicas", "activation-scale", Whole;
    /// The stable window: over how long demand is averaged, and how long nothing may come before zero.
    Window = "window", "window", Duration;
    /// The panic window, in percent of the stable one.
    PanicWindowPercentage = "panicWindowPercentage", "panic-window-percentage", Number;
    /// Panic begins when demand asks for so many percent of the ready replicas.
    PanicThresholdPercentage = "panicThresholdPercentage", "panic-threshold-percentage", Number;
    /// Requests that may come at once without the activator in their path; -1: it always stays there.
    TargetBurstCapacity = "targetBurstCapacity", "target-burst-capacity", Number;
    /// For how long a higher wish holds back a lower one.
    ScaleDownDelay = "scaleDownDelay", "scale-down-delay", Duration;
    /// How long the last replica stays at least.
    ScaleToZeroRetention = "scaleToZeroRetention", "scale-to-zero-pod-retention-period", Duration;
    /// How the seconds of a window are averaged.
    Aggregation = "aggregation", "metric-aggregation-algorithm", Word;
}

impl Knob {
    /// The words that a [`KnobKind::Word`] may be; as an annotation it may have others too, for Knative's sake.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Metric => &["concurrency", "rps"],
            Self::Aggregation => &["linear", "weighted-exponential"],
            _ => &[],
        }
    }

    /// Its annotation in full.
    pub fn annotation(self) -> String {
        format!("autoscaling.knative.dev/{}", self.annotation_name())
    }
}
