//! What a task waits for beside its work, and hardly ever comes.
//!
//! A task's futures are all polled whenever it is woken, whichever of them was meant; and timers and notifications take a
//! lock each time they are told that nothing has happened. A connection is woken three times with every request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// A future that is polled only when it was itself woken.
#[derive(Debug)]
pub(crate) struct Aside<F>(FuturesUnordered<F>);

impl<F: Future> Aside<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(std::iter::once(future).collect())
    }
}

impl<F: Future> Future for Aside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.poll_next_unpin(cx) {
            Poll::Ready(Some(output)) => Poll::Ready(output),
            // It is empty only once it was ready.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_when_others_were() {
        let polls = Cell::new(0);
        let (bell, mut rung) = oneshot::channel();
        let mut aside = Aside::new(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            Pin::new(&mut rung).poll(cx)
        }));
        for _ in 0..3 {
            let now = poll_fn(|cx| Poll::Ready(Pin::new(&mut aside).poll(cx).is_ready())).await;
            assert!(!now);
        }
        assert_eq!(polls.get(), 1);
        bell.send("rung").unwrap();
        assert_eq!(aside.await, Ok("rung"));
        assert_eq!(polls.get(), 2);
    }
}
