use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[test]
fn what_does_not_fit_takes_nothing() {
    let budget = Budget::new(100);
    let mut first = budget.take(60).unwrap();
    assert!(budget.take(41).is_none());
    assert!(!first.grow(41));
    assert_eq!((budget.used(), first.bytes()), (60, 60));
    assert!(first.grow(40));
    assert!(budget.take(1).is_none());
    assert!(budget.take(u64::MAX).is_none());
    first.shrink_to(10);
    assert_eq!((budget.used(), first.bytes()), (10, 10));
}

#[test]
fn a_client_that_leaves_frees_its_share_at_once() {
    let budget = Budget::new(100);
    let gone = budget.take(100).unwrap();
    assert!(budget.take(1).is_none());
    drop(gone);
    assert!(budget.take(100).is_some());
}

#[test]
fn threads_that_take_at_the_same_time_never_take_too_much() {
    let budget = Budget::new(1_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let mut share = budget.take(300);
                    assert!(budget.used() <= budget.limit());
                    if let Some(share) = &mut share {
                        let _ = share.grow(100);
                        assert!(budget.used() <= budget.limit());
                    }
                }
            });
        }
    });
    assert_eq!(budget.used(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Take(u64),
    Grow(Index, u64),
    ShrinkTo(Index, u64),
    Leave(Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0_u64..400).prop_map(Op::Take),
        2 => (any::<Index>(), 0_u64..400).prop_map(|(index, more)| Op::Grow(index, more)),
        1 => (any::<Index>(), 0_u64..400).prop_map(|(index, bytes)| Op::ShrinkTo(index, bytes)),
        3 => any::<Index>().prop_map(Op::Leave),
    ]
}

proptest! {
    /// Nothing leaks, and what is used is never more than there is, in any order of coming, growing and leaving.
    #[test]
    fn what_is_used_is_what_lives_and_never_too_much(ops in prop::collection::vec(op(), 1..200)) {
        let budget = Budget::new(1_000);
        let mut shares: Vec<Share> = Vec::new();
        for op in ops {
            let before: u64 = shares.iter().map(Share::bytes).sum();
            match op {
                Op::Take(bytes) => {
                    let taken = budget.take(bytes);
                    prop_assert_eq!(taken.is_some(), before + bytes <= 1_000);
                    shares.extend(taken);
                }
                Op::Grow(index, more) if !shares.is_empty() => {
                    prop_assert_eq!(index.get_mut(&mut shares).grow(more), before + more <= 1_000);
                }
                Op::ShrinkTo(index, bytes) if !shares.is_empty() => index.get_mut(&mut shares).shrink_to(bytes),
                Op::Leave(index) if !shares.is_empty() => drop(shares.swap_remove(index.index(shares.len()))),
                Op::Grow(..) | Op::ShrinkTo(..) | Op::Leave(_) => {}
            }
            prop_assert_eq!(budget.used(), shares.iter().map(Share::bytes).sum::<u64>());
            prop_assert!(budget.used() <= budget.limit());
        }
        shares.clear();
        prop_assert_eq!(budget.used(), 0);
    }
}
