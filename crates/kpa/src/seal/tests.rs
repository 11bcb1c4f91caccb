use super::*;

const LEAD: Moment = Moment::from_unix_millis(1_000_000);

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(millis)
}

fn activator(name: &str) -> Member {
    Member::Activator(name.into())
}

fn sidecar() -> Member {
    Member::Sidecar("r-1".into())
}

fn version(text: &str) -> Arc<str> {
    text.into()
}

fn id(seq: u64) -> SealId {
    SealId { epoch: 7, seq }
}

/// A leader, its roster of two activators and a sidecar, all of incarnation 1, and a way to tell it things.
struct Play {
    leader: Leader,
    roster: Roster,
    lead_until: Moment,
}

impl Play {
    fn new() -> Self {
        let members = [activator("a"), activator("b"), sidecar()];
        let roster = members.into_iter().map(|member| (member, Some(Incarnation(1)))).collect();
        Self { leader: Leader::new(7, Limits::ROUSE), roster, lead_until: LEAD }
    }

    fn asked_at(millis: u64) -> Self {
        let mut play = Self::new();
        assert_eq!(play.wanted(millis).len(), 3);
        play
    }

    fn patched_at(millis: u64) -> Self {
        let mut play = Self::asked_at(0);
        play.answer(millis, activator("a"), Answer::Yes);
        play.answer(millis, sidecar(), Answer::Yes);
        let deeds = play.answer(millis, activator("b"), Answer::Yes);
        assert_eq!(deeds, [Deed::Patch { id: id(1), expect: version("v1"), not_after: at(1_500) }]);
        play
    }

    fn tell(&mut self, millis: u64, event: Event) -> Vec<Deed> {
        self.leader.handle(at(millis), View { roster: &self.roster, lead_until: self.lead_until }, event)
    }

    fn wanted(&mut self, millis: u64) -> Vec<Deed> {
        self.tell(millis, Event::Wanted { expect: version("v1") })
    }

    fn answer(&mut self, millis: u64, from: Member, answer: Answer) -> Vec<Deed> {
        self.tell(millis, Event::Answered { from, incarnation: Incarnation(1), id: id(1), answer })
    }

    fn end(&mut self, millis: u64, end: PatchEnd) -> Vec<Deed> {
        self.tell(millis, Event::Patched { id: id(1), end })
    }

    fn read(&mut self, millis: u64, begun: u64, replicas: u32, at_version: &str) -> Vec<Deed> {
        let seen = ScaleSeen::At { replicas: ReplicaCount(replicas), version: version(at_version) };
        self.tell(millis, Event::ScaleRead { begun: at(begun), seen })
    }
}

/// Both activators are told; sidecars have nothing to be told.
fn told(ending: Ending) -> Vec<Deed> {
    ["a", "b"].map(|name| Deed::Tell { to: activator(name), id: id(1), ending }).to_vec()
}

#[test]
fn everybody_is_asked_and_the_last_yes_allows_the_patch() {
    let mut play = Play::patched_at(100);
    assert!(play.leader.patch_is_open());
    assert_eq!(play.end(200, PatchEnd::Done), told(Ending::Committed));
    assert!(!play.leader.in_round());
}

#[test]
fn a_veto_releases_everybody_and_the_next_round_waits_longer_each_time() {
    let mut play = Play::asked_at(0);
    assert_eq!(play.answer(100, activator("b"), Answer::No), told(Ending::Released));
    assert_eq!(play.wanted(1_099), []);
    assert_eq!(play.wanted(1_100).len(), 3);
    let no = Event::Answered { from: sidecar(), incarnation: Incarnation(1), id: id(2), answer: Answer::No };
    play.tell(1_200, no);
    assert_eq!(play.wanted(3_199), []);
    assert_eq!(play.wanted(3_200).len(), 3);
}

#[test]
fn a_wake_breaks_the_round_until_the_patch_is_sent() {
    let mut play = Play::asked_at(0);
    play.answer(100, activator("a"), Answer::Yes);
    assert_eq!(play.tell(110, Event::Woken), told(Ending::Released));
    let mut play = Play::patched_at(100);
    assert_eq!(play.tell(110, Event::Woken), []);
    assert!(play.leader.patch_is_open());
}

#[test]
fn a_restart_breaks_the_round_also_when_it_had_answered() {
    let mut play = Play::asked_at(0);
    play.answer(100, activator("a"), Answer::Yes);
    play.answer(100, activator("b"), Answer::Yes);
    play.roster.insert(activator("a"), Some(Incarnation(2)));
    assert_eq!(play.answer(200, sidecar(), Answer::Yes), told(Ending::Released));
}

#[test]
fn an_answer_of_another_incarnation_or_round_does_not_count() {
    let mut play = Play::asked_at(0);
    let from = activator("a");
    let stranger = Event::Answered { from: from.clone(), incarnation: Incarnation(9), id: id(1), answer: Answer::Yes };
    let straggler = Event::Answered { from, incarnation: Incarnation(1), id: id(0), answer: Answer::Yes };
    play.tell(100, stranger);
    play.tell(100, straggler);
    play.answer(100, activator("b"), Answer::Yes);
    assert_eq!(play.answer(100, sidecar(), Answer::Yes), []);
}

