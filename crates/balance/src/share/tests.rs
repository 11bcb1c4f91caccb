use super::*;

#[test]
fn what_is_left_over_goes_to_the_first_activators() {
    assert_eq!(assign_slice(6, Some(0), 4), [0, 4]);
    assert_eq!(assign_slice(6, Some(3), 4), [3]);
    assert_eq!(assign_slice(2, Some(2), 3), [0]);
    assert_eq!(assign_slice(3, None, 2), [0, 1, 2]);
}

#[test]
fn no_activator_starves_behind_a_cluster_address() {
    let limit = ConcurrencyLimit::from_field(10);
    assert_eq!(revision_capacity(limit, 10, 0, 200), Capacity::AtMost(1));
    assert_eq!(revision_capacity(limit, 0, 0, 200), Capacity::NONE);
}
