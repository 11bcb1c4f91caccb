//! The programs on a real Kubernetes control plane.

pub mod clients;
pub mod ground;
pub mod herd;
pub mod images;
pub mod inside;
pub mod installed;
pub mod kserve;
pub mod model;
pub mod objects;
pub mod pods;
pub mod suite;
