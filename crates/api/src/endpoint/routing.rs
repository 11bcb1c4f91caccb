//! `match` and `sticky` from YAML.

use std::sync::Arc;

use http::{HeaderName, Method};
use traffic::{Match, Pattern, Regex, Sticky};

use super::{TrafficTarget, bounds};
use crate::read::{Fields, NameRule, Spot};

/// What is between a client and the activator alone, and is taken out before anything is looked at
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
const OF_A_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// `targets`: whom `to` may name; `None` if they could not be read.
pub(super) fn read_matches(spot: &Spot<'_>, targets: Option<&[TrafficTarget]>) -> Option<Vec<Match>> {
    let matches = spot.entries(bounds::MATCHES)?.into_iter().map(|spot| {
        let mut fields = spot.clone().fields()?;
        let header = fields.get("header").map(|spot| read_named(spot, read_header_name));
        let cookie = fields.get("cookie").map(|spot| read_named(spot, |name| read_token(name).map(Arc::from)));
        let path = fields.get("path").map(read_path);
        let method = fields.get("method").map(|spot| read_method(&spot));
        let to = fields.need("to", "the name of an entry of `traffic`").and_then(|spot| read_to(&spot, targets));
        fields.done();
        if header.is_none() && cookie.is_none() && path.is_none() && method.is_none() {
            spot.refuse(bounds::ANY_CONDITION);
        }
        // What was at fault is left out here, and has been noted.
        Some(Match {
            header: header.flatten(),
            cookie: cookie.flatten(),
            path: path.flatten(),
            method: method.flatten(),
            to: to.unwrap_or_default(),
        })
    });
    let matches: Vec<Match> = matches.flatten().collect();
    let is_regex = |pattern: &&Pattern| matches!(pattern, Pattern::Regex(_));
    let patterns_of = |one: &Match| {
        let of =
            [one.path.as_ref(), one.header.as_ref().map(|named| &named.1), one.cookie.as_ref().map(|named| &named.1)];
        of.into_iter().flatten().filter(is_regex).count()
    };
    let regexes: usize = matches.iter().map(patterns_of).sum();
    if bounds::REGEXES < regexes {
        spot.refuse(format!("at most {} regular expressions in all; these are {regexes}", bounds::REGEXES));
    }
    Some(matches)
}

fn read_named<N>(spot: Spot<'_>, read_name: impl FnOnce(&Spot<'_>) -> Option<N>) -> Option<(N, Pattern)> {
    let mut fields = spot.clone().fields()?;
    let name = fields.need("name", bounds::TOKEN_WORDS).and_then(|spot| read_name(&spot));
    let pattern = read_comparison(&spot, &mut fields, |_, _| ());
    fields.done();
    Some((name?, pattern?))
}

fn read_path(spot: Spot<'_>) -> Option<Pattern> {
    let mut fields = spot.clone().fields()?;
    let pattern = read_comparison(&spot, &mut fields, |spot, text| {
        if !text.starts_with('/') || text.contains('?') {
            spot.refuse(bounds::PATH_WORDS);
        }
    });
    fields.done();
    pattern
}

/// `look`: what else has to hold of a text that is compared with as it stands.
fn read_comparison(spot: &Spot<'_>, fields: &mut Fields<'_>, look: impl Fn(&Spot<'_>, &str)) -> Option<Pattern> {
    let literal = |spot: Spot<'_>| {
        let text = read_short(&spot)?;
        look(&spot, &text);
        Some(Arc::from(text))
    };
    let exact = fields.get("exact").map(|spot| literal(spot).map(Pattern::Exact));
    let prefix = fields.get("prefix").map(|spot| literal(spot).map(Pattern::Prefix));
    let regex = fields.get("regex").map(|spot| read_regex(&spot).map(Pattern::Regex));
    let mut given = [exact, prefix, regex].into_iter().flatten();
    let (Some(one), None) = (given.next(), given.next()) else {
        spot.refuse(bounds::ONE_COMPARISON);
        return None;
    };
    one
}

fn read_regex(spot: &Spot<'_>) -> Option<Regex> {
    let text = read_short(spot)?;
    let regex = Regex::new(&text);
    if let Err(error) = &regex {
        spot.refuse(format!("a regular expression without look-around and back-references; in this one: {error}"));
    }
    regex.ok()
}

pub(super) fn read_short(spot: &Spot<'_>) -> Option<String> {
    let text = spot.text()?;
    let longest = bounds::LONGEST_MATCH;
    if longest < text.chars().count() as u64 {
        spot.refuse(format!("at most {longest} characters"));
        return None;
    }
    Some(text)
}

/// The name of a header or a cookie.
fn read_token(spot: &Spot<'_>) -> Option<String> {
    let text = read_short(spot)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-!#$%&*+.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        spot.refuse(bounds::TOKEN_WORDS);
        return None;
    }
    Some(text)
}

fn read_header_name(spot: &Spot<'_>) -> Option<HeaderName> {
    let name = HeaderName::try_from(read_token(spot)?).ok()?;
    if name.as_str().starts_with("rouse-") || OF_A_CONNECTION.contains(&name.as_str()) {
        spot.refuse(
            "a header that requests bring: those of Rouse and those of a connection are not there to be looked at",
        );
        return None;
    }
    Some(name)
}

fn read_method(spot: &Spot<'_>) -> Option<Method> {
    let text = spot.text()?;
    let longest = bounds::LONGEST_METHOD;
    let is_method = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || longest < text.len() as u64 {
        spot.refuse(format!("{}, at most {longest} characters", bounds::METHOD_WORDS));
        return None;
    }
    Method::from_bytes(text.as_bytes()).ok()
}

fn read_to(spot: &Spot<'_>, targets: Option<&[TrafficTarget]>) -> Option<usize> {
    let name = spot.name(NameRule::Subdomain)?;
    let targets = targets?;
    let found = targets.iter().position(|target| target.name() == name);
    // Where one could not be read nobody knows its name.
    if found.is_none() && targets.iter().all(|target| !target.name().is_empty()) {
        let names: Vec<&str> = targets.iter().map(|target| target.name()).collect();
        let names = names.join(" or ");
        spot.refuse(format!("an entry of `traffic`: {names}; one that is to get nothing else has percent 0 there"));
    }
    found
}

pub(super) fn read_sticky(spot: Spot<'_>) -> Option<Sticky> {
    let mut fields = spot.clone().fields()?;
    let header = fields.get("header").map(|spot| read_header_name(&spot).map(Sticky::Header));
    let set = fields.get("setCookie").map(|spot| (spot.boolean(), spot));
    let cookie = fields.get("cookie").map(|spot| {
        let set = set.as_ref().and_then(|(set, _)| *set).unwrap_or_default();
        Some(Sticky::Cookie { name: read_token(&spot)?.into(), set })
    });
    let address = fields.get("clientAddress").map(|spot| {
        let said = spot.boolean()?;
        if !said {
            spot.refuse(bounds::ONLY_TRUE);
        }
        Some(Sticky::ClientAddress)
    });
    fields.done();
    if let (Some((_, spot)), None) = (&set, &cookie) {
        spot.refuse(bounds::SET_COOKIE);
    }
    let mut given = [header, cookie, address].into_iter().flatten();
    let (Some(one), None) = (given.next(), given.next()) else {
        spot.refuse(bounds::ONE_KEY);
        return None;
    };
    one
}
