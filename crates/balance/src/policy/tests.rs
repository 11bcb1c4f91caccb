use proptest::prelude::*;

use super::*;

#[test]
fn small_limits_fill_up_and_large_ones_spread() {
    let policies = [0, 1, 3, 4, 100].map(|field| choose(ConcurrencyLimit::from_field(field)));
    use Policy::{FirstAvailable, RandomChoice2, RoundRobin};
    assert_eq!(policies, [RandomChoice2, FirstAvailable, FirstAvailable, RoundRobin, RoundRobin]);
}

#[test]
fn nothing_on_offer_is_nothing_chosen() {
    assert_eq!((first_available(&[]), round_robin(&[], &mut 7), random_choice_2(&[], 7)), (None, None, None));
}

fn load(in_flight: u32, slots: u32) -> Load {
    Load { in_flight, capacity: Capacity::AtMost(slots), percent: 100 }
}

#[test]
fn the_round_goes_on_behind_the_one_chosen() {
    let offered = [load(0, 1), load(1, 1), load(0, 1)];
    let mut cursor = 0;
    let chosen = [(); 3].map(|()| round_robin(&offered, &mut cursor));
    assert_eq!(chosen, [Some(0), Some(2), Some(0)]);

    let full = [load(1, 1); 3];
    assert_eq!((round_robin(&full, &mut cursor), cursor), (None, 1));
}

proptest! {
    #[test]
    fn of_two_the_busier_is_never_chosen(first in 0_u32..5, second in 0_u32..5, random: u64) {
        let chosen = random_choice_2(&[load(first, 0), load(second, 0)], random).unwrap();
        prop_assert_eq!([first, second][chosen], first.min(second));
    }

    #[test]
    fn the_busiest_of_many_is_never_chosen(others in prop::collection::vec(0_u32..9, 1..20), random: u64) {
        let mut offered: Vec<Load> = others.iter().map(|in_flight| load(*in_flight, 0)).collect();
        let busiest = random as usize % (offered.len() + 1);
        offered.insert(busiest, load(9, 0));
        prop_assert_ne!(random_choice_2(&offered, random.rotate_left(17)), Some(busiest));
    }
}

#[test]
fn chance_favours_nobody() {
    for targets in 2..9 {
        let offered = vec![load(0, 0); targets];
        let mut chosen = vec![0_u32; targets];
        let draws = 4_000_u64;
        for number in 0..draws {
            // The finisher of SplitMix64: numbers in a row become even bits.
            let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            random ^= random >> 31;
            chosen[random_choice_2(&offered, random).unwrap()] += 1;
        }
        let fair = draws as f64 / targets as f64;
        assert!(chosen.iter().all(|count| (f64::from(*count) - fair).abs() < 0.2 * fair), "{chosen:?}");
    }
}
