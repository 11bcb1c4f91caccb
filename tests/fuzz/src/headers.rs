//! Heads of requests and answers on their way through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use forward::fuzzing::{prepare_answer, prepare_request, uri_for_http1, uri_for_http2};
use forward::{Form, Noted, Origin, REQUEST_ID, Reason, Refusal, SHADOW, grpc_timeout};
use futures_util::FutureExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::BodyExt as _;

/// More than hyper lets through is of no interest.
const MOST_FIELDS: usize = 100;

const OF_ONE_CONNECTION: [&str; 7] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "connection",
    "upgrade",
];

/// The input is text: `METHOD ADDRESS VERSION [rouse] [v6]`, fields, an empty line, fields of the answer, an empty line,
/// the detail of a refusal.
pub fn headers(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some((head, from, peer)) = request(&mut lines) else { return };
    let answer = fields(&mut lines);
    let detail = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();

    the_time_out_is_what_is_written(&head.headers);
    let form = Form::for_request(&head.headers);
    a_refusal_can_be_read(form, &detail, data.len());
    a_request_is_made_ready(head, from, peer);
    for upgraded in [false, true] {
        an_answer_is_made_ready(answer.clone(), from, upgraded);
    }
}

fn request<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> Option<(Parts, Origin, IpAddr)> {
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(words.next()?).ok()?;
    *request.uri_mut() = words.next()?.try_into().ok()?;
    *request.version_mut() = match words.next()? {
        b"1.0" => Version::HTTP_10,
        b"2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let words: Vec<&[u8]> = words.collect();
    let from = if words.contains(&b"rouse".as_slice()) { Origin::Rouse } else { Origin::Stranger };
    let peer = if words.contains(&b"v6".as_slice()) {
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 0, 203, 7))
    };
    *request.headers_mut() = fields(lines);
    Some((request.into_parts().0, from, peer))
}

/// Fields up to an empty line. What is none is passed over: hyper would not have let it in.
fn fields<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()).take(MOST_FIELDS) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn a_request_is_made_ready(came: Parts, from: Origin, peer: IpAddr) {
    let mut head = came.clone();
    let Ok(noted) = prepare_request(&mut head, peer, from) else {
        let hosts = came.headers.get_all(HOST).iter().count();
        let is_host_bad = came.uri.authority().is_some() || hosts != 1 || !is_host(&came.headers);
        let is_long = came.uri.path_and_query().is_some_and(|target| 32 << 10 < target.as_str().len());
        assert!(
            came.method == Method::CONNECT || is_host_bad || is_long || is_coded(&came.headers),
            "refused for nothing"
        );
        return;
    };
    assert!(!is_coded(&came.headers), "a coded body would be taken for a plain one");
    let headers = &head.headers;
    nothing_of_one_connection(headers, noted.upgrade);
    if noted.upgrade {
        assert_eq!(came.version, Version::HTTP_11, "only HTTP/1.1 can be upgraded");
        assert_eq!(headers.get_all(UPGRADE).iter().count(), came.headers.get_all(UPGRADE).iter().count());
    }
    assert!(headers.get_all(TE).iter().all(|te| te == "trailers"), "te says more than trailers");
    assert!(!headers.contains_key(EXPECT));
    for name in headers.keys().map(HeaderName::as_str) {
        let is_shadow = from == Origin::Rouse && name == SHADOW.as_str();
        assert!(is_shadow || !steers(name), "{name} would steer");
    }

    let chain: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    assert_eq!(chain.len(), 1, "the chain is one field");
    assert!(chain[0].as_bytes().ends_with(peer.to_string().as_bytes()), "the chain ends with the peer");
    assert!(headers.contains_key("x-forwarded-proto"));
    assert!(headers.contains_key(REQUEST_ID));
    assert_eq!(head.method, came.method);
    let hosts = headers.get_all(HOST).iter().count();
    assert_eq!(hosts, 1);
    if let Some(authority) = came.uri.authority() {
        assert_eq!(headers[HOST].as_bytes(), authority.as_str().as_bytes(), "the address goes before the field");
    }

    let named = named_in_connection(&came.headers);
    for name in came.headers.keys() {
        let gone = OF_ONE_CONNECTION.contains(&name.as_str()) || named.contains(name) || steers(name.as_str());
        let changed = [HOST, TE, EXPECT, FORWARDED].contains(name) || name.as_str().starts_with("x-forwarded-");
        let changed = changed || (*name == COOKIE && came.version == Version::HTTP_2);
        let changed = changed || (*name == CONTENT_LENGTH && came.headers.contains_key(TRANSFER_ENCODING));
        if !gone && !changed {
            assert!(headers.get_all(name).iter().eq(came.headers.get_all(name)), "{name} was changed");
        }
    }
    for name in [AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE] {
        let is_false = name == CONTENT_LENGTH && came.headers.contains_key(TRANSFER_ENCODING)
            || name == COOKIE && came.version == Version::HTTP_2;
        assert!(is_false || headers.get_all(&name).iter().eq(came.headers.get_all(&name)), "{name} was taken out");
    }
    let cookies = |headers: &HeaderMap| {
        let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(|crumb| crumb.as_bytes().to_vec()).collect();
        (crumbs.len(), crumbs.join(&b"; "[..]))
    };
    let ((before, cookie), (after, joined)) = (cookies(&came.headers), cookies(headers));
    assert!(joined == cookie, "a crumb was lost or changed");
    assert!(after == before || (came.version == Version::HTTP_2 && after == 1), "{after} of {before} crumbs");

    the_address_survives_both_forms(&head);
    another_hop_changes_nothing_more(head, &noted);
}

