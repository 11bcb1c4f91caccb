//! Startup and liveness probes, which on a cluster are the kubelet's. Readiness is the queue-proxy's (`front.rs`).

use std::time::Duration;

use queue_proxy::{NotReady, Probe};
use tokio::time::sleep;

/// A probe and how long it is waited for at first.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) probe: Probe,
    pub(crate) initial_delay: Duration,
}

/// Returns once the startup probe has succeeded; at once without one.
///
/// # Errors
/// When it has failed too often, with the last reason.
pub(crate) async fn started(check: Option<&Check>) -> Result<(), String> {
    let Some(Check { probe, initial_delay }) = check else { return Ok(()) };
    sleep(*initial_delay).await;
    let mut failures = 0;
    loop {
        match probe.ask().await {
            Ok(()) => return Ok(()),
            Err(why) => failures = count(probe, failures, &why, "startup")?,
        }
        sleep(probe.period).await;
    }
}

/// Returns when the liveness probe has failed too often in a row, with the last reason; never without one.
pub(crate) async fn unwell(check: Option<&Check>) -> String {
    let Some(Check { probe, initial_delay }) = check else { return std::future::pending().await };
    sleep(*initial_delay).await;
    let mut failures = 0;
    loop {
        failures = match probe.ask().await {
            Ok(()) => 0,
            Err(why) => match count(probe, failures, &why, "liveness") {
                Ok(failures) => failures,
                Err(why) => return why,
            },
        };
        sleep(probe.period).await;
    }
}

fn count(probe: &Probe, failures: u32, why: &NotReady, kind: &str) -> Result<u32, String> {
    let failures = failures + 1;
    if failures < probe.failures {
        return Ok(failures);
    }
    Err(format!("its {kind} probe failed {failures} times: {why}"))
}
