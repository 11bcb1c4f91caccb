//! Whom to take and how many to start, as rules over plain values.

use std::sync::Arc;

use platform::{Replica, ReplicaState};
use tokio_util::sync::CancellationToken;
use units::{Moment, ReplicaCount};

/// A replica as its fleet knows it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) number: u64,
    /// The generation of the workload it was started from.
    pub(crate) generation: u64,
    /// As it stands on the board.
    pub(crate) replica: Replica,
    /// Since when it has been ready, whether or not it still is.
    pub(crate) ready_since: Option<Moment>,
    leave: CancellationToken,
}

impl Member {
    /// One that has just been made. `leave` is what it listens to.
    pub(crate) fn new(number: u64, name: Arc<str>, generation: u64, now: Moment, leave: CancellationToken) -> Self {
        let state = ReplicaState::Starting;
        let replica = Replica { name, address: None, encrypted: false, state, since: now, created: now, spawned: None };
        Self { number, generation, replica, ready_since: None, leave }
    }

    /// Changes its state, if it differs.
    pub(crate) fn enter(&mut self, state: ReplicaState, now: Moment) {
        if self.replica.state != state {
            self.replica.state = state;
            self.replica.since = now;
        }
    }

    /// Asks it to leave. Asking again changes nothing.
    pub(crate) fn take_leave(&mut self, now: Moment) {
        self.enter(ReplicaState::Leaving, now);
        self.leave.cancel();
    }

    fn stays(&self) -> bool {
        self.replica.state != ReplicaState::Leaving
    }
}

/// Asks as many to leave as are too many.
///
/// Members of an older generation serve on until as many of the new one are ready. Among equals the `victims` go
/// first, in their order; then who is not ready, then the youngest.
pub(crate) fn take_surplus(
    members: &mut [Member],
    generation: u64,
    wanted: ReplicaCount,
    victims: &[Arc<str>],
    now: Moment,
) {
    let wanted = wanted.0 as usize;
    let ready_new = staying(members, generation).filter(|new| new.replica.state == ReplicaState::Ready).count();
    let old_allowed = wanted.saturating_sub(ready_new);
    take_all_but(
        old_allowed,
        members.iter_mut().filter(|old| old.stays() && old.generation != generation),
        victims,
        now,
    );
    take_all_but(wanted, members.iter_mut().filter(|new| new.stays() && new.generation == generation), victims, now);
}

fn take_all_but<'a>(allowed: usize, among: impl Iterator<Item = &'a mut Member>, victims: &[Arc<str>], now: Moment) {
    let mut among: Vec<&mut Member> = among.collect();
    let surplus = among.len().saturating_sub(allowed);
    among.sort_by_key(|member| {
        let named = victims.iter().position(|victim| *victim == member.replica.name).unwrap_or(usize::MAX);
        (named, readiness(member.replica.state), std::cmp::Reverse(member.number))
    });
    for member in among.into_iter().take(surplus) {
        member.take_leave(now);
    }
}

/// Who is worth less goes first.
fn readiness(state: ReplicaState) -> u8 {
    match state {
        ReplicaState::Leaving | ReplicaState::Starting => 0,
        ReplicaState::Unready => 1,
        ReplicaState::Ready => 2,
    }
}

/// How many are to be started. While an older generation serves, new ones come one at a time: a machine that carries
/// so many models may not have room for twice as many.
pub(crate) fn missing(members: &[Member], generation: u64, wanted: ReplicaCount) -> usize {
    let wanted = wanted.0 as usize;
    let new = staying(members, generation).count();
    let replacing = members.iter().any(|old| old.stays() && old.generation != generation);
    if !replacing {
        return wanted.saturating_sub(new);
    }
    let ready = staying(members, generation).filter(|new| new.replica.state == ReplicaState::Ready).count();
    wanted.min(ready + 1).saturating_sub(new)
}

fn staying(members: &[Member], generation: u64) -> impl Iterator<Item = &Member> {
    members.iter().filter(move |member| member.stays() && member.generation == generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix_millis(1_000_000);

    /// From words like "1:ready 2:starting 3:old"; `old` is ready and of the generation before.
    fn members(words: &str) -> Vec<Member> {
        words
            .split_whitespace()
            .map(|word| {
                let (number, kind) = word.split_once(':').unwrap();
                let generation = if kind == "old" { 1 } else { 2 };
                let name = format!("m-{number}").into();
                let mut member = Member::new(number.parse().unwrap(), name, generation, NOW, CancellationToken::new());
                match kind {
                    "starting" => {}
                    "ready" | "old" => member.enter(ReplicaState::Ready, NOW),
                    "unready" => member.enter(ReplicaState::Unready, NOW),
                    _ => panic!("{kind}?"),
                }
                member
            })
            .collect()
    }

    /// Who is left of `words` when `wanted` are to stay.
    fn left(words: &str, wanted: u32, victims: &[&str]) -> Vec<u64> {
        let mut members = members(words);
        let victims: Vec<Arc<str>> = victims.iter().map(|name| Arc::from(*name)).collect();
        take_surplus(&mut members, 2, ReplicaCount(wanted), &victims, NOW);
        members.iter().filter(|member| member.stays()).map(|member| member.number).collect()
    }

    #[test]
    fn named_victims_go_first_in_their_order() {
        assert_eq!(left("1:ready 2:ready 3:ready", 2, &["m-1", "m-3"]), [2, 3]);
        assert_eq!(left("1:ready 2:starting 3:ready", 2, &["m-3"]), [1, 2]);
        assert_eq!(left("1:ready 2:ready 3:ready", 3, &["m-1"]), [1, 2, 3]);
    }

    #[test]
    fn of_the_unnamed_who_is_not_ready_goes_first_and_then_the_youngest() {
        assert_eq!(left("1:starting 2:unready 3:ready 4:ready", 3, &[]), [2, 3, 4]);
        assert_eq!(left("1:starting 2:unready 3:ready 4:ready", 1, &[]), [3]);
    }

    #[test]
    fn the_old_serve_until_the_new_are_ready() {
        assert_eq!(left("1:old 2:old 3:starting", 2, &[]), [1, 2, 3]);
        assert_eq!(left("1:old 2:old 3:ready", 2, &[]), [1, 3]);
        assert_eq!(left("1:old 2:old 3:ready 4:ready", 2, &[]), [3, 4]);
        assert_eq!(left("1:old 2:old 3:starting", 0, &[]), [0_u64; 0]);
    }

    #[test]
    fn the_new_come_one_at_a_time_while_the_old_serve() {
        let missing = |words: &str| missing(&members(words), 2, ReplicaCount(3));
        assert_eq!(missing(""), 3);
        assert_eq!(missing("1:ready"), 2);
        assert_eq!(missing("1:old 2:old 3:old"), 1);
        assert_eq!(missing("1:old 2:old 3:old 4:starting"), 0);
        assert_eq!(missing("1:old 2:old 4:ready"), 1);
    }
}
