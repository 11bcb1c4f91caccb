use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_700_000_000_000 + millis)
}

fn replicas(limit: u32, ids: &[u64]) -> Replicas {
    let mut replicas = Replicas::new(ConcurrencyLimit::from_field(limit));
    let ids: Vec<ReplicaId> = ids.iter().copied().map(ReplicaId).collect();
    replicas.offer(&ids, at(0));
    replicas
}

#[test]
fn a_replica_that_refused_is_left_alone_for_a_while_that_doubles() {
    let mut replicas = replicas(1, &[1, 2]);
    assert_eq!(replicas.set_aside(ReplicaId(1), at(0)), Some(at(100)));
    assert_eq!(replicas.set_aside(ReplicaId(1), at(50)), Some(at(100)));
    assert_eq!(replicas.capacity(at(50)), Capacity::AtMost(1));
    assert_eq!(replicas.pick(at(50), 0), Ok(ReplicaId(2)));
    assert_eq!(replicas.pick(at(50), 0), Err(NoReplica::SetAside { until: at(100) }));
    assert_eq!(replicas.next_return(at(50)), Some(at(100)));
    assert_eq!(replicas.pick(at(100), 0), Ok(ReplicaId(1)));
    assert_eq!(replicas.pick(at(100), 0), Err(NoReplica::AllFull));
    assert_eq!(replicas.set_aside(ReplicaId(1), at(100)), Some(at(300)));
}

#[test]
fn a_long_answer_of_a_replica_that_goes_keeps_nobody_from_the_next() {
    let mut replicas = replicas(1, &[1]);
    assert_eq!(replicas.pick(at(0), 0), Ok(ReplicaId(1)));
    replicas.offer(&[ReplicaId(2)], at(0));
    assert_eq!((replicas.capacity(at(0)), replicas.total_in_flight()), (Capacity::AtMost(2), 1));
    assert_eq!(replicas.pick(at(0), 0), Ok(ReplicaId(2)));
    assert!(replicas.done(ReplicaId(1), at(0)), "its slot is gone");
    assert!(!replicas.done(ReplicaId(2), at(0)), "its slot is free");
    assert_eq!(replicas.capacity(at(0)), Capacity::AtMost(1));
}

#[test]
fn a_replica_comes_back_with_its_true_count() {
    let mut replicas = replicas(2, &[1]);
    assert_eq!(replicas.pick(at(0), 0), Ok(ReplicaId(1)));
    replicas.offer(&[], at(0));
    assert_eq!(replicas.pick(at(0), 0), Err(NoReplica::NoneOffered));
    replicas.offer(&[ReplicaId(1)], at(0));
    assert_eq!(replicas.in_flight(ReplicaId(1)), 1);
}

