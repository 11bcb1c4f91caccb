use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderValue};

use super::*;

fn exact(text: &str) -> Pattern {
    Pattern::Exact(text.into())
}

fn prefix(text: &str) -> Pattern {
    Pattern::Prefix(text.into())
}

fn regex(source: &str) -> Pattern {
    Pattern::Regex(Regex::new(source).unwrap())
}

fn any() -> Match {
    Match { header: None, cookie: None, path: None, method: None, to: 0 }
}

fn header(name: &'static str, pattern: Pattern) -> Match {
    Match { header: Some((HeaderName::from_static(name), pattern)), ..any() }
}

fn cookie(name: &str, pattern: Pattern) -> Match {
    Match { cookie: Some((name.into(), pattern)), ..any() }
}

fn path(pattern: Pattern) -> Match {
    Match { path: Some(pattern), ..any() }
}

fn fits(one: &Match, method: &str, path: &str, fields: &[(&str, &[u8])]) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    one.fits(Request { method: &method, path, headers: &headers, client: Ipv4Addr::LOCALHOST.into() })
}

#[test]
fn a_header_is_found_whatever_the_case_of_its_name_and_compared_letter_for_letter() {
    let beta = header("x-beta", exact("Yes"));
    assert!(fits(&beta, "GET", "/", &[("X-Beta", b"Yes")]));
    for (name, value) in [("x-beta", "yes"), ("x-beta", "Yes!"), ("x-beta", ""), ("x-bet", "Yes")] {
        assert!(!fits(&beta, "GET", "/", &[(name, value.as_bytes())]), "{name}: {value}");
    }
}

#[test]
fn of_several_headers_of_one_name_one_has_to_fit() {
    let beta = header("x-beta", exact("1"));
    assert!(fits(&beta, "GET", "/", &[("x-beta", b"0"), ("x-beta", b"1")]));
    assert!(!fits(&beta, "GET", "/", &[("x-beta", b"0"), ("x-beta", b"0, 1")]), "a list is not taken apart");
}

#[test]
fn of_several_cookies_of_one_name_one_has_to_fit() {
    let beta = cookie("beta", prefix("on"));
    assert!(fits(&beta, "GET", "/", &[("cookie", b"a=1; beta=off; beta=online")]));
    assert!(!fits(&beta, "GET", "/", &[("cookie", b"a=on; Beta=on")]));
    assert!(!fits(&beta, "GET", "/", &[("beta", b"on")]));
}

#[test]
fn a_path_fits_whole_or_by_its_begin() {
    assert!(fits(&path(exact("/v2/models")), "GET", "/v2/models", &[]));
    assert!(!fits(&path(exact("/v2/models")), "GET", "/v2/models/", &[]));
    assert!(fits(&path(prefix("/v2/")), "GET", "/v2/models/iris", &[]));
    assert!(!fits(&path(prefix("/v2/")), "GET", "/v2", &[]));
    assert!(!fits(&path(prefix("/v2/")), "GET", "/%762/models", &[]), "nothing is decoded");
}

#[test]
fn a_regular_expression_has_to_fit_the_whole_text() {
    let user = header("x-user", regex("a|ab|user-[0-9]{1,3}"));
    for (value, does) in
        [("a", true), ("ab", true), ("user-12", true), ("abc", false), ("xa", false), ("user-1234", false)]
    {
        assert_eq!(fits(&user, "GET", "/", &[("x-user", value.as_bytes())]), does, "{value}");
    }
    assert!(fits(&header("x-user", regex("")), "GET", "/", &[("x-user", b"")]));
    assert!(!fits(&header("x-user", regex("")), "GET", "/", &[("x-user", b"a")]));
    // In lines of its own it is the whole text still.
    assert!(!fits(&path(regex("(?m)^/a$")), "GET", "/a\n/b", &[]));
}

#[test]
fn bytes_that_are_no_text_are_compared_too() {
    let value: &[u8] = b"caf\xe9";
    assert!(fits(&header("x-a", regex("caf.")), "GET", "/", &[("x-a", value)]));
    assert!(fits(&header("x-a", prefix("caf")), "GET", "/", &[("x-a", value)]));
    assert!(!fits(&header("x-a", exact("café")), "GET", "/", &[("x-a", value)]));
    assert!(fits(&header("x-a", regex("café")), "GET", "/", &[("x-a", "café".as_bytes())]));
}

#[test]
fn all_conditions_have_to_hold() {
    let all = Match {
        header: Some((HeaderName::from_static("x-beta"), exact("1"))),
        cookie: Some(("c".into(), exact("1"))),
        path: Some(prefix("/v2/")),
        method: Some(Method::POST),
        to: 0,
    };
    let (beta, cookie) = (("x-beta", &b"1"[..]), ("cookie", &b"c=1"[..]));
    assert!(fits(&all, "POST", "/v2/a", &[beta, cookie]));
    assert!(!fits(&all, "GET", "/v2/a", &[beta, cookie]));
    assert!(!fits(&all, "POST", "/v1/a", &[beta, cookie]));
    assert!(!fits(&all, "POST", "/v2/a", &[cookie]));
    assert!(!fits(&all, "POST", "/v2/a", &[beta]));
}

#[test]
fn what_is_no_regular_expression_is_refused_with_the_reason() {
    let refused = |source| Regex::new(source).unwrap_err().to_string();
    assert_eq!(refused("(a"), "unclosed group");
    assert_eq!(refused("a)|(b"), "unopened group");
    assert_eq!(refused("a{1"), "unclosed counted repetition");
    assert_eq!(refused("(?=a)b"), "look-around, including look-ahead and look-behind, is not supported");
    assert_eq!(refused(r"(a)\1"), "backreferences are not supported");
}

#[test]
fn what_would_take_much_memory_or_time_is_refused() {
    for source in ["a{100000}", "(a{100}){100}", r"(?u)\w{100}", "[^/]{0,65535}"] {
        assert_eq!(Regex::new(source), Err(RegexError::TooLarge), "{source}");
    }
    assert_eq!(RegexError::TooLarge.to_string(), "it takes more than 16 KiB once it is compiled");
    // While what people write is far from it.
    for source in [
        "user-[0-9]{1,20}@example[.]com",
        r"(?i)bot|crawler|spider",
        "[^/]{1,64}/[0-9a-f]{8}-[0-9a-f]{4}",
        "[^/]{100}",
        "(?:alpha|beta|gamma){1,3}(?:,(?:alpha|beta|gamma))*",
    ] {
        assert!(Regex::new(source).is_ok(), "{source}");
    }
}

#[test]
fn what_a_regular_expression_may_cost_is_bounded_by_what_it_is_tried_with() {
    let any_path = path(regex("/a*"));
    let long = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(fits(&any_path, "GET", &long(LONGEST_FOR_REGEX), &[]));
    assert!(!fits(&any_path, "GET", &long(LONGEST_FOR_REGEX + 1), &[]));
    assert!(fits(&path(prefix("/a")), "GET", &long(LONGEST_FOR_REGEX + 1), &[]));
    let mut values: Vec<(&str, &[u8])> = vec![("x-a", b"no"); MOST_VALUES_FOR_REGEX - 1];
    values.push(("x-a", b"yes"));
    assert!(fits(&header("x-a", regex("yes")), "GET", "/", &values));
    values.insert(0, ("x-a", b"no"));
    assert!(!fits(&header("x-a", regex("yes")), "GET", "/", &values));
    assert!(fits(&header("x-a", exact("yes")), "GET", "/", &values));
}
