//! `ModelEndpoint` and the local file as Rust types, with every fault and its place.
//!
//! A file is YAML with any number of documents: `ModelEndpoint`, `apps/v1` Deployments, and one ConfigMap named
//! `config-autoscaler`. All files are read together; the answer is either everything, checked, or every fault
//! at once, each as `file:line:column: path: value: what is allowed`.
//!
//! What needs the machine to be looked at (is there such a command, is that port free) is left to `rouse`; what a
//! knob of autoscaling means and how far it may go is left to `kpa`.

pub mod admin;
mod deployment;
mod endpoint;
mod fault;

pub use deployment::{Check, Container, ContainerPort, Deployment, EnvVar, Invocation, PortRef, Probe, expand};
pub use endpoint::{
    API_VERSION, Autoscaling, EndpointPort, Knob, KnobKind, ModelEndpoint, PathMode, Protocol, Queue, Timeouts,
    TrafficTarget,
};
pub use fault::{Fault, Faults, Place};
