//! What a pod's annotations say about its sidecar.

use std::time::Duration;

use serde_json::Value;

use crate::names::{CONTAINER_CONCURRENCY, PORT, REQUEST_TIMEOUT};

/// As Knative's `timeoutSeconds`, and as an endpoint has it that says nothing.
const USUAL_TIMEOUT: Duration = Duration::from_secs(300);

/// A day, and as many as an endpoint may say: what takes longer is no request.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// As many as an endpoint may say.
const HIGHEST_CONCURRENCY: u32 = 100_000;

/// What is wished. An autoscaler that says otherwise on the sidecar's stream wins, but for the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The model's port, by number or by name.
    pub(super) port: Option<String>,
    /// How long a request may take. `None`: there is no limit.
    pub(super) request_timeout: Option<Duration>,
    /// The most requests at the model at once; 0 for no limit.
    pub(super) container_concurrency: Option<u32>,
}

impl Wishes {
    /// What a pod says; and for each value that cannot be, that it does not count. A pod is not kept from starting by it.
    pub(super) fn of(pod: &Value) -> (Self, Vec<String>) {
        let said = |name: &str| pod["metadata"]["annotations"][name].as_str().map(str::trim);
        let mut faults = Vec::new();
        let mut refuse = |name: &str, value: &str, allowed: &str, instead: &str| {
            faults.push(format!("annotation {name}: {value:?} is not {allowed}; {instead} counts in its place"));
        };
        let request_timeout = match said(REQUEST_TIMEOUT) {
            None => Some(USUAL_TIMEOUT),
            Some(value) => match api::parse_duration(value).filter(|timeout| *timeout <= LONGEST_TIMEOUT) {
                Some(Duration::ZERO) => None,
                Some(timeout) => Some(timeout),
                None => {
                    refuse(REQUEST_TIMEOUT, value, "a time such as 90s, from 0 (no limit) to 24h", "300s");
                    Some(USUAL_TIMEOUT)
                }
            },
        };
        let container_concurrency = said(CONTAINER_CONCURRENCY).and_then(|value| {
            let number = value.parse().ok().filter(|limit| *limit <= HIGHEST_CONCURRENCY);
            if number.is_none() {
                refuse(CONTAINER_CONCURRENCY, value, "a whole number from 0 (no limit) to 100000", "no limit");
            }
            number
        });
        (Self { port: said(PORT).map(str::to_owned), request_timeout, container_concurrency }, faults)
    }
}
