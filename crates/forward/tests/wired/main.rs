//! Servers, pools and exchanges on loopback.

#![expect(clippy::disallowed_methods, reason = "a test's tasks belong to its runtime, which ends with it")]
#![expect(clippy::unwrap_used, reason = "helpers are test code outside of test functions")]

mod forwarding;
mod serving;
mod stage;
mod tls;
