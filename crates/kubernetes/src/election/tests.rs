mod polls;

use super::*;

const LEASE: Duration = Timing::ROUSE.lease;
const RENEW: Duration = Timing::ROUSE.renew;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_000_000 + millis)
}

fn record(holder: &str, epoch: u64, version: &str) -> Versioned {
    Versioned { record: Record { holder: holder.into(), epoch }, version: version.into() }
}

/// One that has just begun.
fn me() -> Elector {
    Elector::new("me".into(), Timing::ROUSE, at(0))
}

/// One that leads since 0 with epoch 4, at version 5 of the record.
fn leader() -> Elector {
    let mut elector = me();
    elector.saw(at(0), Some(record("", 3, "4")));
    elector.wrote(at(0), at(100), Written::Done(record("me", 4, "5")), 0.0);
    elector
}

/// One that has seen another lead with epoch 4 at version 5, first at 0.
fn follower() -> Elector {
    let mut elector = me();
    elector.saw(at(0), Some(record("another", 4, "5")));
    elector
}

fn leading(epoch: u64, until: u64) -> Leadership {
    Leadership::Leading { epoch, until: at(until) }
}

#[test]
fn at_first_the_record_is_read() {
    assert_eq!(me().next(at(0)), Act::Read);
}

#[test]
fn in_a_new_cluster_the_first_record_is_written_at_once() {
    let mut elector = me();
    elector.heard_of(7);
    elector.saw(at(0), None);
    assert_eq!(elector.next(at(0)), Act::Create(Record { holder: "me".into(), epoch: 8 }));
}

#[test]
fn a_record_that_nobody_holds_is_taken_at_once_with_a_higher_epoch() {
    let mut elector = follower();
    elector.saw(at(2_000), Some(record("", 4, "6")));
    assert_eq!(elector.next(at(2_000)), Act::Replace(record("me", 5, "6")));
}

#[test]
fn a_record_that_does_not_change_is_taken_after_the_lease_and_not_before() {
    let elector = follower();
    assert_eq!(elector.next(at(14_999)), Act::Wait(at(15_000)));
    assert_eq!(elector.next(at(15_000)), Act::Replace(record("me", 5, "5")));
}

#[test]
fn each_renewal_that_is_seen_begins_the_lease_anew() {
    let mut elector = follower();
    elector.saw(at(10_000), Some(record("another", 4, "6")));
    elector.saw(at(12_000), Some(record("another", 4, "6")));
    assert_eq!(elector.next(at(15_000)), Act::Wait(at(25_000)));
}

#[test]
fn who_has_written_it_leads_from_before_the_write_was_sent() {
    assert_eq!(leader().leadership(at(100)), leading(4, 10_000));
}

#[test]
fn a_leader_renews_with_the_same_epoch_and_leads_on() {
    let mut elector = leader();
    assert_eq!(elector.next(at(1_999)), Act::Wait(at(2_000)));
    assert_eq!(elector.next(at(2_000)), Act::Replace(record("me", 4, "5")));
    elector.wrote(at(2_000), at(2_100), Written::Done(record("me", 4, "6")), 1.0);
    assert_eq!(elector.leadership(at(2_100)), leading(4, 12_000));
    assert_eq!(elector.next(at(2_100)), Act::Wait(at(4_400)));
}

#[test]
fn a_leader_that_cannot_renew_stops_at_its_deadline() {
    let mut elector = leader();
    elector.wrote(at(9_600), at(9_700), Written::Unknown, 0.0);
    assert_eq!(elector.next(at(9_700)), Act::Wait(at(10_000)));
    assert_eq!(elector.leadership(at(9_999)), leading(4, 10_000));
    assert_eq!(elector.leadership(at(10_000)), Leadership::Following);
}

#[test]
fn who_has_stopped_and_still_holds_it_leads_anew_with_a_higher_epoch() {
    assert_eq!(leader().next(at(10_000)), Act::Replace(record("me", 5, "5")));
}

#[test]
fn a_write_without_an_answer_is_read_and_gives_nobody_a_leadership() {
    let mut elector = me();
    elector.saw(at(0), Some(record("", 3, "4")));
    elector.wrote(at(0), at(1_000), Written::Unknown, 0.0);
    assert_eq!(elector.next(at(1_500)), Act::Read);
    elector.saw(at(1_600), Some(record("me", 4, "5")));
    assert_eq!(elector.leadership(at(1_600)), Leadership::Following);
    assert_eq!(elector.next(at(1_600)), Act::Replace(record("me", 5, "5")));
}

