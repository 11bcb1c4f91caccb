//! What would have to change for one replica more or fewer.

use units::ReplicaCount;

/// The demand at which a window asks for another number of replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// Above this it asks for more.
    pub more_above: f64,
    /// At this or less it asks for fewer; `None` where there are none to take.
    pub fewer_at: Option<f64>,
}

impl Steps {
    /// Around `asked` replicas, each of which is for `target` of the metric: a window asks for its demand over the target,
    /// rounded up.
    pub fn around(asked: ReplicaCount, target: f64) -> Self {
        let of = |replicas: u32| f64::from(replicas) * target;
        Self { more_above: of(asked.0), fewer_at: asked.0.checked_sub(1).map(of) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_demand_between_the_two_asks_for_just_as_many(asked in 1_u32..1_000, target in 0.01..500.0_f64, share in 0.01..0.99_f64) {
            let steps = Steps::around(ReplicaCount(asked), target);
            let demand = steps.fewer_at.unwrap() + share * (steps.more_above - steps.fewer_at.unwrap());
            prop_assert_eq!((demand / target).ceil() as u32, asked);
            prop_assert!((steps.more_above * 1.001 / target).ceil() as u32 > asked);
        }
    }
}
