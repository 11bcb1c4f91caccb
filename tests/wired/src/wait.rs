//! Until something holds.

use std::time::Duration;

use tokio::time::Instant;

/// How often is looked. A look is a request or a walk through `/proc`, so not much oftener.
const PAUSE: Duration = Duration::from_millis(25);

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Looks until the answer is `Ok`; an `Err` says what was seen instead.
///
/// # Panics
/// If it is not so after `within`: with `what` was waited for, and what was seen last.
pub async fn eventually<T>(within: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if within < started.elapsed() => panic!("not after {within:?}: {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Looks again and again for so long; the answer must be `Ok` each time.
///
/// # Panics
/// If it is not.
pub async fn throughout(period: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<(), String>) {
    let started = Instant::now();
    while started.elapsed() < period {
        if let Err(seen) = look().await {
            panic!("not throughout {period:?}, but only for {:?}: {what}; seen: {seen}", started.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
