use units::Capacity::{AtMost, Unlimited};

use super::*;

const ROOMY: Limits = Limits { waiting: 100, in_flight: None, bytes: 1_000 };

fn ids(numbers: &[u64]) -> Vec<WaiterId> {
    numbers.iter().copied().map(WaiterId).collect()
}

#[test]
fn the_first_replica_lets_in_as_many_as_it_has_room_for() {
    let mut line = Line::new(AtMost(0), Limits { waiting: 3, ..ROOMY });
    let entries = [1, 2, 3, 4].map(|n| line.arrive(WaiterId(n), 0));
    assert_eq!(entries, [Entry::Wait, Entry::Wait, Entry::Wait, Entry::Full]);

    assert!(line.give_up(WaiterId(1)));

    assert_eq!(line.set_capacity(AtMost(1)), ids(&[2]));
    assert_eq!(line.finish(), Some(WaiterId(3)));
    assert_eq!(line.finish(), None);
    assert_eq!(line.in_flight(), 0);
}

#[test]
fn nobody_waits_before_an_unlimited_capacity() {
    let mut line = Line::new(AtMost(0), ROOMY);
    assert_eq!([1, 2].map(|n| line.arrive(WaiterId(n), 0)), [Entry::Wait; 2]);
    assert_eq!(line.set_capacity(Unlimited), ids(&[1, 2]));
    assert_eq!(line.arrive(WaiterId(3), 0), Entry::Go);
}
