use super::*;

const STARTED: Duration = Duration::from_millis(10_000);
const ENDED: Duration = Duration::from_millis(10_500);
/// The process that lives, the one that was killed meanwhile, and the one that was killed after all was over.
const LIVES: u32 = 1;
const KILLED: u32 = 2;
const KILLED_LATER: u32 = 3;

/// One request that `begun_by` wrote down.
fn verdict(kind: Kind, begun_by: &[u32], ending: Ending) -> Verdict {
    let fall = |at| Fall { at, how: How::Killed };
    let servers = Servers {
        begun: BTreeMap::from([(7, begun_by.to_vec())]),
        fallen: BTreeMap::from([(KILLED, fall(STARTED)), (KILLED_LATER, fall(ENDED + STARTED))]),
    };
    Verdict::of(&[Record { number: 7, kind, started: STARTED, ended: ENDED, ending }], &servers)
}

/// Lost, duplicated.
fn wrong(kind: Kind, begun_by: &[u32], ending: Ending) -> (u64, u64) {
    let verdict = verdict(kind, begun_by, ending);
    (verdict.lost, verdict.duplicated)
}

fn good(by: u32) -> Ending {
    Ending::Answered { status: 200, by: Some(by), right: Ok(()) }
}

fn broke() -> Ending {
    Ending::Refused { status: 502, reason: "replica-broke".to_owned(), says: String::new() }
}

fn cut(by: u32) -> Ending {
    Ending::Cut { status: 200, by: Some(by), why: String::new() }
}

#[test]
fn an_answer_counts_only_from_who_began_the_request_and_only_if_it_is_its_answer() {
    assert_eq!(wrong(Kind::Post, &[LIVES], good(LIVES)), (0, 0));
    assert_eq!(wrong(Kind::Post, &[LIVES], good(KILLED)), (1, 0));
    assert_eq!(wrong(Kind::Post, &[], good(LIVES)), (1, 0));
    let of_another = Ending::Answered { status: 200, by: Some(LIVES), right: Err("another's".to_owned()) };
    assert_eq!(wrong(Kind::Post, &[LIVES], of_another), (1, 0));
    let of_nobody = Ending::Answered { status: 500, by: None, right: Ok(()) };
    assert_eq!(wrong(Kind::Post, &[LIVES], of_nobody), (1, 0));
    assert_eq!(wrong(Kind::Get, &[LIVES], Ending::Nothing { why: "reset".to_owned() }), (1, 0));
}

#[test]
fn what_breaks_with_a_killed_replica_is_not_lost_and_what_breaks_with_a_living_one_is() {
    for ending in [cut(KILLED), broke()] {
        assert_eq!(wrong(Kind::Post, &[KILLED], ending), (0, 0));
    }
    for ending in [cut(LIVES), broke()] {
        assert_eq!(wrong(Kind::Post, &[LIVES], ending), (1, 0));
    }
    for ending in [cut(KILLED_LATER), broke()] {
        assert_eq!(wrong(Kind::Post, &[KILLED_LATER], ending), (1, 0), "it was over before");
    }
}

#[test]
fn what_breaks_unseen_needs_a_replica_that_was_ended_meanwhile() {
    assert_eq!(verdict(Kind::Post, &[], broke()).broken_unbegun, 1);
    let calm = Servers::default();
    let record = Record { number: 7, kind: Kind::Post, started: STARTED, ended: ENDED, ending: broke() };
    assert_eq!(Verdict::of(&[record], &calm).lost, 1);
}

#[test]
fn only_what_may_be_repeated_is_begun_again_and_only_after_a_kill() {
    assert_eq!(wrong(Kind::KeyedPost, &[KILLED, LIVES], good(LIVES)), (0, 0));
    assert_eq!(wrong(Kind::Post, &[KILLED, LIVES], good(LIVES)), (0, 1));
    assert_eq!(wrong(Kind::Get, &[LIVES, 9], good(LIVES)), (0, 1));
    assert_eq!(wrong(Kind::Get, &[LIVES, LIVES], good(LIVES)), (0, 1));
    assert_eq!(wrong(Kind::Get, &[KILLED_LATER, LIVES], good(LIVES)), (0, 1), "it was over before");
}

#[test]
fn other_refusals_are_lost_for_whoever_only_met_a_scaling() {
    for reason in ["leaving", "queue-full", "waited-too-long", "timeout", "start-failed"] {
        let refused = Ending::Refused { status: 503, reason: reason.to_owned(), says: String::new() };
        assert_eq!(wrong(Kind::Get, &[], refused), (1, 0), "{reason}");
    }
}
