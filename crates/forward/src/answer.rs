//! The answer of a replica: on to its client, with the guard that counts the request, or read here.

use std::task::Poll;

use breaker::Budget;
use http::{HeaderValue, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::body::{Body, Live};
use crate::pool::Lease;
use crate::tap::{Copied, NotCopied, Tap};
use crate::timeouts::{Deadline, Expired};
use crate::upgrade::LooseEnds;

/// The head of a replica's answer, with what its body needs.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers, ready for the client. Headers may be added.
    pub head: http::response::Parts,
    /// It was sent twice: a reused connection had ended.
    pub retried: bool,
    /// What it says of itself in [`OUTCOME`](crate::OUTCOME); of several the first. It stands in the head instead where the
    /// request came from another of our programs: that is who wants to know.
    pub outcome: Option<HeaderValue>,
    pub(crate) body: Incoming,
    pub(crate) lease: Lease,
    pub(crate) deadline: Deadline,
    pub(crate) upgrade: Option<(OnUpgrade, OnUpgrade)>,
    /// Its client speaks HTTP/2.
    pub(crate) to_http2: bool,
    pub(crate) tap: Option<Tap>,
}

/// Why an answer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// There is no copy of it.
    #[error("{0:?}")]
    NotCopied(NotCopied),
    /// A time-out passed.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl From<NotCopied> for Unread {
    fn from(why: NotCopied) -> Self {
        Self::NotCopied(why)
    }
}

impl Answer {
    /// The answer for the client. `guard` is kept until its last byte has gone or, of an upgraded connection, until both
    /// ends are closed.
    pub fn into_response<G: Send + 'static>(self, guard: G, ends: &LooseEnds) -> Response<Body<G>> {
        let Self { head, body, lease, deadline, upgrade, to_http2, tap, retried: _, outcome: _ } = self;
        match upgrade {
            None => {
                let watches = deadline.is_set().then(|| ends.watches().clone());
                let live = Live::begin(body, lease, deadline, guard, to_http2, tap);
                Response::from_parts(head, Body::upstream(live, watches))
            }
            Some((client, replica)) => {
                ends.tunnel(client, replica, deadline, guard);
                Response::from_parts(head, Body::whole(bytes::Bytes::new(), None))
            }
        }
    }

    /// From now on what goes by of its body is copied.
    pub fn copy_to(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Reads its body, as far as a copy of it may go, for who is no client; `guard` is kept until then. What is left of it
    /// then stays with the replica, and its connection is closed. May be dropped at its await.
    ///
    /// # Errors
    /// If it is more than may be copied, breaks, or a time-out passes.
    pub async fn read<G>(self, budget: &Budget, limit: usize, guard: G) -> Result<Copied, Unread> {
        let Self { body, lease, deadline, .. } = self;
        // It may say so itself; an answer to HEAD says it and has no body.
        if !body.is_end_stream() && (limit as u64) < body.size_hint().lower() {
            return Err(NotCopied::TooLarge.into());
        }
        let (tap, mut copying) = Tap::new(budget, limit)?;
        let mut live = Live::begin(body, lease, deadline, guard, false, Some(tap));
        loop {
            if let Some(told) = copying.told() {
                return told.map_err(Unread::from);
            }
            let frame = std::future::poll_fn(|cx| match live.poll_frame(cx) {
                Poll::Pending => live.poll_expired(cx).map(Err),
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            });
            match frame.await? {
                None | Some(Ok(_)) => {}
                Some(Err(_)) => return Err(NotCopied::Broke.into()),
            }
        }
    }

    /// Does it say how long its body is, or that it has none?
    pub fn says_its_length(&self) -> bool {
        self.body.is_end_stream() || self.body.size_hint().upper().is_some()
    }

    /// Is it the beginning of an upgraded connection?
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }
}
