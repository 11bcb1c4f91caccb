//! Make it so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use units::{EndpointKey, Moment, ReplicaCount, RevisionKey};

use crate::revision::{Scale, ScaleVersion};

/// Changes the world. The only writer of `replicas`, through the scale subresource only.
///
/// Nothing here retries: the caller knows whether an order is still wanted.
pub trait Actuator: Send + Sync + 'static {
    /// Orders a number of replicas. Ends within 1 s, one way or the other.
    fn scale(&self, order: ScaleOrder) -> BoxFuture<'_, Result<Scale, ScaleError>>;

    /// Reads what `scale` says now, from the source and not from a cache. For an order whose outcome is unknown.
    fn read_scale<'a>(&'a self, revision: &'a RevisionKey) -> BoxFuture<'a, Result<Scale, ScaleError>>;

    /// Puts activators into, or takes them out of, an endpoint's path; also changes which ones. Returns when the world
    /// says so; routers may learn of it later (that is what the grace period is for).
    fn set_route(&self, order: RouteOrder) -> BoxFuture<'_, Result<(), RouteError>>;
}

/// An order for a number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleOrder {
    /// Whom.
    pub revision: RevisionKey,
    /// How many.
    pub to: ReplicaCount,
    /// The leadership that orders it. The actuator compares it with the one it holds right before it writes, and writes
    /// nothing past its renew deadline: whoever decided may have been held up since.
    pub epoch: u64,
    /// Only if `scale` is still at this version. Always given for zero.
    pub expect: Option<ScaleVersion>,
    /// On the way down, whom to take first, by replica name: the idlest. Those not named come last.
    pub victims: Vec<Arc<str>>,
}

/// Why an order was not carried out, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// `scale` is at another version than the order expected. Nothing was changed.
    #[error("scale was changed by somebody else, it says {} replicas now", .now.replicas)]
    Conflict {
        /// What it says now.
        now: Scale,
    },
    /// The leadership that ordered it is over. Nothing was changed.
    #[error("this leadership is over")]
    NotLeading,
    /// The workload is gone. Nothing was changed.
    #[error("the workload does not exist")]
    Gone,
    /// Refused. Nothing was changed.
    #[error("refused: {why}")]
    Refused {
        /// By whom and why.
        why: String,
    },
    /// No answer came: it may or may not have been carried out. Read `scale` until it is known.
    #[error("no answer: {why}")]
    Unknown {
        /// What happened to the call.
        why: String,
    },
}

/// An order for the way that requests take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOrder {
    /// Whose.
    pub endpoint: EndpointKey,
    /// Which way.
    pub route: Route,
    /// The leadership that orders it.
    pub epoch: u64,
}

/// A route that could not be changed; it may be half way, so order it again until it is as wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not change the route: {why}")]
pub struct RouteError {
    /// What happened, for a person.
    pub why: String,
}

/// Which way requests take to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through these activators, by UID, sorted. Never empty in an order.
    Proxied {
        /// Who is in the path.
        through: Arc<[Arc<str>]>,
    },
    /// Straight to the replicas.
    Direct,
    /// Both at once: a route is being changed, or a change of it was cut short. Only seen, never ordered; since no order
    /// equals it, whoever leads orders what is wanted until it is there.
    Changing {
        /// Who is in the path all the same.
        through: Arc<[Arc<str>]>,
    },
}

impl Route {
    /// Without who is in it. As long as a request can come past the activators, it is direct.
    pub fn path(&self) -> Path {
        match self {
            Self::Proxied { .. } => Path::Proxied,
            Self::Direct | Self::Changing { .. } => Path::Direct,
        }
    }

    /// The activators that requests can come through.
    pub fn through(&self) -> &[Arc<str>] {
        match self {
            Self::Proxied { through } | Self::Changing { through } => through,
            Self::Direct => &[],
        }
    }
}

/// How requests reach a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// Through the activators.
    Proxied,
    /// Straight to the replicas.
    Direct,
}

/// Who leads among the autoscalers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Somebody else does; this one listens and stays warm.
    Following,
    /// This one does. The epoch grows with each leadership, and receivers refuse a lower one than they have seen.
    Leading {
        /// Number of this leadership.
        epoch: u64,
        /// The renew deadline: until when this one may act as the leader without having renewed. Grows with each renewal.
        until: Moment,
    },
}

impl Leadership {
    /// Of the only autoscaler there is.
    pub const ALONE: Self = Self::Leading { epoch: 1, until: Moment::from_unix(Duration::MAX) };
}
