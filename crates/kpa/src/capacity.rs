//! Small arithmetic about room: how many activators, the first guess at the burst room, and who must be told.

use units::ReplicaCount;

use crate::{BurstRoom, TargetBurstCapacity};

/// The fewest activators that serve a revision, so that one may go without an interruption.
const FEWEST_ACTIVATORS: u32 = 2;

/// How many activators a revision needs: enough for everything its ready replicas can hold and the burst beyond it.
pub fn num_activators(ready: ReplicaCount, burst: TargetBurstCapacity, total: f64, activator_capacity: f64) -> u32 {
    let burst = match burst {
        TargetBurstCapacity::Unlimited => 0.0,
        TargetBurstCapacity::Of(0.0) => return FEWEST_ACTIVATORS,
        TargetBurstCapacity::Of(burst) => burst,
    };
    let needed = ((f64::from(ready.0) * total + burst) / activator_capacity).ceil();
    (needed as u32).max(FEWEST_ACTIVATORS)
}

/// The burst room that is assumed before the first evaluation. Cut towards zero, where later ones are rounded down:
/// Knative's Q09.
pub fn initial_burst_room(burst: TargetBurstCapacity, total: f64, initial: ReplicaCount) -> BurstRoom {
    match burst {
        TargetBurstCapacity::Unlimited => BurstRoom(-1),
        TargetBurstCapacity::Of(0.0) => BurstRoom(0),
        TargetBurstCapacity::Of(burst) => BurstRoom((f64::from(initial.0) * total - burst) as i32),
    }
}

/// Must whoever acts on decisions be told of this one? If the wish changed, or the burst room changed its sign, where 0
/// is positive. A wish is `None` before the first evaluation.
pub fn is_news(before: (Option<ReplicaCount>, BurstRoom), after: (Option<ReplicaCount>, BurstRoom)) -> bool {
    before.0 != after.0 || (before.1.0 < 0) != (after.1.0 < 0)
}
