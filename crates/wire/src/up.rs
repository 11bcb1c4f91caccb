//! What activators and sidecars say to an autoscaler.

/// One message to an autoscaler. The first on a stream is a [`Hello`]; which others follow depends on the role.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ToAutoscaler {
    /// Exactly one; a frame without any is of a newer version and passed over.
    #[prost(oneof = "Up", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub kind: Option<Up>,
}

/// The kinds of [`ToAutoscaler`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Up {
    /// First on every stream.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// From an activator, each second, numbered, also when it is empty.
    #[prost(message, tag = "2")]
    Frame(Frame),
    /// From an activator: something is held and no replica can take it. A level: repeated while it is so.
    #[prost(message, tag = "3")]
    Wake(Wake),
    /// From an activator: the answer to a `Seal`.
    #[prost(message, tag = "4")]
    SealAnswer(SealAnswer),
    /// From an activator: it routes by this generation of an endpoint now.
    #[prost(message, tag = "5")]
    RouteAck(RouteAck),
    /// From an activator: take me out of every path, I am going.
    #[prost(message, tag = "6")]
    Leaving(Empty),
    /// From a sidecar, each second while there is traffic, else every 5 s.
    #[prost(message, tag = "7")]
    SidecarStats(SidecarStats),
    /// From a sidecar: the answer to an `IdleQuestion`.
    #[prost(message, tag = "8")]
    IdleAnswer(IdleAnswer),
}

/// Nothing but the fact.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

/// Who is speaking.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// Activator or sidecar.
    #[prost(enumeration = "Role", tag = "1")]
    pub role: i32,
    /// Namespace of the pod.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Name of the pod.
    #[prost(string, tag = "3")]
    pub name: String,
    /// UID of the pod.
    #[prost(string, tag = "4")]
    pub uid: String,
    /// Drawn at random when the program started.
    #[prost(fixed64, tag = "5")]
    pub incarnation: u64,
    /// The highest epoch it has heard from any autoscaler; 0 for none. A leader below it must step up or step down.
    #[prost(uint64, tag = "6")]
    pub highest_epoch: u64,
    /// A sidecar's revision; empty from an activator.
    #[prost(string, tag = "7")]
    pub revision: String,
    /// That it is who it says; none in plain TCP.
    #[prost(message, optional, tag = "8")]
    pub proof: Option<Proof>,
}

/// What proves who is speaking.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Proof {
    /// A ServiceAccount token of its pod, for the audience `rouse`.
    #[prost(string, tag = "1")]
    pub token: String,
    /// A sidecar's own public key, a point of P-256, not compressed: it asks for a certificate for it. Empty if it needs
    /// none.
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the token.
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// The two kinds of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    /// Not said; such a hello is refused.
    Unknown = 0,
    /// An activator.
    Activator = 1,
    /// A queue-proxy.
    Sidecar = 2,
}

/// What one activator saw. Cumulative since its incarnation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// 1, 2, 3 … within one incarnation.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Time on the activator's own clock since its incarnation, in microseconds; what `concurrency_us` is divided by.
    #[prost(uint64, tag = "2")]
    pub elapsed_us: u64,
    /// One for each revision with anything new since the last frame that was sent on this stream.
    #[prost(message, repeated, tag = "3")]
    pub demands: Vec<Demand>,
}

/// Demand for one revision at one activator.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Demand {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// Requests that arrived, in all.
    #[prost(uint64, tag = "3")]
    pub requests: u64,
    /// Requests here (held or forwarded, to the last byte), integrated over time: request-microseconds, in all.
    #[prost(uint64, tag = "4")]
    pub concurrency_us: u64,
    /// Here at this instant, held and forwarded.
    #[prost(uint32, tag = "5")]
    pub in_flight: u32,
    /// Of those, held.
    #[prost(uint32, tag = "6")]
    pub held: u32,
    /// How those that are not here any more ended; from a peer of an older version there is none.
    #[prost(message, optional, tag = "7")]
    pub outcomes: Option<Outcomes>,
    /// Those of one split, for comparing; none where the endpoint has nothing to compare, or from an older version.
    #[prost(message, optional, tag = "8")]
    pub tally: Option<Tally>,
}

/// How requests for one revision ended at one activator. In all, since its incarnation.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Outcomes {
    /// A replica answered, whatever its status.
    #[prost(uint64, tag = "1")]
    pub answered: u64,
    /// Of those, with a status of 500 or more.
    #[prost(uint64, tag = "2")]
    pub errors: u64,
    /// Rouse answered itself.
    #[prost(uint64, tag = "3")]
    pub refused: u64,
    /// The client left before the head of an answer.
    #[prost(uint64, tag = "4")]
    pub gone: u64,
    /// How long those that a replica answered took, from their arrival to the last byte, by bucket of
    /// [`durations`](crate::durations); zeros at the end are left out.
    #[prost(uint64, repeated, tag = "5")]
    pub durations: Vec<u64>,
}

