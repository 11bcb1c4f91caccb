//! Which port of its own each endpoint has on every activator. Pure.
//!
//! What is in `status.activatorPort` is what counts: whoever has a port keeps it, and of two that have the same one the
//! older does. A newcomer gets the port that its UID hashes to, or the next one that is free, so that a port is not given
//! to another right after it was freed, and two leaders agree on most without having spoken.
//!
//! A freed port rests for an hour: a client or gateway that still sends to it must not reach another's model. What rests
//! is known to the programs that have seen it being freed, the standby too, and forgotten when all of them end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use units::Moment;

/// How long a freed port is given to nobody.
const REST: Duration = Duration::from_secs(3600);

/// An endpoint that is to have a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) uid: Arc<str>,
    pub(crate) created: Moment,
    /// What its status says.
    pub(crate) port: Option<u16>,
}

/// Who has which port.
#[derive(Debug)]
pub(crate) struct Ports {
    range: RangeInclusive<u16>,
    given: BTreeMap<Arc<str>, u16>,
    /// Freed ports, and until when they rest.
    resting: BTreeMap<u16, Moment>,
}

impl Ports {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, given: BTreeMap::new(), resting: BTreeMap::new() }
    }

    /// Looks at everybody who is to have a port; from then on [`Self::of`] answers for exactly these.
    pub(crate) fn look(&mut self, now: Moment, mut claims: Vec<Claim>) {
        claims.sort_by(|one, other| (one.created, &one.uid).cmp(&(other.created, &other.uid)));
        self.resting.retain(|_, until| now < *until);
        let before = std::mem::take(&mut self.given);
        let mut taken = BTreeSet::new();
        let mut newcomers = Vec::new();
        for claim in &claims {
            // What was given and is not in a status yet counts as if it were.
            let known = [claim.port, before.get(&claim.uid).copied()].into_iter().flatten();
            let mut known = known.filter(|port| self.range.contains(port));
            match known.find(|port| taken.insert(*port)) {
                Some(port) => {
                    self.given.insert(Arc::clone(&claim.uid), port);
                    // Whoever has it has it, whatever else was known of it.
                    self.resting.remove(&port);
                }
                None => newcomers.push(&claim.uid),
            }
        }
        for port in before.into_values().filter(|port| !taken.contains(port)) {
            self.resting.insert(port, now.plus(REST));
        }
        for uid in newcomers {
            let free = |port: &u16| !taken.contains(port) && !self.resting.contains_key(port);
            if let Some(port) = self.beginning_at_hash_of(uid).find(free) {
                taken.insert(port);
                self.given.insert(Arc::clone(uid), port);
            }
        }
    }

    /// The port of an endpoint. `None` if it was not among those that were looked at, or all are taken.
    pub(crate) fn of(&self, uid: &str) -> Option<u16> {
        self.given.get(uid).copied()
    }

    /// Every port once, from the one that a UID hashes to.
    fn beginning_at_hash_of(&self, uid: &str) -> impl Iterator<Item = u16> + use<> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let count = u64::from(last.saturating_sub(first)) + 1;
        // Less than the number of ports, so it fits.
        let start = first + u16::try_from(hash(uid) % count).unwrap_or(0);
        (start..=last).chain(first..start)
    }
}

