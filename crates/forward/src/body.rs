//! Bodies on their way: requests that can be taken back while nobody has begun them, and answers that keep their request
//! counted until the last byte has gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::pool::Lease;
use crate::tap::Tap;
use crate::timeouts::{Activity, Deadline, Expired};
use crate::watch::Watch;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side broke.
    #[error("the stream broke")]
    Broken(#[source] hyper::Error),
    /// A time-out passed. A client of HTTP/2 is told CANCEL, as gRPC has it: whose own deadline that was reads it so, and
    /// not as an internal error.
    #[error("{0}")]
    Expired(Expired, #[source] h2::Error),
    /// The request was taken back, to be tried again.
    #[error("taken back")]
    TakenBack,
}

impl From<Expired> for BodyError {
    fn from(expired: Expired) -> Self {
        Self::Expired(expired, h2::Reason::CANCEL.into())
    }
}

/// The body of a request on its way to a replica.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    activity: Option<Activity>,
    /// Who listens in.
    tap: Option<Tap>,
}

#[derive(Debug)]
enum Source {
    Stream(Incoming),
    Whole(Bytes),
    Kept(Arc<Mutex<Kept>>),
}

impl RequestBody {
    /// Streams through, as it comes.
    pub fn stream(incoming: Incoming) -> Self {
        Self { source: Source::Stream(incoming), activity: None, tap: None }
    }

    /// All there; empty for none.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { source: Source::Whole(bytes.into()), activity: None, tap: None }
    }

    pub(crate) fn touching(&mut self, activity: Option<Activity>) {
        self.activity = activity;
    }

    pub(crate) fn activity(&self) -> Option<Activity> {
        self.activity.clone()
    }

    /// From now on what goes by is copied.
    pub(crate) fn copy_to(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Nobody listens in any more.
    pub(crate) fn forget_tap(&mut self) {
        self.tap = None;
    }

    pub(crate) fn tap(&self) -> Option<&Tap> {
        self.tap.as_ref()
    }

    /// It goes to a replica: of one without a byte nobody asks for any.
    pub(crate) fn goes(&self) {
        if let Some(tap) = self.tap.as_ref().filter(|_| self.is_end_stream()) {
            tap.end();
        }
    }

    /// From now on what is read is kept, up to `limit` bytes, so that it can be taken back with the answered handle.
    pub(crate) fn keep(&mut self, limit: usize) -> Spare {
        match &mut self.source {
            Source::Whole(bytes) => Spare::Whole(bytes.clone()),
            Source::Kept(kept) => {
                kept.lock().limit = limit;
                Spare::Kept(kept.clone())
            }
            Source::Stream(_) => {
                let Source::Stream(rest) = std::mem::replace(&mut self.source, Source::Whole(Bytes::new())) else {
                    return Spare::Whole(Bytes::new());
                };
                let kept = Arc::new(Mutex::new(Kept::new(rest, limit)));
                self.source = Source::Kept(kept.clone());
                Spare::Kept(kept)
            }
        }
    }

    /// Nothing of it is held back any more.
    pub(crate) fn release(&mut self) {
        if let Source::Kept(kept) = &self.source {
            kept.lock().release();
        }
    }

    /// Bytes that were read ahead and are not sent yet.
    pub(crate) fn ahead(&self) -> usize {
        match &self.source {
            Source::Stream(_) | Source::Whole(_) => 0,
            Source::Kept(kept) => kept.lock().ahead.iter().map(Bytes::len).sum(),
        }
    }

    /// Reads one piece more, which is sent later; its bytes. `None`: it has been read to its end.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Option<hyper::Result<usize>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        match self.keep(limit) {
            Spare::Whole(_) => Poll::Ready(None),
            Spare::Kept(kept) => kept.lock().poll_ahead(cx),
        }
    }
}

