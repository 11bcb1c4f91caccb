//! Both seams on a cluster: what exists, from few watches; and make it so.
//!
//! In reading order: `site` (where Rouse itself stands), `cluster` (what a program has of the cluster, and its two
//! clients), `objects` and `world` (what the watches have seen), `follow` (the watches), `picture` (from what was seen to
//! endpoints and revisions; pure), `names` and `fault` (what things are called, and what a failed call means), `actuator`
//! with `scale` and `route` (make it so), `model` (which container of a pod it is) and `inject` (the sidecar into a pod;
//! pure), `election` (pure) and `lease` (who leads), `steward` (what the leader keeps in
//! order besides: Services, ports, status, events), `webhook` (pods get their sidecar as they are made), `flags` (the programs' command lines), `reach` (for people: a way to
//! the leader).
//!
//! Nothing here decides how many replicas there are or which path is taken: that is `kpa`'s, over `platform`.

mod actuator;
mod authority;
mod cluster;
mod election;
#[cfg(test)]
mod fake;
mod fault;
pub mod flags;
mod follow;
mod inject;
mod lease;
mod model;
mod names;
mod objects;
mod picture;
#[cfg(feature = "people")]
mod reach;
mod route;
mod scale;
mod sightings;
mod site;
mod steward;
mod token;
mod trust;
#[cfg(feature = "people")]
mod uninstall;
mod webhook;
mod world;

pub use authority::{Authority, Credentials, Leaf, Timing};
pub use cluster::Cluster;
pub use follow::Program;
pub use inject::{Changed, Outcome, Sidecar, inject, inject_workload};
#[cfg(feature = "people")]
pub use reach::Leader;
pub use site::{ACTIVATOR_ACCOUNT, AUDIENCE, CA_BUNDLE, COMPONENT, MANAGER, PART_OF, Site, TRUST};
pub use token::new_token;
#[cfg(feature = "people")]
pub use uninstall::{Leaving, uninstall};
