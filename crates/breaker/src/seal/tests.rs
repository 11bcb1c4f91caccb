use super::*;

const NOTHING: Here = Here { held: 0, forwarded: 0 };
const TTL: Duration = LONGEST_TTL;

/// When a replica was first heard of that was there before any seal.
const BEFORE: Moment = Moment::from_unix_millis(500);

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(millis)
}

fn id(epoch: u64, seq: u64) -> SealId {
    SealId { epoch, seq }
}

fn sealed_at(millis: u64) -> Seal {
    let mut seal = Seal::new(None);
    assert_eq!(seal.asked(at(millis), id(1, 1), TTL, 1, NOTHING), Verdict::Sealed);
    seal
}

#[test]
fn whoever_holds_or_forwards_something_vetoes_and_goes_on_as_before() {
    let mut seal = Seal::new(None);
    assert_eq!(seal.asked(at(0), id(1, 1), TTL, 1, Here { held: 1, forwarded: 0 }), Verdict::Veto);
    assert_eq!(seal.asked(at(0), id(1, 2), TTL, 1, Here { held: 0, forwarded: 1 }), Verdict::Veto);
    assert_eq!(seal.may_forward(at(0)), Forward::Freely);
}

#[test]
fn a_promise_holds_until_its_time_has_passed_and_then_old_probes_prove_nothing() {
    let seal = sealed_at(1_000);
    assert_eq!(seal.may_forward(at(3_999)), Forward::Hold);
    assert_eq!(seal.holds_until(at(3_999)), Some(at(4_000)));
    let forward = seal.may_forward(at(4_000));
    assert!(!forward.allows(BEFORE, None));
    assert!(!forward.allows(BEFORE, Some(at(4_000))));
    assert!(forward.allows(BEFORE, Some(at(4_001))), "nothing says that the revision is at zero");
}

#[test]
fn a_commit_asks_for_probes_begun_since_and_for_no_further_waiting() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(1_500), id(1, 1), Ending::Committed);
    let forward = seal.may_forward(at(1_500));
    assert!(!forward.allows(at(1_500), Some(at(1_500))));
    assert!(forward.allows(at(1_500), Some(at(1_501))));
}

#[test]
fn what_was_there_before_zero_proves_nothing_until_its_leaving_would_have_shown() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(1_500), id(1, 1), Ending::Committed);
    let forward = seal.may_forward(at(9_000));
    assert!(!forward.allows(BEFORE, Some(at(4_499))));
    assert!(forward.allows(BEFORE, Some(at(4_500))), "zero was taken back before it was carried out");
    assert_eq!((forward.counts_from(BEFORE), forward.counts_from(at(1_500))), (Some(at(4_500)), None));
}

#[test]
fn zero_is_remembered_when_a_later_round_is_released() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(1_500), id(1, 1), Ending::Committed);
    assert_eq!(seal.asked(at(2_000), id(1, 2), TTL, 1, NOTHING), Verdict::Sealed);
    seal.ended(at(2_100), id(1, 2), Ending::Released);
    assert!(!seal.may_forward(at(2_100)).allows(BEFORE, Some(at(2_100))));
}

#[test]
fn a_commit_that_comes_late_does_not_question_what_was_probed_since() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(60_000), id(1, 1), Ending::Committed);
    assert!(seal.may_forward(at(60_000)).allows(at(4_001), Some(at(4_001))));
}

#[test]
fn a_release_is_as_if_nothing_had_been_asked() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(1_100), id(1, 1), Ending::Released);
    assert_eq!(seal.may_forward(at(1_100)), Forward::Freely);
}

#[test]
fn the_release_of_one_leader_does_not_release_what_another_was_promised() {
    let mut seal = sealed_at(1_000);
    assert_eq!(seal.asked(at(2_000), id(2, 1), TTL, 2, NOTHING), Verdict::Sealed);
    seal.ended(at(2_100), id(2, 1), Ending::Released);
    assert_eq!(seal.may_forward(at(3_999)), Forward::Hold);
    assert_eq!(seal.may_forward(at(4_000)), Forward::OnlyAfterProbe { begun_after: at(4_000), zero: None });
}

#[test]
fn an_end_of_another_round_changes_nothing() {
    let mut seal = sealed_at(1_000);
    seal.ended(at(1_100), id(1, 0), Ending::Released);
    seal.ended(at(1_100), id(2, 1), Ending::Released);
    assert_eq!(seal.may_forward(at(1_100)), Forward::Hold);
}

#[test]
fn a_leadership_that_is_over_is_told_so() {
    let mut seal = Seal::new(None);
    assert_eq!(seal.asked(at(0), id(4, 9), TTL, 5, NOTHING), Verdict::Outdated);
    assert_eq!(seal.asked(at(0), id(5, 2), TTL, 5, NOTHING), Verdict::Sealed);
    assert_eq!(seal.asked(at(0), id(5, 1), TTL, 5, NOTHING), Verdict::Outdated);
}

#[test]
fn the_same_question_twice_is_one_promise() {
    let mut seal = sealed_at(1_000);
    assert_eq!(seal.asked(at(2_000), id(1, 1), TTL, 1, NOTHING), Verdict::Sealed);
    let something = Here { held: 1, forwarded: 0 };
    assert_eq!(seal.asked(at(2_000), id(1, 1), TTL, 1, something), Verdict::Veto);
    assert_eq!(seal.holds_until(at(2_000)), Some(at(4_000)));
    assert_eq!(seal.asked(at(4_000), id(1, 1), TTL, 1, NOTHING), Verdict::Veto);
}

#[test]
fn more_than_a_successor_would_keep_is_not_promised() {
    let mut seal = Seal::new(None);
    assert_eq!(seal.asked(at(0), id(1, 1), TTL + Duration::from_millis(1), 1, NOTHING), Verdict::Veto);
}

#[test]
fn a_successor_keeps_the_promises_it_cannot_know_of() {
    let start = at(10_000);
    let mut seal = Seal::new(Some(start.plus(LONGEST_TTL)));
    assert_eq!(seal.may_forward(at(12_999)), Forward::Hold);
    // Being asked and released meanwhile does not shorten it.
    assert_eq!(seal.asked(at(10_500), id(1, 1), TTL, 1, NOTHING), Verdict::Sealed);
    seal.ended(at(10_600), id(1, 1), Ending::Released);
    assert_eq!(seal.may_forward(at(12_999)), Forward::Hold);
    assert_eq!(seal.may_forward(at(13_000)), Forward::OnlyAfterProbe { begun_after: at(13_000), zero: None });
}
