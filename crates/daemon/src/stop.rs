//! Being told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Draining, Interrupted};

/// Listens for SIGTERM and SIGINT from the moment it is made. The first asks for a graceful end, the second ends at once.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Starts listening. Until then the signals kill the process, so make it before anything worth keeping exists.
    ///
    /// # Errors
    /// If the operating system refuses a handler.
    pub fn on_signals() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Runs `work`, which is handed what begins with the first signal; the second drops the work where it stands.
    ///
    /// # Errors
    /// What `work` fails with, or [`Interrupted`] (exit code 130).
    pub async fn guard<T>(mut self, work: impl AsyncFnOnce(Draining) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let asked = CancellationToken::new();
        let work = work(Draining::when(asked.clone()));
        tokio::pin!(work);
        loop {
            tokio::select! {
                // Both branches may be dropped: a signal that was not looked at yet is kept by the handler.
                ended = &mut work => return ended,
                signal = self.next() => if asked.is_cancelled() {
                    warn!(signal, "second signal, stopping at once");
                    return Err(Interrupted.into());
                } else {
                    info!(signal, "stopping; a second signal stops at once");
                    asked.cancel();
                },
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};

    use super::*;

    /// One test for both: signals reach every listener of the process, so two tests would disturb each other.
    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_ends_at_once() {
        let graceful = Stop::on_signals().unwrap().guard(async |asked| {
            raise(Signal::SIGTERM).unwrap();
            asked.begun().await;
            Ok("drained")
        });
        assert_eq!(graceful.await.unwrap(), "drained");

        let stubborn = Stop::on_signals().unwrap().guard(async |asked| {
            raise(Signal::SIGINT).unwrap();
            asked.begun().await;
            raise(Signal::SIGINT).unwrap();
            std::future::pending::<anyhow::Result<()>>().await
        });
        let ended = tokio::time::timeout(Duration::from_secs(10), stubborn).await.unwrap();
        assert!(ended.unwrap_err().is::<Interrupted>());
    }
}