/// A stream of which everything that was read is remembered, until it is too much.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Read before, to be sent again first.
    ahead: VecDeque<Bytes>,
    /// They follow what was read before.
    trailers: Option<HeaderMap>,
    /// `None` once it was taken back.
    rest: Option<Incoming>,
    /// There is nothing more in `rest`.
    ended: bool,
    /// `None` once it was too much, or cannot be sent again.
    read: Option<Vec<Bytes>>,
    bytes: usize,
    limit: usize,
    /// No more than `limit` is handed on until the replica says that it goes on with it.
    held_back: bool,
    /// Who waits for the rest meanwhile.
    waiting: Option<Waker>,
}

impl Kept {
    fn new(rest: Incoming, limit: usize) -> Self {
        let (ahead, read) = (VecDeque::new(), Some(Vec::new()));
        let (held_back, waiting) = (false, None);
        Self { ahead, trailers: None, rest: Some(rest), ended: false, read, bytes: 0, limit, held_back, waiting }
    }

    fn ahead_bytes(&self) -> u64 {
        self.ahead.iter().map(|data| data.len() as u64).sum()
    }

    /// The most bytes that are still to come.
    fn upper(&self) -> Option<u64> {
        let rest = self.rest.as_ref().map_or(Some(0), |rest| rest.size_hint().upper())?;
        Some(rest + self.ahead_bytes())
    }

