//! When the model is ready, and when it is not any more.
//!
//! While it starts it is asked every 10 ms, later less often: each pause is a fiftieth of the time it has taken so far,
//! so that the asking adds two per cent to a start at most. Once ready, it is asked at the pace of its probe, and at once
//! when a request found nobody there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::gate::Gate;
use crate::probe::Probe;

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Until a model that has been starting for so long is asked again.
pub fn pause_while_starting(elapsed: Duration) -> Duration {
    (elapsed / 50).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// How long a model that said it is going is waited for to really go.
const GOING_FOR: Duration = Duration::from_secs(30);

/// What is known of the model, for whoever asks.
#[derive(Debug)]
pub(crate) struct Readiness {
    ready: watch::Sender<bool>,
    doubt: Notify,
    /// The model's container was told to stop; held until it was seen gone and back.
    going: watch::Sender<bool>,
}

impl Readiness {
    pub(crate) fn unknown() -> Self {
        Self { ready: watch::Sender::new(false), doubt: Notify::new(), going: watch::Sender::new(false) }
    }

    /// Follows it.
    pub(crate) fn follow(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// A request found nobody there: ask now. Until it is answered nobody else is sent.
    pub(crate) fn doubt(&self, gate: &Gate) {
        gate.open(false);
        self.doubt.notify_one();
    }

    /// The model's container is about to be stopped: hold what comes until it is back.
    pub(crate) fn going(&self, gate: &Gate) {
        self.going.send_replace(true);
        self.ready.send_replace(false);
        self.doubt(gate);
    }

    /// The whole pod goes: serve what still comes for as long as the model does.
    pub(crate) fn not_going(&self) {
        self.going.send_replace(false);
        self.doubt.notify_one();
    }

    /// Asks for as long as the sidecar runs, and opens and closes the gate.
    pub(crate) async fn keep_asking(&self, probe: &Probe, gate: &Arc<Gate>) {
        loop {
            self.until_ready(probe).await;
            if *self.going.borrow() && !self.until_gone_or_pardoned(probe).await {
                continue;
            }
            gate.open(true);
            if !self.ready.send_replace(true) {
                info!("the model is ready");
            }
            if self.until_doubt(probe).await {
                // A request found nobody there. One good answer says that it was the connection.
                continue;
            }
            gate.open(false);
            self.ready.send_replace(false);
        }
    }

    async fn until_ready(&self, probe: &Probe) {
        let started = Instant::now();
        let mut good = 0;
        loop {
            match probe.ask().await {
                Ok(()) => good += 1,
                Err(why) => {
                    good = 0;
                    if self.ready.send_replace(false) {
                        warn!(%why, "the model is not ready any more");
                    } else {
                        debug!(%why, "the model is not ready");
                    }
                }
            }
            if probe.successes <= good {
                return;
            }
            sleep(pause_while_starting(started.elapsed())).await;
        }
    }

    /// `false`: it went, so ask again until it is back. `true`: it did not go after all, or the whole pod goes.
    async fn until_gone_or_pardoned(&self, probe: &Probe) -> bool {
        let gone = async {
            while probe.ask().await.is_ok() {
                sleep(SHORTEST_PAUSE).await;
            }
        };
        let mut going = self.going.subscribe();
        let went = tokio::select! {
            went = timeout(GOING_FOR, gone) => went.is_ok(),
            _ = going.wait_for(|going| !*going) => false,
        };
        self.going.send_replace(false);
        !went
    }

    /// Returns `true` if a request doubts, `false` if the probe has failed often enough.
    async fn until_doubt(&self, probe: &Probe) -> bool {
        let mut bad = 0;
        loop {
            if timeout(probe.period, self.doubt.notified()).await.is_ok() {
                return true;
            }
            match probe.ask().await {
                Ok(()) => bad = 0,
                Err(why) => {
                    bad += 1;
                    debug!(%why, bad, "the model did not answer its probe");
                    if probe.failures <= bad {
                        warn!(%why, "the model is not ready any more");
                        return false;
                    }
                }
            }
        }
    }
}
