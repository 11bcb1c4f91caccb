use std::cell::Cell;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use units::Percent;

use super::*;
use crate::condition::Pattern;
use crate::split::Target;

/// `v1` with all, `v2` and `v3` with nothing, tagged `two` and `three`.
fn split() -> Split {
    let target = |revision: &str, percent, tag: Option<&str>| Target {
        revision: revision.into(),
        percent: Percent::new(percent).unwrap(),
        tag: tag.map(Into::into),
    };
    Split::new(vec![target("v1", 100, None), target("v2", 0, Some("two")), target("v3", 0, Some("three"))]).unwrap()
}

fn half() -> Split {
    let target = |revision: &str| Target { revision: revision.into(), percent: Percent::new(50).unwrap(), tag: None };
    Split::new(vec![target("v1"), target("v2")]).unwrap()
}

fn header(name: &'static str, to: usize) -> Match {
    let header = Some((HeaderName::from_static(name), Pattern::Prefix("".into())));
    Match { header, cookie: None, path: None, method: None, to }
}

fn by_user() -> Option<Sticky> {
    Some(Sticky::Header(HeaderName::from_static("x-user")))
}

fn rules(split: Split, matches: &[Match], sticky: Option<Sticky>) -> Rules {
    Rules::new(split, matches.into(), sticky).unwrap()
}

/// What is chosen, and whether it was somebody's turn.
fn choose(
    rules: &Rules,
    tag: Option<&str>,
    fields: &[(&'static str, &'static str)],
    turn: u64,
) -> (Option<Choice>, bool) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let client = IpAddr::from([192, 0, 2, 1]);
    let request = Request { method: &Method::GET, path: "/", headers: &headers, client };
    let counted = Cell::new(false);
    let count = || {
        counted.set(true);
        turn
    };
    (rules.choose(tag, request, count, || 7), counted.get())
}

fn decided(target: usize, because: Because) -> Option<Choice> {
    Some(Choice { target, because, set_cookie: None })
}

#[test]
fn a_tag_goes_before_a_match_that_before_stickiness_and_that_before_turns() {
    let rules = rules(half(), &[header("x-beta", 1)], by_user());
    let tagged = self::rules(split(), &[header("x-beta", 1)], by_user());
    let all = [("x-beta", "1"), ("x-user", "a")];
    assert_eq!(choose(&tagged, Some("three"), &all, 0), (decided(2, Because::Tag), false));
    assert_eq!(choose(&rules, None, &all, 0), (decided(1, Because::Match { position: 0 }), false));
    let (chosen, counted) = choose(&rules, None, &all[1..], 0);
    assert_eq!((chosen.map(|chosen| chosen.because), counted), (Some(Because::Sticky), false));
    let turns: Vec<_> = (0..4).map(|turn| choose(&rules, None, &[], turn)).collect();
    let turn = |target| (decided(target, Because::Weights), true);
    assert_eq!(turns, [turn(0), turn(1), turn(0), turn(1)]);
}

#[test]
fn a_tag_that_nobody_has_is_nobodys_whatever_would_come_next() {
    let rules = rules(split(), &[header("x-beta", 1)], by_user());
    assert_eq!(choose(&rules, Some("four"), &[("x-beta", "1")], 0), (None, false));
}

#[test]
fn of_two_matches_that_fit_the_first_decides() {
    let rules = rules(split(), &[header("x-a", 2), header("x-b", 1), header("x-a", 0)], None);
    let both = [("x-b", ""), ("x-a", "")];
    assert_eq!(choose(&rules, None, &both, 0).0, decided(2, Because::Match { position: 0 }));
    assert_eq!(choose(&rules, None, &both[..1], 0).0, decided(1, Because::Match { position: 1 }));
}

#[test]
fn a_match_leads_to_a_revision_that_has_nothing_else() {
    let rules = rules(split(), &[header("x-beta", 1)], None);
    assert_eq!(choose(&rules, None, &[("x-beta", "1")], 0).0, decided(1, Because::Match { position: 0 }));
    assert_eq!(choose(&rules, None, &[], 0).0, decided(0, Because::Weights));
}

#[test]
fn a_match_that_leads_nowhere_is_refused() {
    let refused = Rules::new(split(), [header("x-a", 0), header("x-b", 3)].into(), None).unwrap_err();
    assert_eq!(refused, NoSuchTarget { position: 1, to: 3 });
}

#[test]
fn who_has_no_cookie_gets_its_turn_and_one_with_which_it_stays() {
    let sticky = Sticky::Cookie { name: "session".into(), set: true };
    let rules = rules(half(), &[header("x-beta", 1)], Some(sticky));
    for turn in 0..8 {
        let (first, counted) = choose(&rules, None, &[("cookie", "other=1")], turn);
        let first = first.unwrap();
        assert_eq!((first.target, first.because, counted), (rules.split().pick(turn), Because::Weights, true));
        let cookie = first.set_cookie.unwrap();
        let cookie: &'static str = format!("{}={}", cookie.name, cookie.value).leak();
        // It is not given another one, and it does not take anybody's turn.
        assert_eq!(
            choose(&rules, None, &[("cookie", cookie)], turn + 1),
            (decided(first.target, Because::Sticky), false)
        );
    }
    assert_eq!(choose(&rules, None, &[("x-beta", "1")], 0).0.unwrap().set_cookie, None, "a match is no client's");
}
