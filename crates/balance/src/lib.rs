//! Which replica gets a request: policies, and what is this activator's part of the replicas.
//!
//! [`Replicas`] is what an activator keeps for a revision, behind the lock that also guards its line. The rules it picks
//! by are plain functions in [`policy`]; the sharing of replicas among activators is in [`share`].
//!
//! Not here: how many may go at once over all (`breaker`), whether a replica is ready (the activator's probes), and which
//! revision (`traffic`). Chance and time are arguments.

pub mod policy;
mod replicas;
pub mod share;

pub use policy::Policy;
pub use replicas::{NoReplica, ReplicaId, Replicas};
