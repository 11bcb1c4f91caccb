//! The programs on a real Kubernetes control plane.

pub mod ground;
pub mod images;
pub mod inside;
pub mod installed;
pub mod model;
pub mod objects;
pub mod suite;
