//! What Rouse says of a `ModelEndpoint` in its `status`: words, no measurements, so that nothing is written while only
//! numbers change. Numbers are on the admin port (`admin.rs`) and in the metrics.
//!
//! What is not known is left out, as Kubernetes does. A reader accepts fields that it does not know.

use serde::{Deserialize, Serialize};

use crate::admin::{Mode, Path, State};

/// The whole of `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of `spec` that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where a client in the cluster reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its own port on every activator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activator_port: Option<u16>,
    /// The split in force: what activators route by. `spec` is the person's, and never written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<Share>,
    /// How far a rollout is, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Its revisions, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// What holds of it, one of each type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A revision's part in the split in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The revision or InferenceService, as `spec.traffic` names it.
    pub revision: String,
    /// 0 to 100.
    pub percent: u8,
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The step in force, counted from 0.
    pub step: u32,
    /// What comes of it.
    pub verdict: Verdict,
    /// Of what is rolled out and how: another hash is another rollout.
    pub hash: String,
    /// Since when this step holds, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_since: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What comes of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on, step by step.
    Progressing,
    /// It waits for more requests before it is judged.
    Waiting,
    /// The candidate has all.
    Promoted,
    /// The candidate did not keep to the gate, and has nothing.
    Aborted,
}

impl Verdict {
    /// All of them, as in JSON.
    pub const WORDS: [&str; 4] = ["progressing", "waiting", "promoted", "aborted"];
}

/// A revision, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// As `spec` names it.
    pub name: String,
    /// The Deployment that it is; missing while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// What it is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// How requests reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Which window decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Why it is as it is, for people; missing where there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that holds of an endpoint or does not, as Kubernetes writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What: the word of a [`ConditionType`]. Text, so that what a newer program wrote can be read.
    #[serde(rename = "type")]
    pub kind: String,
    /// Does it hold?
    pub status: Holds,
    /// The generation of `spec` that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed, RFC 3339 in whole seconds.
    pub last_transition_time: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in sentences: what is wrong, where, and what to do.
    #[serde(default)]
    pub message: String,
}

/// Does a condition hold?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

macro_rules! conditions {
    ($(#[doc = $meaning:literal] $variant:ident, $good:literal;)*) => {
        /// What may hold of an endpoint.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionType { $(#[doc = $meaning] $variant,)* }

        impl ConditionType {
            /// Every one, the most telling first.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As in `type`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// What it says, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)* }
            }

            /// Is it always there? The others tell of trouble, and are left out while there was none.
            pub fn is_always_there(self) -> bool {
                match self { $(Self::$variant => $good,)* }
            }
        }
    };
}

conditions! {
    /// Requests are answered: accepted, routed, and every revision there. True at zero replicas too.
    Ready, true;
    /// The spec is understood and served. False: InvalidSpec, or NotYetSupported with every such field.
    Accepted, true;
    /// Service, slices and activators have the route.
    RoutesReady, true;
    /// Every revision has its Deployment, and none has failed to start.
    RevisionsReady, true;
    /// At least one revision has a ready replica. False at zero, which is no fault.
    Active, true;
    /// Others reach the replicas past Rouse: another Service that selects them, or a foreign connection.
    Bypassed, false;
    /// Somebody else writes `replicas`: by hand again and again, or an HPA or ScaledObject.
    ScaleConflict, false;
    /// An activator or a replica that does not answer keeps a revision from zero.
    ZeroBlocked, false;
    /// A host of it belongs to an older endpoint.
    HostConflict, false;
    /// An object of a name that it needs belongs to somebody else, and is left alone.
    NameTaken, false;
    /// A Deployment that it names belongs to an older endpoint.
    RevisionTaken, false;
    /// Without sidecars `containerConcurrency` holds at each activator alone, and not for all together.
    LimitPerActivator, false;
    /// Rouse's own connections for it are not encrypted.
    Plaintext, false;
}
