use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use units::Percent;

use super::*;
use crate::split::Target;

const KEYS: usize = 10_000;

fn split(shares: &[(&str, u8)]) -> Split {
    let target = |(revision, percent): &(&str, u8)| Target {
        revision: Arc::from(*revision),
        percent: Percent::new(*percent).unwrap(),
        tag: None,
    };
    Split::new(shares.iter().map(target).collect()).unwrap()
}

fn chosen<'s>(split: &'s Split, key: &str) -> &'s str {
    &split.targets()[split.by_key(Key::of([key.as_bytes()]))].revision
}

/// Keys as people have them: all alike but for a few digits at the end.
fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("user-{number}"))
}

/// From which revision to which, for each key that moved.
fn moves(from: &[(&str, u8)], to: &[(&str, u8)]) -> Vec<(String, String)> {
    let (from, to) = (split(from), split(to));
    let ends = keys().map(|key| (chosen(&from, &key).to_owned(), chosen(&to, &key).to_owned()));
    ends.filter(|(from, to)| from != to).collect()
}

#[test]
fn from_90_and_10_to_80_and_20_a_tenth_of_the_keys_moves_and_only_from_the_first_to_the_second() {
    let moves = moves(&[("v1", 90), ("v2", 10)], &[("v1", 80), ("v2", 20)]);
    assert!((900..=1_100).contains(&moves.len()), "{}", moves.len());
    assert!(moves.iter().all(|(from, to)| from == "v1" && to == "v2"));
}

#[test]
fn among_three_no_more_than_13_of_100_keys_move_for_a_tenth_and_none_back() {
    let moves = moves(&[("v1", 50), ("v2", 20), ("v3", 30)], &[("v1", 40), ("v2", 30), ("v3", 30)]);
    assert!((1_000..=1_300).contains(&moves.len()), "{}", moves.len());
    assert!(
        moves.iter().all(|(from, to)| from != "v2" && to != "v1"),
        "who loses gets nothing, who gains gives nothing"
    );
}

#[test]
fn three_whose_last_gains_move_no_more_than_13_of_100() {
    let moves = moves(&[("v1", 50), ("v2", 30), ("v3", 20)], &[("v1", 40), ("v2", 30), ("v3", 30)]);
    assert!((1_000..=1_300).contains(&moves.len()), "{}", moves.len());
    assert!(moves.iter().all(|(from, to)| from != "v3" && to != "v1"));
}

#[test]
fn a_revision_that_comes_takes_its_share_and_one_that_goes_leaves_it() {
    let (two, three) = ([("v1", 50), ("v2", 50)], [("v1", 45), ("v2", 45), ("v3", 10)]);
    assert!(moves(&two, &three).iter().all(|(_, to)| to == "v3"));
    assert!(moves(&three, &two).iter().all(|(from, _)| from == "v3"));
}

#[test]
fn the_same_key_leads_to_the_same_revision_for_ever() {
    // Written down once: whatever changes these sends every client of every endpoint to another revision.
    let split = split(&[("v1", 25), ("v2", 25), ("v3", 25), ("v4", 25)]);
    let chosen: Vec<&str> = ["a", "b", "c", "session-1", "session-2", "192.0.2.1", "ä", "f"]
        .into_iter()
        .map(|key| chosen(&split, key))
        .collect();
    assert_eq!(chosen, ["v2", "v3", "v4", "v1", "v1", "v1", "v3", "v3"]);
}

#[test]
fn a_revision_with_nothing_gets_no_key_and_one_with_all_gets_each() {
    let split = split(&[("v1", 0), ("v2", 100), ("v3", 0)]);
    assert!(keys().all(|key| chosen(&split, &key) == "v2"));
}

