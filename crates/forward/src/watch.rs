//! The time-outs of an answer that streams, while nobody asks for its next frame.
//!
//! A client that does not read its answer leaves its body alone, and a body that is left alone notices nothing: the
//! request would keep its place at the replica for as long as the client likes. So from its second frame on an answer
//! has a task that minds the clock. Small answers end with their first, and never pay for one; but over HTTP/2, where a
//! client may not take even that, it begins with the first.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::body::{BodyError, Live};
use crate::timeouts::Expired;

/// An answer under way, with a task that ends it when its time is up.
#[derive(Debug)]
pub(crate) struct Watch<G> {
    shared: Arc<Mutex<Shared<G>>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared<G> {
    /// `None` once it is over.
    live: Option<Live<G>>,
    /// It was ended, and whoever reads has not been told.
    expired: Option<Expired>,
    /// Of whoever waits for the next frame.
    waiting: Option<Waker>,
}

impl<G: Send + 'static> Watch<G> {
    pub(crate) fn start(live: Live<G>, tasks: &TaskTracker) -> Self {
        let shared = Arc::new(Mutex::new(Shared { live: Some(live), expired: None, waiting: None }));
        let watched = Arc::clone(&shared);
        let task = tasks.spawn(async move {
            let expired = std::future::poll_fn(|cx| match &mut watched.lock().live {
                Some(live) => live.poll_expired(cx),
                // It is over, and takes this task with it.
                None => Poll::Pending,
            })
            .await;
            let (live, waiting) = {
                let mut shared = watched.lock();
                shared.expired = Some(expired);
                (shared.live.take(), shared.waiting.take())
            };
            // Outside of the lock: others are let go by it.
            drop(live);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        });
        Self { shared, _task: AbortOnDropHandle::new(task) }
    }
}

impl<G> Watch<G> {
    /// As a body's. `None` after the end, whichever it was.
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut shared = self.shared.lock();
        if let Some(expired) = shared.expired.take() {
            return Poll::Ready(Some(Err(expired.into())));
        }
        let Some(live) = &mut shared.live else { return Poll::Ready(None) };
        match live.poll_frame(cx) {
            Poll::Pending => {
                match &mut shared.waiting {
                    Some(waiting) => waiting.clone_from(cx.waker()),
                    waiting @ None => *waiting = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            frame @ Poll::Ready(Some(Ok(_))) => frame,
            end @ Poll::Ready(_) => {
                let live = shared.live.take();
                drop(shared);
                drop(live);
                end
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        let shared = self.shared.lock();
        shared.expired.is_none() && shared.live.as_ref().is_none_or(Live::has_ended)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.shared.lock().live.as_ref().map(Live::size_hint).unwrap_or_default()
    }
}

impl<G> Drop for Watch<G> {
    fn drop(&mut self) {
        // At once, not when the task comes to end; and outside of the lock.
        let live = self.shared.lock().live.take();
        drop(live);
    }
}