#[test]
fn no_replica_is_set_aside_for_longer_than_five_seconds_or_for_what_it_has_made_good() {
    let mut replicas = replicas(0, &[1]);
    let mut now = at(0);
    let mut asides_ms = Vec::new();
    for _ in 0..40 {
        let until = replicas.set_aside(ReplicaId(1), now).unwrap();
        asides_ms.push(until.since(now).as_millis());
        now = until;
    }
    assert_eq!(asides_ms[..8], [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!(asides_ms[39], 5_000);

    replicas.answered(ReplicaId(1));
    assert_eq!(replicas.set_aside(ReplicaId(1), now), Some(now.plus(FIRST_ASIDE)));
}

#[test]
fn without_a_limit_one_set_aside_is_passed_over() {
    let mut replicas = replicas(0, &[1, 2, 3]);
    replicas.set_aside(ReplicaId(2), at(0));
    for random in 0..100 {
        let chosen = replicas.pick(at(0), u64::MAX / 100 * random).unwrap();
        assert_ne!(chosen, ReplicaId(2));
    }
}

/// Of a hundred picks, evenly drawn and never done, how many go to this one.
fn picks_of(id: u64, replicas: &mut Replicas, now: Moment) -> usize {
    let mut random = even_bits(7);
    let picks = (0..100).map(|_| replicas.pick(now, random()).unwrap());
    picks.filter(|picked| *picked == ReplicaId(id)).count()
}

/// Even bits, the same each time.
fn even_bits(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[test]
fn a_newcomer_gets_its_share_bit_by_bit() {
    let joined_for = |millis: u64| {
        let mut replicas = replicas(0, &[1]);
        for _ in 0..100 {
            let _ = replicas.pick(at(0), 0);
        }
        replicas.offer(&[ReplicaId(1), ReplicaId(2)], at(60_000));
        picks_of(2, &mut replicas, at(60_000 + millis))
    };
    // One has a hundred in flight: two alike would be even after a hundred more.
    let shares = [0, 2_500, 5_000, 10_000].map(joined_for);
    assert_eq!(shares[3], 100, "from now on it is one of two");
    assert!(shares.is_sorted() && (5..30).contains(&shares[0]) && shares[1] < 60, "{shares:?}");
}

#[test]
fn a_newcomer_that_is_alone_gets_everything_at_once() {
    let mut replicas = replicas(0, &[1]);
    replicas.offer(&[ReplicaId(1), ReplicaId(2)], at(0));
    replicas.offer(&[ReplicaId(2)], at(1));
    assert_eq!(picks_of(2, &mut replicas, at(2)), 100);
    replicas.offer(&[ReplicaId(1), ReplicaId(2)], at(3));
    replicas.set_aside(ReplicaId(1), at(3));
    assert_eq!(picks_of(2, &mut replicas, at(4)), 100, "the other cannot be reached");
}

#[test]
fn those_that_come_together_share_evenly_from_the_first_moment() {
    let mut replicas = replicas(0, &[1, 2]);
    let share = picks_of(1, &mut replicas, at(1));
    assert!((40..60).contains(&share), "{share}");
}

#[derive(Clone, Debug)]
enum Step {
    Offer(Vec<u64>),
    Pick(u64),
    Done(prop::sample::Index),
    SetAside(u64),
    Answered(u64),
    SetLimit(u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::collection::vec(0_u64..6, 0..6).prop_map(Step::Offer),
        8 => any::<u64>().prop_map(Step::Pick),
        5 => any::<prop::sample::Index>().prop_map(Step::Done),
        1 => (0_u64..6).prop_map(Step::SetAside),
        1 => (0_u64..6).prop_map(Step::Answered),
        1 => prop::sample::select(vec![0, 1, 2, 5]).prop_map(Step::SetLimit),
        1 => (0_u64..400).prop_map(Step::Pass),
    ]
}

proptest! {
    /// The line asks only for the capacity; so a pick must succeed exactly when the capacity has room.
    #[test]
    fn there_is_room_exactly_when_a_pick_succeeds(steps in prop::collection::vec(step(), 1..80)) {
        let mut replicas = replicas(2, &[0, 1]);
        let mut picked: Vec<ReplicaId> = Vec::new();
        let mut now = at(0);
        for step in steps {
            match step {
                Step::Offer(ids) => replicas.offer(&ids.into_iter().map(ReplicaId).collect::<Vec<_>>(), now),
                Step::Pick(random) => {
                    let has_room = replicas.capacity(now).has_room(replicas.total_in_flight());
                    let chosen = replicas.pick(now, random);
                    prop_assert_eq!(has_room, chosen.is_ok(), "{:?}", chosen);
                    if let Err(NoReplica::SetAside { until }) = chosen {
                        prop_assert!(now < until && replicas.next_return(now).unwrap() <= until);
                    }
                    if let Ok(id) = chosen {
                        prop_assert!(replicas.offered().any(|offered| offered == id));
                        picked.push(id);
                    }
                }
                Step::Done(index) if !picked.is_empty() => {
                    let before = replicas.capacity(now);
                    let slot_is_gone = replicas.done(picked.swap_remove(index.index(picked.len())), now);
                    let after = match before {
                        Capacity::AtMost(slots) if slot_is_gone => Capacity::AtMost(slots - 1),
                        Capacity::AtMost(_) | Capacity::Unlimited => before,
                    };
                    prop_assert_eq!(replicas.capacity(now), after);
                }
                Step::Done(_) => {}
                Step::SetAside(id) => drop(replicas.set_aside(ReplicaId(id), now)),
                Step::Answered(id) => replicas.answered(ReplicaId(id)),
                Step::SetLimit(field) => replicas.set_limit(ConcurrencyLimit::from_field(field)),
                Step::Pass(millis) => now = now.plus(Duration::from_millis(millis)),
            }
            for id in (0..6).map(ReplicaId) {
                let expected = picked.iter().filter(|picked| **picked == id).count();
                prop_assert_eq!(replicas.in_flight(id) as usize, expected);
            }
        }
    }
}
