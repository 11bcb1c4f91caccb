//! Which requests a shadow gets a copy of: as exact as the turns of a split.

use units::Percent;

/// Is the request that is number `count` one of those of which so many percent are taken?
///
/// Of any hundred in a row it is exactly so many, and as evenly apart as can be.
pub fn is_sampled(percent: Percent, count: u64) -> bool {
    let (percent, place) = (u64::from(percent.get()), count % 100);
    place * percent / 100 != (place + 1) * percent / 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_any_hundred_in_a_row_as_many_are_taken_as_the_percent_says(percent in 0_u8..=100, from in 0_u64..1 << 40) {
            let percent = Percent::new(percent).unwrap();
            let taken = (from..from + 100).filter(|count| is_sampled(percent, *count)).count();
            prop_assert_eq!(taken, usize::from(percent.get()));
        }

        #[test]
        fn between_two_that_are_taken_there_are_nowhere_many_more_than_elsewhere(percent in 1_u8..=100) {
            let one = Percent::new(percent).unwrap();
            let taken: Vec<u64> = (0..300).filter(|count| is_sampled(one, *count)).collect();
            let gaps = || taken.windows(2).map(|pair| pair[1] - pair[0]);
            prop_assert!(gaps().max() <= gaps().min().map(|least| least + 1));
        }
    }
}