fn another_hop_changes_nothing_more(head: Parts, noted: &Noted) {
    let mut again = head.clone();
    let next = prepare_request(&mut again, IpAddr::V4(Ipv4Addr::LOCALHOST), Origin::Rouse).expect("a second hop");
    assert_eq!((next.upgrade, next.grpc), (noted.upgrade, noted.grpc));
    assert_eq!(next.idempotent, noted.idempotent);
    assert!(!next.expects_continue);
    let differing = |name: &HeaderName| !head.headers.get_all(name).iter().eq(again.headers.get_all(name));
    let differing: Vec<&str> = again.headers.keys().filter(|name| differing(name)).map(HeaderName::as_str).collect();
    assert!(
        differing.iter().all(|name| ["x-forwarded-for", "forwarded"].contains(name)),
        "the second hop changed {differing:?}"
    );
}

fn the_address_survives_both_forms(head: &Parts) {
    let (mut uri, mut headers) = (head.uri.clone(), head.headers.clone());
    let path = |uri: &http::Uri| uri.path_and_query().map_or("/".to_owned(), |path| path.as_str().to_owned());
    // HTTP/2 has no request without a host.
    let host = headers.get(HOST).map(|host| if host.is_empty() { "localhost".as_bytes() } else { host.as_bytes() });
    let (host, before) = (host.map(<[u8]>::to_vec), path(&uri));
    for _ in 0..2 {
        uri_for_http2(&mut uri, &mut headers);
        assert_eq!(path(&uri), before);
        uri_for_http1(&mut uri, &mut headers);
        assert!(uri.authority().is_none() && uri.scheme().is_none());
        assert_eq!(path(&uri), before);
        assert_eq!(
            headers.get(HOST).map(HeaderValue::as_bytes),
            host.as_deref(),
            "the host was lost between the protocols"
        );
    }
}

fn an_answer_is_made_ready(came: HeaderMap, from: Origin, upgraded: bool) {
    let mut headers = came.clone();
    if prepare_answer(&mut headers, from, upgraded).is_err() {
        return assert!(is_coded(&came), "an answer was refused for nothing");
    }
    if upgraded {
        assert_eq!(headers[CONNECTION], "upgrade");
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
    }
    nothing_of_one_connection(&headers, false);
    assert!(!headers.contains_key("rouse-not-started"));
    let is_ours = |name: &HeaderName| name.as_str().starts_with("rouse-");
    assert!(from == Origin::Rouse || !headers.keys().any(is_ours), "a model speaks as Rouse");
    let named = named_in_connection(&came);
    for (name, value) in &headers {
        assert!(came.get_all(name).iter().any(|was| was == value) || *name == TE, "{name} was made up");
    }
    for name in came.keys() {
        let gone = OF_ONE_CONNECTION.contains(&name.as_str()) || named.contains(name) || name == TE;
        let inside = name == "rouse-not-started" || (from == Origin::Stranger && is_ours(name));
        let false_length = *name == CONTENT_LENGTH && came.contains_key(TRANSFER_ENCODING);
        assert!(gone || inside || false_length || headers.contains_key(name), "{name} was taken out");
    }
}

