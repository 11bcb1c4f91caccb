//! How long a request may take once it was handed to a replica. One timer a request, not one per layer.
//!
//! Waiting before that is bounded elsewhere, by whoever holds the line.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

/// The three time-outs. All start at hand-over; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// To the last byte of the answer.
    pub request: Option<Duration>,
    /// To the head of the answer.
    pub response_start: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
}

/// Which of the three it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expired {
    /// See [`Timeouts::request`].
    #[error("no end of the answer within the request time-out")]
    Request,
    /// See [`Timeouts::response_start`].
    #[error("no answer within the response start time-out")]
    ResponseStart,
    /// See [`Timeouts::idle`].
    #[error("no byte within the idle time-out")]
    Idle,
}

/// When a byte last went either way, in milliseconds since hand-over.
#[derive(Clone, Debug)]
pub struct Activity {
    since: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Activity {
    /// Counting from now.
    pub fn start() -> Self {
        Self { since: Instant::now(), last_ms: Arc::new(AtomicU64::new(0)) }
    }

    /// A byte went.
    pub fn touch(&self) {
        self.last_ms.store(self.since.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// The one timer of a request. Registered with the runtime only when the request really waits.
#[derive(Debug)]
pub struct Deadline {
    request: Option<Instant>,
    response_start: Option<Instant>,
    idle: Option<(Duration, Activity)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Starts counting: the request is handed over now.
    pub fn start(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            request: timeouts.request.and_then(|limit| now.checked_add(limit)),
            response_start: timeouts.response_start.and_then(|limit| now.checked_add(limit)),
            idle: timeouts.idle.map(|limit| (limit, Activity::start())),
            sleep: None,
        }
    }

    /// Is there any limit?
    pub fn is_set(&self) -> bool {
        self.request.is_some() || self.response_start.is_some() || self.idle.is_some()
    }

    /// To be touched by whatever carries the request's body; `None` without an idle time-out.
    pub fn activity(&self) -> Option<Activity> {
        self.idle.as_ref().map(|(_, activity)| activity.clone())
    }

    /// A byte went.
    pub fn touch(&self) {
        if let Some((_, activity)) = &self.idle {
            activity.touch();
        }
    }

    /// The head of the answer is there: from now on only the other two count.
    pub fn answer_begun(&mut self) {
        self.response_start = None;
        self.touch();
    }

    /// Ready once a time-out has passed. To be asked when nothing else can go on.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some((mut due, mut which)) = self.next() else { return Poll::Pending };
        loop {
            match &mut self.sleep {
                Some(sleep) if sleep.deadline() <= due => {}
                Some(sleep) => sleep.as_mut().reset(due),
                None => self.sleep = Some(Box::pin(sleep_until(due))),
            }
            // What is there was made just above.
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if due <= Instant::now() {
                return Poll::Ready(which);
            }
            // It fired for a moment that a byte has moved on since.
            sleep.as_mut().reset(due);
            match self.next() {
                Some(next) => (due, which) = next,
                None => return Poll::Pending,
            }
        }
    }

    fn next(&self) -> Option<(Instant, Expired)> {
        let idle = self.idle.as_ref().map(|(limit, activity)| (activity.last() + *limit, Expired::Idle));
        let request = self.request.map(|due| (due, Expired::Request));
        let start = self.response_start.map(|due| (due, Expired::ResponseStart));
        [request, start, idle].into_iter().flatten().min_by_key(|(due, _)| *due)
    }
}

/// What `grpc-timeout` says: a number of at most eight digits and a unit. `None` if it is absent or makes no sense.
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || 8 < digits.len() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_time_out_fires_in_its_time_and_is_named() {
        let start = Instant::now();
        let all = Timeouts { request: Some(9 * SECOND), response_start: Some(3 * SECOND), idle: Some(5 * SECOND) };
        let mut deadline = Deadline::start(all);
        assert_eq!(poll_fn(|cx| deadline.poll_expired(cx)).await, Expired::ResponseStart);
        assert_eq!(start.elapsed().as_secs(), 3);
        deadline.answer_begun();
        assert_eq!(poll_fn(|cx| deadline.poll_expired(cx)).await, Expired::Idle);
        assert_eq!(start.elapsed().as_secs(), 8);
        deadline.touch();
        assert_eq!(poll_fn(|cx| deadline.poll_expired(cx)).await, Expired::Request);
        assert_eq!(start.elapsed().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_puts_the_idle_time_out_off_while_somebody_waits_for_it() {
        let start = Instant::now();
        let mut deadline = Deadline::start(Timeouts { idle: Some(5 * SECOND), ..Timeouts::default() });
        let activity = deadline.activity().unwrap();
        let bytes = async {
            for _ in 0..3 {
                tokio::time::sleep(4 * SECOND).await;
                activity.touch();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            expired = poll_fn(|cx| deadline.poll_expired(cx)) => assert_eq!(expired, Expired::Idle),
            () = bytes => {}
        }
        assert_eq!(start.elapsed().as_secs(), 17);
    }

    #[test]
    fn the_time_out_of_a_grpc_call_is_understood() {
        let says = |value: &'static str| {
            grpc_timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(says("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(says("2H"), Some(7200 * SECOND));
        assert_eq!([says("m"), says(""), says("123456789S"), says("-1S"), says("5x")], [None; 5]);
    }
}
