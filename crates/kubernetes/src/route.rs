//! Which way requests take to an endpoint: what is behind its Services.
//!
//! `shapes` says what a Service and our slices look like, `seen` which way requests take by what was seen.

pub(crate) mod seen;
pub(crate) mod shapes;