#[test]
fn an_answer_that_comes_too_late_for_a_patch_in_time_releases() {
    let mut play = Play::asked_at(0);
    play.answer(100, activator("a"), Answer::Yes);
    play.answer(100, activator("b"), Answer::Yes);
    assert_eq!(play.answer(1_501, sidecar(), Answer::Yes), told(Ending::Released));
}

#[test]
fn nothing_is_patched_past_the_renew_deadline() {
    let mut play = Play::asked_at(0);
    play.lead_until = at(100);
    play.answer(50, activator("a"), Answer::Yes);
    play.answer(50, activator("b"), Answer::Yes);
    assert_eq!(play.answer(101, sidecar(), Answer::Yes), told(Ending::Released));
    assert_eq!(play.wanted(60_000), []);
}

#[test]
fn a_conflict_releases() {
    let mut play = Play::patched_at(100);
    assert_eq!(play.end(200, PatchEnd::NotDone), told(Ending::Released));
}

#[test]
fn an_unknown_end_is_read_until_it_is_known() {
    let mut play = Play::patched_at(100);
    assert_eq!(play.end(200, PatchEnd::Unknown), [Deed::ReadScale { begun: at(200) }]);
    // Unchanged, but the patch may still be under way.
    assert_eq!(play.read(210, 200, 1, "v1"), []);
    assert_eq!(play.leader.look_again_at(), Some(at(460)));
    assert_eq!(play.tell(1_600, Event::Time), [Deed::ReadScale { begun: at(1_600) }]);
    // The answer to the older read comes again: it does not speak for the newer one.
    assert_eq!(play.read(1_610, 200, 1, "v1"), []);
    assert_eq!(play.read(1_620, 1_600, 1, "v1"), told(Ending::Released));
}

#[test]
fn a_read_that_shows_zero_or_another_version_commits() {
    for (replicas, at_version) in [(0, "v2"), (1, "v3")] {
        let mut play = Play::patched_at(100);
        play.end(200, PatchEnd::Unknown);
        assert_eq!(play.read(210, 200, replicas, at_version), told(Ending::Committed));
    }
}

#[test]
fn a_patch_that_never_ends_is_read_after() {
    let mut play = Play::patched_at(100);
    assert_eq!(play.leader.look_again_at(), Some(at(1_600)));
    assert_eq!(play.tell(1_600, Event::Time), [Deed::ReadScale { begun: at(1_600) }]);
    // A definite answer still counts when it comes after all.
    assert_eq!(play.end(1_610, PatchEnd::Done), told(Ending::Committed));
}

#[test]
fn the_silent_one_blocks_zero_and_is_named_after_a_minute() {
    let mut play = Play::asked_at(0);
    play.answer(100, activator("a"), Answer::Yes);
    play.answer(100, sidecar(), Answer::Yes);
    assert_eq!(play.leader.look_again_at(), Some(at(1_500)));
    assert_eq!(play.tell(1_500, Event::Time), told(Ending::Released));
    play.roster.insert(activator("b"), None);
    assert_eq!(play.wanted(30_000), []);
    assert_eq!(play.leader.blocked_by(at(59_999)).count(), 0);
    let named: Vec<_> = play.leader.blocked_by(at(60_000)).map(|(member, _)| member.clone()).collect();
    assert_eq!(named, [activator("b")]);
    // Its pod is gone: it counts no more, and the rest may go on.
    play.roster.remove(&activator("b"));
    assert_eq!(play.wanted(60_001).len(), 2);
    assert_eq!(play.leader.blocked_by(at(70_000)).count(), 0);
}

#[test]
fn without_an_activator_nobody_is_asked() {
    let mut play = Play::new();
    play.roster.retain(|member, _| matches!(member, Member::Sidecar(_)));
    assert_eq!(play.wanted(0), []);
}

#[test]
fn what_is_not_wanted_any_more_is_released_and_begun_afresh() {
    let mut play = Play::asked_at(0);
    assert_eq!(play.tell(100, Event::Unwanted), told(Ending::Released));
    assert_eq!(play.tell(101, Event::Unwanted), []);
    assert_eq!(play.wanted(102).len(), 3);
}

#[test]
fn a_higher_epoch_elsewhere_ends_this_leadership() {
    let mut play = Play::asked_at(0);
    let mut expected = told(Ending::Released);
    expected.push(Deed::StepDown);
    assert_eq!(play.answer(100, activator("a"), Answer::Outdated), expected);
    assert_eq!(play.wanted(60_000), []);
}

#[test]
fn a_lost_leadership_takes_back_what_was_asked_and_leaves_what_was_patched_to_time() {
    let mut play = Play::asked_at(0);
    assert_eq!(play.tell(100, Event::LeadershipLost), told(Ending::Released));
    let mut play = Play::patched_at(100);
    assert_eq!(play.tell(100, Event::LeadershipLost), []);
    assert_eq!(play.end(200, PatchEnd::Done), []);
}