    /// The rest may go.
    fn release(&mut self) {
        self.held_back = false;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Of what comes next, as much as may go now; the rest stays in front.
    fn let_go(&mut self, mut data: Bytes) -> Bytes {
        let room = self.limit.saturating_sub(self.bytes);
        if self.held_back && room < data.len() {
            self.ahead.push_front(data.split_off(room));
        }
        self.remember(&data);
        data
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<usize>>> {
        let Some(rest) = self.rest.as_mut().filter(|_| !self.ended) else { return Poll::Ready(None) };
        Poll::Ready(match ready!(Pin::new(rest).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                let bytes = data.len();
                self.ahead.push_back(data);
                Some(Ok(bytes))
            }
            Some(Ok(Err(other))) => {
                self.trailers = other.into_trailers().ok();
                self.ended = true;
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.ended = true;
                None
            }
        })
    }

    fn remember(&mut self, data: &Bytes) {
        self.bytes += data.len();
        if self.limit < self.bytes {
            self.read = None;
        }
        if let Some(read) = &mut self.read {
            read.push(data.clone());
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.held_back && self.limit <= self.bytes && self.rest.is_some() {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(data) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(self.let_go(data)))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(Some(Err(BodyError::TakenBack))) };
        if self.ended {
            let trailers = self.trailers.take();
            if trailers.is_some() {
                self.read = None;
            }
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(match ready!(Pin::new(rest).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => Some(Ok(Frame::data(self.let_go(data)))),
            Some(Ok(Err(other))) => {
                self.read = None;
                Some(Ok(other))
            }
            Some(Err(error)) => {
                self.read = None;
                Some(Err(BodyError::Broken(error)))
            }
            None => None,
        })
    }
}

/// The means to have a request's body again.
#[derive(Debug)]
pub(crate) enum Spare {
    Whole(Bytes),
    Kept(Arc<Mutex<Kept>>),
}

impl Spare {
    /// The body from its first byte; `None` if more was read than is kept. Whoever still reads the other one gets
    /// [`BodyError::TakenBack`].
    pub(crate) fn take_back(self) -> Option<RequestBody> {
        let source = match self {
            Self::Whole(bytes) => Source::Whole(bytes),
            Self::Kept(kept) => {
                let mut kept = kept.lock();
                let mut ahead: VecDeque<Bytes> = kept.read.take()?.into();
                ahead.append(&mut kept.ahead);
                let (trailers, rest, ended, limit) = (kept.trailers.take(), kept.rest.take(), kept.ended, kept.limit);
                let (read, held_back, waiting) = (Some(Vec::new()), false, None);
                // Who waits for the rest of the old one learns that it will not come.
                kept.release();
                let again = Kept { ahead, trailers, rest, ended, read, bytes: 0, limit, held_back, waiting };
                Source::Kept(Arc::new(Mutex::new(again)))
            }
        };
        Some(RequestBody { source, activity: None, tap: None })
    }

    /// It will not be needed again.
    pub(crate) fn forget(self) {
        if let Self::Kept(kept) = self {
            let mut kept = kept.lock();
            kept.read = None;
            kept.release();
        }
    }

    /// From now on no more of it is handed on than could be taken back, until it is released, forgotten or taken back.
    /// `None`: that is all of it.
    pub(crate) fn hold_back(&self) -> Option<Release> {
        let Self::Kept(kept) = self else { return None };
        let mut inner = kept.lock();
        if inner.upper().is_some_and(|most| most <= inner.limit as u64) {
            return None;
        }
        inner.held_back = true;
        Some(Release(Arc::downgrade(kept)))
    }
}

/// The means to let the rest of a body go that is held back.
#[derive(Clone, Debug)]
pub(crate) struct Release(Weak<Mutex<Kept>>);

impl Release {
    pub(crate) fn now(&self) {
        if let Some(kept) = self.0.upgrade() {
            kept.lock().release();
        }
    }
}

impl Default for RequestBody {
    /// Empty.
    fn default() -> Self {
        Self::whole(Bytes::new())
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Stream(incoming) => {
                ready!(Pin::new(incoming).poll_frame(cx)).map(|frame| frame.map_err(BodyError::Broken))
            }
            Source::Whole(bytes) if bytes.is_empty() => None,
            Source::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Source::Kept(kept) => ready!(kept.lock().poll_frame(cx)),
        };
        if let Some(activity) = &self.activity {
            activity.touch();
        }
        if let Some(tap) = &self.tap {
            match &frame {
                Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|data| tap.note(data)),
                Some(Err(_)) => return Poll::Ready(frame),
                None => {}
            }
            // After its last one nobody may ask for another.
            if frame.is_none() || self.is_end_stream() {
                tap.end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(incoming) => incoming.is_end_stream(),
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Kept(kept) => {
                let kept = kept.lock();
                let nothing_left = kept.ended || kept.rest.as_ref().is_some_and(HttpBody::is_end_stream);
                nothing_left && kept.ahead.is_empty() && kept.trailers.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(incoming) => incoming.size_hint(),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Source::Kept(kept) => {
                let kept = kept.lock();
                let mut hint = SizeHint::new();
                hint.set_lower(kept.rest.as_ref().map_or(0, |rest| rest.size_hint().lower()) + kept.ahead_bytes());
                if let Some(upper) = kept.upper() {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

/// The body of an answer on its way to the client.
///
/// It keeps `G`, which counts the request, until the last byte was handed on or the client has gone: counting to the
/// head only would scale away replicas that are hard at work. It brings the connection back to its pool, and watches the
/// time-outs.
#[derive(Debug)]
pub struct Body<G>(State<G>);

#[derive(Debug)]
enum State<G> {
    /// Of our own.
    Whole(Bytes, Option<G>),
    /// A replica's. It minds its time-outs itself, whenever it is asked for a frame and has none.
    Live {
        live: Live<G>,
        /// For HTTP/1.1: a frame went by, and it was not the last: the next one gets it watched. For HTTP/2 the first does.
        /// `None`: it has no time-outs.
        watches: Option<TaskTracker>,
        streams: bool,
    },
    /// A replica's that streams: its client may stop to ask.
    Watched(Watch<G>),
    /// It broke before its first frame.
    Broken(BodyError),
    Over,
}

/// An answer that comes from a replica, and what lives as long.
#[derive(Debug)]
pub(crate) struct Live<G> {
    incoming: Incoming,
    /// Dropped before the guard: who waits for the connection should find it when the guard lets the next one go.
    lease: Option<Lease>,
    deadline: Option<Deadline>,
    /// Its client says how much it takes (RFC 9113 §5.2), also of the last frame: only when all of this is dropped has it
    /// gone.
    to_http2: bool,
    /// Who listens in.
    tap: Option<Tap>,
    _guard: G,
}

impl<G> Live<G> {
    pub(crate) fn begin(
        incoming: Incoming,
        lease: Lease,
        deadline: Deadline,
        guard: G,
        to_http2: bool,
        tap: Option<Tap>,
    ) -> Self {
        let (lease, deadline) = (Some(lease), Some(deadline));
        let mut live = Self { incoming, lease, deadline, to_http2, tap, _guard: guard };
        if live.has_ended() {
            // Nobody will ask for a frame.
            live.end();
        }
        live
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let (Some(tap), Some(Ok(frame))) = (&self.tap, &frame)
            && let Some(data) = frame.data_ref()
        {
            tap.note(data);
        }
        match &frame {
            Some(Ok(_)) if self.has_ended() => self.end(),
            Some(Ok(_)) => {
                if let Some(deadline) = &self.deadline {
                    deadline.touch();
                }
            }
            Some(Err(_)) => {}
            None => self.end(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        self.deadline.as_mut().map_or(Poll::Pending, |deadline| deadline.poll_expired(cx))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// The last byte came: the connection is free.
    fn end(&mut self) {
        if let Some(tap) = self.tap.take() {
            tap.end();
        }
        if !self.to_http2 {
            self.deadline = None;
        }
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl<G> Body<G> {
    /// An answer of our own.
    pub fn whole(bytes: impl Into<Bytes>, guard: Option<G>) -> Self {
        Self(State::Whole(bytes.into(), guard))
    }

    /// An answer of a replica. `watches`: where its time-outs are watched once its client may let it wait, if it has any.
    pub(crate) fn upstream(live: Live<G>, watches: Option<TaskTracker>) -> Self {
        Self(State::Live { live, watches, streams: false })
    }
}

impl<G: Unpin + Send + 'static> HttpBody for Body<G> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let state = &mut self.0;
        let (live, watches, streams) = match state {
            State::Whole(bytes, _) if bytes.is_empty() => {
                *state = State::Over;
                return Poll::Ready(None);
            }
            State::Whole(bytes, _) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            State::Live { live, watches, streams } => (live, watches, streams),
            State::Watched(watch) => return watch.poll_frame(cx),
            State::Over => return Poll::Ready(None),
            State::Broken(_) => {
                let broken = std::mem::replace(state, State::Over);
                return Poll::Ready(if let State::Broken(error) = broken { Some(Err(error)) } else { None });
            }
        };
        match live.poll_frame(cx) {
            Poll::Pending => {
                let expired = ready!(live.poll_expired(cx));
                *state = State::Over;
                Poll::Ready(Some(Err(expired.into())))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let streamed_before = std::mem::replace(streams, true);
                if (live.to_http2 || (streamed_before && !live.has_ended()))
                    && let Some(watches) = watches.take()
                {
                    let before = std::mem::replace(state, State::Over);
                    if let State::Live { live, .. } = before {
                        *state = State::Watched(Watch::start(live, &watches));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // A body that breaks takes with it what of its answer is still to be written, which is the head: it goes first.
            Poll::Ready(Some(Err(error))) if !*streams => {
                *state = State::Broken(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(end) => {
                *state = State::Over;
                Poll::Ready(end)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Whole(bytes, _) => bytes.is_empty(),
            State::Live { live, .. } => live.has_ended(),
            State::Watched(watch) => watch.has_ended(),
            State::Broken(_) => false,
            State::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            State::Live { live, .. } => live.size_hint(),
            State::Watched(watch) => watch.size_hint(),
            State::Broken(_) => SizeHint::new(),
            State::Over => SizeHint::with_exact(0),
        }
    }
}