/// In a transfer coding that is more than chunked, once?
fn is_coded(headers: &HeaderMap) -> bool {
    let codings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().collect();
    codings.iter().any(|coding| 1 < codings.len() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

fn nothing_of_one_connection(headers: &HeaderMap, upgrade: bool) {
    for name in OF_ONE_CONNECTION {
        let may_stay = upgrade && (name == "connection" || name == "upgrade");
        assert!(may_stay || !headers.contains_key(name), "{name} belongs to one connection");
    }
    if upgrade {
        assert!(headers.get_all(CONNECTION).iter().eq(["upgrade"]));
        assert!(headers.contains_key(UPGRADE));
    }
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let tokens = values.flat_map(|value| value.split(|byte| *byte == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect()
}

/// Does this name steer Rouse or Knative from inside?
fn steers(name: &str) -> bool {
    let knative = [
        "k-proxy-request",
        "k-original-host",
        "k-network-probe",
        "k-network-hash",
        "k-passthrough-lb",
        "k-kubelet-probe",
    ];
    name.starts_with("rouse-") || name.starts_with("knative-") || knative.contains(&name)
}

/// Is the one `host` a host, or empty?
fn is_host(headers: &HeaderMap) -> bool {
    headers.get(HOST).is_some_and(|host| {
        host.is_empty()
            || http::uri::Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'))
    })
}

fn the_time_out_is_what_is_written(headers: &HeaderMap) {
    let understood = grpc_timeout(headers);
    let written = headers.get("grpc-timeout").map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let makes_sense = (2..=9).contains(&written.len())
        && written[..written.len() - 1].iter().all(u8::is_ascii_digit)
        && b"HMSmun".contains(&written[written.len() - 1]);
    assert_eq!(understood.is_some(), makes_sense);
    let Some(understood) = understood else { return };
    assert!(understood <= Duration::from_secs(99_999_999 * 3_600));
    let number = written[..written.len() - 1].iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    let nanoseconds = match written[written.len() - 1] {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        _ => 1,
    };
    assert_eq!(understood.as_nanos(), number * nanoseconds);
}

fn a_refusal_can_be_read(form: Form, detail: &str, salt: usize) {
    let reason = Reason::ALL[salt % Reason::ALL.len()];
    let refusal = Refusal::new(reason, detail.to_owned()).retry_after(Duration::from_secs(salt as u64));
    let answer: Response<forward::Body<()>> = refusal.answer(form, None);
    let (head, body) = answer.into_parts();
    let body = body.collect().now_or_never().expect("it is all there").expect("it cannot break").to_bytes();
    assert_eq!(head.headers["rouse-reason"], reason.word());
    let seconds: u64 = head.headers["retry-after"].to_str().expect("digits").parse().expect("a number");
    assert!(1 <= seconds && seconds as f64 <= (salt as f64 * 1.2).max(1.0).round());
    match form {
        Form::Grpc => {
            assert!(body.is_empty());
            let message = percent_decoded(head.headers["grpc-message"].as_bytes());
            assert!(message.ends_with(detail.as_bytes()), "the message says something else");
        }
        Form::Json => {
            let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem in JSON");
            assert_eq!(problem["detail"], detail);
        }
        Form::Text => assert!(body.strip_suffix(b"\n").is_some_and(|text| text.ends_with(detail.as_bytes()))),
    }
    if form != Form::Grpc {
        assert_eq!(head.headers[CONTENT_LENGTH], body.len().to_string());
        assert_eq!(head.status, reason.status());
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at(2);
        rest = behind;
        let digits = std::str::from_utf8(digits).expect("two digits");
        decoded.push(u8::from_str_radix(digits, 16).expect("two digits"));
    }
    decoded
}