/// How requests ended that turns or stickiness gave to one revision, at one activator, for as long as the endpoint's split
/// stays as it is. In all, since this run of counting began.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tally {
    /// Drawn when it began to count from zero: when the activator started, or the split changed.
    #[prost(fixed64, tag = "1")]
    pub run: u64,
    /// A name for the split: the same for the same shares, at all activators.
    #[prost(fixed64, tag = "2")]
    pub split: u64,
    /// Answers of replicas by class of status: 2xx (and below), 3xx, 4xx, 5xx (and above); zeros at the end are left out.
    #[prost(uint64, repeated, tag = "3")]
    pub answers: Vec<u64>,
    /// Rouse answered itself.
    #[prost(uint64, tag = "4")]
    pub refused: u64,
    /// The client left before the head of an answer.
    #[prost(uint64, tag = "5")]
    pub gone: u64,
    /// Seconds from handing a request to a replica until the head of its answer, of those below 500.
    #[prost(message, optional, tag = "6")]
    pub first_byte: Option<Moments>,
    /// The same, by bucket of [`durations`](crate::durations); zeros at the end are left out.
    #[prost(uint64, repeated, tag = "7")]
    pub first_byte_buckets: Vec<u64>,
    /// Likewise until the last byte.
    #[prost(message, optional, tag = "8")]
    pub duration: Option<Moments>,
    /// The same, by bucket.
    #[prost(uint64, repeated, tag = "9")]
    pub duration_buckets: Vec<u64>,
    /// What answers say of themselves in `rouse-outcome`.
    #[prost(message, optional, tag = "10")]
    pub outcome: Option<Moments>,
    /// What they say there that is no number, or one beyond bounds.
    #[prost(uint64, tag = "11")]
    pub malformed: u64,
    /// When the run began, as `elapsed_us` of the frames: it stays as it is, so it makes nothing news.
    #[prost(uint64, tag = "12")]
    pub began_us: u64,
}

/// Numbers, as far as means and their scatter need them.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Moments {
    /// How many.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// Their mean.
    #[prost(double, tag = "2")]
    pub mean: f64,
    /// The sum of their squared distances from the mean.
    #[prost(double, tag = "3")]
    pub squares: f64,
}

/// Something is held for a revision without a usable replica.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Wake {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// How many are held. Never 0.
    #[prost(uint32, tag = "3")]
    pub held: u32,
    /// How long the oldest has waited, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub oldest_wait_ms: u64,
    /// `x-request-id` of the oldest, for the ring of wakes.
    #[prost(string, tag = "5")]
    pub request_id: String,
}

/// An activator's answer to a seal.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SealAnswer {
    /// Namespace of the revision.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub revision: String,
    /// Repeated from the seal.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Repeated from the seal.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// Whether it gave its promise.
    #[prost(enumeration = "Verdict", tag = "5")]
    pub verdict: i32,
}

/// Yes, no, or no for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Verdict {
    /// Not said; counts as a veto.
    Unknown = 0,
    /// Nothing is here, and nothing will be forwarded for the seal's time to live.
    Sealed = 1,
    /// Something is held or forwarded.
    Veto = 2,
    /// The seal is of an epoch that is over.
    Outdated = 3,
}

/// An activator routes by this now. Said on change, and for every endpoint again on each new stream: it stands for an
/// open listener and a known route, whether or not a path leads there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RouteAck {
    /// Namespace of the endpoint.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub endpoint: String,
    /// The generation of its specification that is in force here.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
}

/// What a sidecar counted. Cumulative since its incarnation.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SidecarStats {
    /// 1, 2, 3 … within one incarnation.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Time on the sidecar's own clock since its incarnation, in microseconds.
    #[prost(uint64, tag = "2")]
    pub elapsed_us: u64,
    /// Requests that arrived, in all.
    #[prost(uint64, tag = "3")]
    pub requests: u64,
    /// Of those, through an activator.
    #[prost(uint64, tag = "4")]
    pub proxied_requests: u64,
    /// Requests here, waiting or at the model, integrated over time: request-microseconds, in all.
    #[prost(uint64, tag = "5")]
    pub concurrency_us: u64,
    /// Of those, through an activator.
    #[prost(uint64, tag = "6")]
    pub proxied_concurrency_us: u64,
    /// Here at this instant, upgraded ones included.
    #[prost(uint32, tag = "7")]
    pub in_flight: u32,
    /// Of those, upgraded connections (WebSocket).
    #[prost(uint32, tag = "8")]
    pub upgraded: u32,
    /// Connections to the model's port that did not come through this sidecar.
    #[prost(uint32, tag = "9")]
    pub foreign: u32,
    /// The settings in force here; 0 for those of the environment.
    #[prost(uint64, tag = "10")]
    pub settings_generation: u64,
    /// Is the model ready?
    #[prost(bool, tag = "11")]
    pub ready: bool,
    /// Requests with one answer that were cut when the sidecar left, as they had not ended in time.
    #[prost(uint64, tag = "12")]
    pub cut_unary: u64,
    /// Likewise, answers of unknown length.
    #[prost(uint64, tag = "13")]
    pub cut_streaming: u64,
    /// Likewise, upgraded connections.
    #[prost(uint64, tag = "14")]
    pub cut_upgraded: u64,
}

/// A sidecar's answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IdleAnswer {
    /// Repeated from the question.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Repeated from the question.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Nothing in flight, nothing upgraded, no foreign connection.
    #[prost(bool, tag = "3")]
    pub idle: bool,
}
