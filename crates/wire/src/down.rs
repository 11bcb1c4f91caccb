//! What an autoscaler says to activators and sidecars.

/// One message from an autoscaler.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromAutoscaler {
    /// Exactly one; a frame without any is of a newer version and passed over.
    #[prost(oneof = "Down", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub kind: Option<Down>,
}

/// The kinds of [`FromAutoscaler`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Down {
    /// Whether this autoscaler leads; first on every stream and again on change.
    #[prost(message, tag = "1")]
    Lead(Lead),
    /// To an activator: promise to forward nothing.
    #[prost(message, tag = "2")]
    Seal(Seal),
    /// To an activator: how a seal ended.
    #[prost(message, tag = "3")]
    Outcome(SealOutcome),
    /// To an activator: this revision cannot be woken now. A level: repeated in answer to each wake.
    #[prost(message, tag = "4")]
    Refusal(Refusal),
    /// To an activator: the split in force.
    #[prost(message, tag = "5")]
    Weights(Weights),
    /// To an activator: no path leads to you any more.
    #[prost(message, tag = "6")]
    Out(crate::Empty),
    /// To a sidecar: what to run with.
    #[prost(message, tag = "7")]
    Settings(Settings),
    /// To a sidecar: is anything here?
    #[prost(message, tag = "8")]
    IdleQuestion(IdleQuestion),
    /// To a sidecar: whom to believe from now on, and what to show.
    #[prost(message, tag = "9")]
    Trust(Trust),
}

/// Whether the speaker leads.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Lead {
    /// Does it?
    #[prost(bool, tag = "1")]
    pub leading: bool,
    /// Its epoch if it leads, else 0.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// Promise to forward nothing to this revision for the time to live.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Seal {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// The leadership it belongs to. A receiver refuses a lower one than it has seen.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Number of the seal within the epoch.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// How long the promise binds, in milliseconds from receipt.
    #[prost(uint64, tag = "5")]
    pub ttl_ms: u64,
}

/// How a seal ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SealOutcome {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// Of the seal.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Of the seal.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// Which way.
    #[prost(enumeration = "Outcome", tag = "5")]
    pub outcome: i32,
}

/// The two ends of a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Outcome {
    /// Not said; ignored.
    Unknown = 0,
    /// The revision is at zero: every replica known until now is on its way out.
    Committed = 1,
    /// Nothing was changed; forward as before.
    Released = 2,
}

/// This revision cannot be woken now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Refusal {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// `start-failed` or `cannot-wake`; empty: it can be woken again.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// The last reason, for a person.
    #[prost(string, tag = "4")]
    pub detail: String,
    /// When a wake will be heard again, in milliseconds from receipt.
    #[prost(uint64, tag = "5")]
    pub retry_after_ms: u64,
}

/// The split in force for an endpoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Weights {
    /// Namespace of the endpoint.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub endpoint: String,
    /// Grows with each change.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// Revision names, in the order of the specification.
    #[prost(string, repeated, tag = "4")]
    pub revisions: Vec<String>,
    /// Their percents, in the same order; they add up to 100.
    #[prost(uint32, repeated, tag = "5")]
    pub percents: Vec<u32>,
}

/// What a sidecar is to run with. Said by the leader only; the last that came holds, whatever its number, since a new
/// leader or a new endpoint of the same name counts for itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Settings {
    /// Names these settings; reported back. Never 0.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// The most requests at the model at once; 0: no limit.
    #[prost(uint32, tag = "2")]
    pub container_concurrency: u32,
    /// From hand-over to the last byte, in milliseconds; 0: no limit.
    #[prost(uint64, tag = "3")]
    pub request_timeout_ms: u64,
    /// From hand-over to the head, in milliseconds; 0: no limit.
    #[prost(uint64, tag = "4")]
    pub response_start_timeout_ms: u64,
    /// Without a byte either way, in milliseconds; 0: no limit.
    #[prost(uint64, tag = "5")]
    pub idle_timeout_ms: u64,
}

/// Whom to believe, and what to show to activators. Said by every autoscaler over TLS, first and again on each change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Trust {
    /// Grows with each change of whom to believe: of two that come from two autoscalers the higher holds.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// A certificate for the public key of the hello, then those that lead on from it, PEM; empty if it had none.
    #[prost(string, tag = "2")]
    pub certificate: String,
    /// All authorities to believe, PEM.
    #[prost(string, tag = "3")]
    pub authorities: String,
}

/// Is anything here? To a sidecar, while its revision is being sealed.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct IdleQuestion {
    /// Of the seal.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Of the seal.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
