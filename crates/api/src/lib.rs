//! `ModelEndpoint` and the local file as Rust types, with every fault and its place.
//!
//! A file is YAML with any number of documents: `ModelEndpoint`, `apps/v1` Deployments, and one ConfigMap named
//! `config-autoscaler`. [`read()`] reads all files together and tells every fault at once, each as `file:line:column: path: value: what is allowed`.
//!
//! An object of an API server is read by the same reader ([`ModelEndpoint::from_object`]), and [`crd`] is what such a server
//! refuses by itself.
//!
//! What needs the machine to be looked at (is there such a command, is that port free) is left to `rouse`; what a
//! knob of autoscaling means and how far it may go is left to `kpa`.

mod check;
mod crd;
mod deployment;
mod documents;
mod endpoint;
mod fault;
mod meta;
mod object;
mod quantity;
mod read;
mod schema;
pub mod status;
mod write;
mod yaml;

pub use ::admin;
pub use crd::{crd, crd_yaml};
pub use deployment::{Check, Container, ContainerPort, Deployment, EnvVar, Invocation, PortRef, Probe, expand};
pub use documents::{ConfigAutoscaler, Documents, Placed, Reading, read};
pub use endpoint::bounds::{CONCURRENCY, TIMEOUT};
pub use endpoint::{
    API_VERSION, Autoscaling, EndpointPort, Knob, KnobKind, ModelEndpoint, OnUnavailable, PathMode, Protocol, Queue,
    Said, Shadow, Timeouts, TrafficTarget,
};
pub use fault::{Fault, Faults, Place};
pub use quantity::{parse_duration, parse_size, show_duration, show_size};
pub use read::nearest;
pub use write::to_yaml;
