//! The kinds that are not about one activator's share; those are played where shares are computed.

use golden::Marks;
use kpa::BurstRoom;
use serde::Deserialize;
use serde_json::Value;
use units::ReplicaCount;

use crate::spec;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Case {
    NumActivators { ready_pods: u32, tbc: f64, total: f64, activator_capacity: f64, num_activators: u32 },
    InitialStatus { tbc: f64, total: f64, initial_scale: u32, desired: i64, ebc: i32 },
    Notify { prev_desired: i64, prev_ebc: i32, desired: i64, ebc: i32, notify: bool },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    match golden::case(line)? {
        Case::NumActivators { ready_pods, tbc, total, activator_capacity, num_activators } => {
            let got = kpa::num_activators(ReplicaCount(ready_pods), spec::burst(tbc), total, activator_capacity);
            marks.same("num_activators", num_activators, got)
        }
        Case::InitialStatus { tbc, total, initial_scale, desired, ebc } => {
            marks.output();
            marks.same_part("desired", desired, -1)?;
            let got = kpa::initial_burst_room(spec::burst(tbc), total, ReplicaCount(initial_scale));
            marks.same_part("ebc", ebc, got.0)
        }
        Case::Notify { prev_desired, prev_ebc, desired, ebc, notify } => {
            let status = |desired: i64, ebc| (u32::try_from(desired).ok().map(ReplicaCount), BurstRoom(ebc));
            marks.same("notify", notify, kpa::is_news(status(prev_desired, prev_ebc), status(desired, ebc)))
        }
    }
}