#[test]
fn a_leader_whose_renewal_went_unanswered_leads_on_and_renews_what_it_reads() {
    let mut elector = leader();
    elector.wrote(at(2_000), at(3_000), Written::Unknown, 0.0);
    assert_eq!(elector.leadership(at(3_000)), leading(4, 10_000));
    elector.saw(at(3_600), Some(record("me", 4, "6")));
    assert_eq!(elector.leadership(at(3_600)), leading(4, 10_000));
    assert_eq!(elector.next(at(3_600)), Act::Replace(record("me", 4, "6")));
}

#[test]
fn who_sees_that_another_holds_it_follows_at_once() {
    let mut elector = leader();
    elector.wrote(at(2_000), at(2_100), Written::Conflict, 0.0);
    assert_eq!(elector.next(at(2_150)), Act::Read);
    elector.saw(at(2_200), Some(record("another", 5, "6")));
    assert_eq!(elector.leadership(at(2_200)), Leadership::Following);
    assert_eq!(elector.next(at(2_200)), Act::Wait(at(2_200).plus(LEASE)));
}

#[test]
fn an_epoch_above_its_own_ends_a_leadership_and_the_next_is_above_it() {
    let mut elector = leader();
    elector.heard_of(4);
    assert_eq!(elector.leadership(at(200)), leading(4, 10_000));
    elector.heard_of(9);
    assert_eq!(elector.leadership(at(200)), Leadership::Following);
    assert_eq!(elector.next(at(200)), Act::Replace(record("me", 10, "5")));
    elector.wrote(at(200), at(300), Written::Done(record("me", 10, "6")), 0.0);
    assert_eq!(elector.leadership(at(300)), leading(10, 10_200));
}

#[test]
fn who_leaves_stops_at_once_and_lets_go() {
    let mut elector = leader();
    elector.leave(at(500));
    assert_eq!(elector.leadership(at(500)), Leadership::Following);
    assert_eq!(elector.next(at(500)), Act::Replace(record("", 4, "5")));
    elector.wrote(at(500), at(600), Written::Done(record("", 4, "6")), 0.0);
    assert_eq!(elector.next(at(600)), Act::Done);
}

#[test]
fn who_leaves_with_a_write_on_its_way_reads_what_became_of_it() {
    let mut elector = leader();
    elector.wrote(at(2_000), at(2_100), Written::Unknown, 0.0);
    elector.leave(at(2_100));
    assert_eq!(elector.next(at(2_100)), Act::Read);
    elector.saw(at(2_200), Some(record("me", 4, "6")));
    assert_eq!(elector.next(at(2_200)), Act::Replace(record("", 4, "6")));
}

#[test]
fn who_leaves_as_a_follower_touches_nothing() {
    let mut elector = follower();
    elector.leave(at(500));
    assert_eq!(elector.next(at(500)), Act::Done);
}

#[test]
fn who_leaves_does_not_wait_long_for_an_api_server_that_is_away() {
    let mut elector = leader();
    elector.leave(at(500));
    elector.wrote(at(500), at(1_500), Written::Unknown, 0.0);
    assert_eq!(elector.next(at(1_500)), Act::Wait(at(2_000)));
    assert_eq!(elector.next(at(2_500)), Act::Done);
}

#[test]
fn a_record_that_was_deleted_under_another_is_written_anew_only_after_the_lease() {
    let mut elector = follower();
    elector.saw(at(1_000), None);
    assert_eq!(elector.next(at(1_000)), Act::Wait(at(16_000)));
    elector.saw(at(5_000), None);
    assert_eq!(elector.next(at(16_000)), Act::Create(Record { holder: "me".into(), epoch: 5 }));
}

#[test]
fn a_leader_whose_record_was_deleted_stops_and_writes_it_anew() {
    let mut elector = leader();
    elector.wrote(at(2_000), at(2_100), Written::Missing, 0.0);
    assert_eq!(elector.leadership(at(2_100)), Leadership::Following);
    assert_eq!(elector.next(at(2_100)), Act::Create(Record { holder: "me".into(), epoch: 5 }));
}

#[test]
fn who_may_not_write_or_has_nowhere_to_does_not_ask_on_and_on() {
    let mut elector = follower();
    elector.wrote(at(15_000), at(15_000), Written::Refused, 0.0);
    assert_eq!(elector.next(at(15_000)), Act::Wait(at(17_000)));
    let mut elector = me();
    elector.saw(at(0), None);
    elector.wrote(at(0), at(100), Written::Missing, 0.0);
    assert_eq!(elector.next(at(100)), Act::Wait(at(2_100)));
    elector.wrote(at(2_100), at(2_200), Written::Conflict, 0.0);
    assert_eq!(elector.next(at(2_200)), Act::Wait(at(2_250)));
}

#[test]
fn a_call_ends_before_a_lease_can_be_taken_from_a_leader_that_began_it() {
    assert!(crate::cluster::PROMPT <= LEASE - RENEW);
}
