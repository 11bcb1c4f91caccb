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
