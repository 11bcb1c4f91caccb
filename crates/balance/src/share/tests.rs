use proptest::prelude::*;

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

#[test]
fn a_list_of_activators_without_this_one_is_ignored() {
    let mut view = View::new("10.0.0.2".into(), ConcurrencyLimit::from_field(1));
    view.set_replicas(["b", "a"].map(Into::into).to_vec());
    assert_eq!(view.assigned().len(), 2, "all of them, while it has not been told");
    view.set_activators(&["10.0.0.2", "10.0.0.1"].map(Into::into));
    assert_eq!(view.assigned(), ["b".into()]);
    view.set_activators(&["10.0.0.1".into()]);
    assert_eq!((view.activators(), view.assigned()), (2, vec!["b".into()]));
}

proptest! {
    #[test]
    fn the_slices_cover_every_replica_once(activators in 2_usize..12, more in 0_usize..40) {
        let replicas = activators + more;
        let slices = (0..activators).map(|index| assign_slice(replicas, Some(index), activators));
        let mut assigned: Vec<usize> = slices.flatten().collect();
        assigned.sort_unstable();
        prop_assert_eq!(assigned, (0..replicas).collect::<Vec<_>>());
    }
}
