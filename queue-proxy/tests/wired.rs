//! A real sidecar on loopback, between real clients and stand-in models.

#![expect(clippy::disallowed_methods, reason = "a test's tasks belong to its runtime, which ends with it")]
#![expect(clippy::unwrap_used, reason = "the stage is test code outside of test functions")]

mod wired {
    pub(crate) mod stage;

    mod bounds;
    mod counting;
    mod headers;
    mod leaving;
    mod model;
    mod proving;
    mod reporting;
    mod streaming;
    mod trust;
}
