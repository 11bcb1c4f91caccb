//! TLS between an activator and a sidecar, on loopback.

#![expect(clippy::disallowed_methods, reason = "a test's tasks belong to its runtime, which ends with it")]
#![expect(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]

mod stage;

mod changing;
mod refused;
mod through;
