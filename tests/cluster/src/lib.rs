//! The programs on a real Kubernetes control plane.

pub mod model;