/// FNV-1a: the same in every version of this program.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(seconds))
    }

    fn claim(uid: &str, created: u64, port: Option<u16>) -> Claim {
        Claim { uid: uid.into(), created: at(created), port }
    }

    fn ports(claims: &[Claim]) -> Ports {
        let mut ports = Ports::new(20_000..=20_009);
        ports.look(at(100), claims.to_vec());
        ports
    }

    #[test]
    fn a_newcomer_gets_what_its_uid_hashes_to_whoever_else_is_there() {
        let alone = ports(&[claim("a", 1, None)]).of("a");
        assert!(alone.is_some());
        assert_eq!(ports(&[claim("a", 1, None), claim("b", 2, None)]).of("a"), alone);
    }

    #[test]
    fn whoever_has_a_port_keeps_it_and_an_older_newcomer_goes_on_to_the_next() {
        let wish = ports(&[claim("a", 1, None)]).of("a").unwrap();
        let both = ports(&[claim("a", 1, None), claim("b", 2, Some(wish))]);
        assert_eq!(both.of("b"), Some(wish));
        assert_ne!(both.of("a"), Some(wish));
    }

    #[test]
    fn of_two_with_the_same_port_the_older_keeps_it() {
        let both = ports(&[claim("young", 2, Some(20_004)), claim("old", 1, Some(20_004))]);
        assert_eq!(both.of("old"), Some(20_004));
        assert!(both.of("young").is_some_and(|port| port != 20_004));
    }

    #[test]
    fn a_port_outside_of_the_range_is_given_up() {
        assert!(ports(&[claim("a", 1, Some(9_000))]).of("a").is_some_and(|port| port != 9_000));
    }

    #[test]
    fn what_was_given_stays_until_it_is_seen_in_the_status() {
        let mut ports = ports(&[claim("b", 2, None)]);
        let given = ports.of("b");
        // One that is older and hashes to the same place would go first.
        ports.look(at(101), vec![claim("b", 2, None), claim("a", 1, None), claim("c", 1, None)]);
        assert_eq!(ports.of("b"), given);
    }

    #[test]
    fn a_freed_port_rests_for_an_hour() {
        let mut ports = Ports::new(20_000..=20_000);
        ports.look(at(0), vec![claim("a", 1, None)]);
        ports.look(at(1), vec![claim("b", 2, None)]);
        assert_eq!(ports.of("b"), None);
        ports.look(at(3600), vec![claim("b", 2, None)]);
        assert_eq!(ports.of("b"), None);
        ports.look(at(3601), vec![claim("b", 2, None)]);
        assert_eq!(ports.of("b"), Some(20_000));
    }

    #[test]
    fn when_all_are_taken_there_is_none() {
        let claims: Vec<Claim> = (0..12).map(|number| claim(&format!("uid-{number}"), number, None)).collect();
        let ports = ports(&claims);
        assert_eq!(claims.iter().filter(|claim| ports.of(&claim.uid).is_some()).count(), 10);
        assert_eq!((ports.of("uid-10"), ports.of("uid-11")), (None, None));
    }

    proptest! {
        #[test]
        fn no_two_have_the_same_port_and_nobody_loses_one_that_was_their_own(
            first in proptest::collection::btree_map("[a-z]{1,3}", (0u64..20, proptest::option::of(20_000u16..20_012)), 0..12),
            second in proptest::collection::btree_map("[a-z]{1,3}", (0u64..20, proptest::option::of(20_000u16..20_012)), 0..12),
        ) {
            let mut ports = Ports::new(20_000..=20_009);
            let claims = |told: &BTreeMap<String, (u64, Option<u16>)>, ports: &Ports| -> Vec<Claim> {
                told.iter().map(|(uid, (created, said))| claim(uid, *created, ports.of(uid).or(*said))).collect()
            };
            ports.look(at(0), claims(&first, &ports));
            let before: BTreeMap<String, Option<u16>> = first.keys().map(|uid| (uid.clone(), ports.of(uid))).collect();
            // A newcomer that says it has a port of another's may be older, and then it is right.
            let second: BTreeMap<_, _> = second.into_iter().map(|(uid, (created, _))| (uid, (created, None))).collect();
            ports.look(at(1), claims(&second, &ports));
            let given: Vec<u16> = second.keys().filter_map(|uid| ports.of(uid)).collect();
            let distinct: BTreeSet<u16> = given.iter().copied().collect();
            prop_assert_eq!(distinct.len(), given.len());
            for uid in second.keys() {
                if let Some(Some(port)) = before.get(uid) {
                    prop_assert_eq!(ports.of(uid), Some(*port));
                }
            }
        }
    }
}
