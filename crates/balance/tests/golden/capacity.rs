//! The set `capacity`, those kinds that are about what an activator may have in flight.

use std::sync::Arc;

use balance::share::{View, activator_index, assign_slice, revision_capacity};
use golden::{Marks, case};
use serde::Deserialize;
use serde_json::Value;
use units::{Capacity, ConcurrencyLimit};

/// How the vectors write a capacity without a limit.
const UNLIMITED: u32 = i32::MAX.cast_unsigned();

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    RevisionCapacity {
        container_concurrency: u32,
        backends: u32,
        trackers: u32,
        activators: u32,
        capacity: u32,
    },
    AssignSlice {
        pods: usize,
        activator_index: i64,
        activators: usize,
        assigned: Vec<usize>,
    },
    ActivatorIndex {
        ips: Vec<Arc<str>>,
        #[serde(rename = "self")]
        own: String,
        index: i64,
    },
    Throttler {
        container_concurrency: u32,
        #[serde(rename = "self")]
        own: Arc<str>,
        ops: Vec<Op>,
    },
}

#[derive(Deserialize)]
struct Op {
    #[serde(flatten)]
    what: What,
    capacity: u32,
    activator_index: i64,
    activators: u32,
    uses_cluster_ip: bool,
    assigned: Vec<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum What {
    Pods { pods: Vec<Arc<str>> },
    ClusterIp { backends: u32 },
    Activators { ips: Vec<Arc<str>> },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    match case(line)? {
        Case::RevisionCapacity { container_concurrency, backends, trackers, activators, capacity } => {
            let limit = ConcurrencyLimit::from_field(container_concurrency);
            let got = match revision_capacity(limit, backends, trackers, activators) {
                Capacity::Unlimited => UNLIMITED,
                Capacity::AtMost(most) => most,
            };
            marks.same("capacity", capacity, got)
        }
        Case::AssignSlice { pods, activator_index, activators, assigned } => {
            let index = usize::try_from(activator_index).ok();
            marks.same("assigned", assigned, assign_slice(pods, index, activators))
        }
        Case::ActivatorIndex { ips, own, index } => {
            marks.same("index", index, or_minus_one(activator_index(&ips, &own)))
        }
        Case::Throttler { container_concurrency, own, ops } => {
            play_view(View::new(own, ConcurrencyLimit::from_field(container_concurrency)), ops, marks)
        }
    }
}

fn play_view(mut view: View, ops: Vec<Op>, marks: &mut Marks) -> Result<(), String> {
    for (index, op) in ops.into_iter().enumerate() {
        marks.at(index);
        marks.output();
        match op.what {
            What::Pods { pods } => view.set_replicas(pods),
            What::ClusterIp { backends } => view.set_cluster_address(backends),
            What::Activators { ips } => view.set_activators(&ips),
        }
        let capacity = match view.capacity() {
            // The vectors know an unlimited breaker only as open (1) or shut (0).
            Capacity::Unlimited => 1,
            Capacity::AtMost(most) => most,
        };
        marks.same_part("capacity", op.capacity, capacity)?;
        marks.same_part("activator_index", op.activator_index, or_minus_one(view.activator_index()))?;
        marks.same_part("activators", op.activators, view.activators())?;
        marks.same_part("uses_cluster_ip", op.uses_cluster_ip, view.uses_cluster_address())?;
        marks.same_part("assigned", op.assigned, view.assigned())?;
    }
    Ok(())
}

fn or_minus_one(index: Option<usize>) -> i64 {
    index.map_or(-1, |index| index as i64)
}