/// Revisions with percents that add up to 100.
fn shares() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..=100, 1..6).prop_map(|mut cuts| {
        cuts.extend([0, 100]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

const NAMES: [&str; 7] = ["v1", "v2", "v3", "recommender-2026-11", "d", "e", "f"];

fn named(percents: &[u8]) -> Vec<(&'static str, u8)> {
    NAMES.into_iter().zip(percents.iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn each_revision_has_its_share_of_the_keys(percents in shares()) {
        let shares = named(&percents);
        let split = split(&shares);
        for (name, percent) in shares {
            let got = keys().filter(|key| chosen(&split, key) == name).count();
            // 50 is the standard deviation of a half of 10,000; five of them.
            prop_assert!(got.abs_diff(usize::from(percent) * KEYS / 100) <= 250, "{}: {} of {}", name, got, percent);
        }
    }

    #[test]
    fn in_another_order_the_same_revision_is_chosen(percents in shares(), turn in 0_usize..7, key in "[a-z0-9]{1,20}") {
        let mut shares = named(&percents);
        let before = chosen(&split(&shares), &key).to_owned();
        let turn = turn % shares.len();
        shares.rotate_left(turn);
        shares.reverse();
        let turned = split(&shares);
        prop_assert_eq!(before, chosen(&turned, &key));
    }

    #[test]
    fn a_key_moves_only_from_who_lost_to_who_gained(from in shares(), to in shares(), key in "[a-z0-9]{1,20}") {
        let (from, to) = (named(&from), named(&to));
        let share = |shares: &[(&str, u8)], name: &str| {
            shares.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, percent)| f64::from(*percent))
        };
        let (before, after) = (split(&from), split(&to));
        let (before, after) = (chosen(&before, &key), chosen(&after, &key));
        if before != after {
            // Of the two the one that it went to gained on the one that it left.
            prop_assert!(share(&from, after) * share(&to, before) < share(&to, after) * share(&from, before));
        }
    }

    #[test]
    fn a_new_cookie_leads_to_the_revision_that_its_client_got(percents in shares(), turn in 0_u64..100, random: u64) {
        let split = split(&named(&percents));
        let target = split.pick(turn);
        let sticky = Sticky::Cookie { name: "session".into(), set: true };
        let cookie = sticky.new_cookie(&split, target, || random).unwrap();
        prop_assert_eq!(split.by_key(Key::of([cookie.value.as_bytes()])), target);
        prop_assert!(cookie.value.len() == 16 && cookie.value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn two_clients_without_a_cookie_are_given_different_ones() {
    let split = split(&[("v1", 50), ("v2", 50)]);
    let sticky = Sticky::Cookie { name: "session".into(), set: true };
    let drawn = |random| sticky.new_cookie(&split, 0, || random).unwrap().value;
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn their_own_cookie_is_never_made() {
    let split = split(&[("v1", 100)]);
    for sticky in [Sticky::Cookie { name: "a".into(), set: false }, Sticky::ClientAddress] {
        assert_eq!(sticky.new_cookie(&split, 0, || unreachable!()), None);
    }
}

fn key(sticky: &Sticky, fields: &[(&'static str, &'static str)], client: &str) -> Option<Key> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let client = client.parse().unwrap();
    sticky.key(Request { method: &Method::GET, path: "/", headers: &headers, client })
}

#[test]
fn the_value_of_a_header_says_whose_it_is_in_one_field_or_in_several() {
    let of = |fields: &[(&'static str, &'static str)]| {
        key(&Sticky::Header(HeaderName::from_static("x-user")), fields, "192.0.2.1")
    };
    assert_eq!(of(&[("X-User", "a")]), Some(Key::of([&b"a"[..]])));
    assert_ne!(of(&[("x-user", "a")]), of(&[("x-user", "b")]));
    assert_eq!(of(&[("x-user", "a"), ("x-user", "b")]), of(&[("x-user", "a, b")]));
    assert_eq!((of(&[]), of(&[("x-user", "")]), of(&[("user", "a")])), (None, None, None));
}

#[test]
fn the_value_of_a_cookie_says_whose_it_is() {
    let of = |cookies| {
        let sticky = Sticky::Cookie { name: "session".into(), set: true };
        key(&sticky, &[("cookie", cookies)], "192.0.2.1")
    };
    assert_eq!(of("a=1; session=x; session=y"), Some(Key::of([&b"x"[..]])));
    assert_eq!((of("a=1"), of("session="), of("Session=x")), (None, None, None));
}

#[test]
fn an_address_says_whose_it_is_in_whichever_way_it_is_written() {
    let of = |client| key(&Sticky::ClientAddress, &[], client);
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
}
