//! What may pass from one connection to the next, and what is added on the way.
//!
//! Hop-by-hop fields end here (RFC 9110 §7.6.1), with those that `connection` names; fields that steer Rouse or Knative
//! from inside are taken from strangers; where a request came from is noted, and it gets an id if it has none.

use std::io::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Version, request};
use smallvec::SmallVec;

use crate::refusal::{NOT_STARTED, Reason};

/// `x-request-id`: kept, or made.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `rouse-tag`: asks the activator for a tagged revision.
pub const TAG: HeaderName = HeaderName::from_static("rouse-tag");
/// `rouse-shadow`: marks a copy that an activator sends to a shadow.
pub const SHADOW: HeaderName = HeaderName::from_static("rouse-shadow");
/// `rouse-outcome`: a number that a model says of its answer, for comparing revisions. An activator takes it out.
pub const OUTCOME: HeaderName = HeaderName::from_static("rouse-outcome");
/// `rouse-probe`: asks a sidecar on its proxied port whether its model is ready (`now`, `wait`).
pub const PROBE: HeaderName = HeaderName::from_static("rouse-probe");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// What every field begins with that Rouse alone may say.
const OURS: &str = "rouse-";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest path and query, in bytes. Half of the longest head, so that who is told 414 knows that it was the request
/// line: a longer head is a 431, whatever made it long.
const LONGEST_TARGET: usize = 32 << 10;

/// Who handed us a request or an answer, and what we therefore believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Anyone. Nothing that steers is believed.
    Stranger,
    /// Another program of Rouse, over a port that only those reach.
    Rouse,
}

/// What a request wants that its headers no longer say once it was made ready for the next hop.
#[derive(Debug, Default)]
pub struct Noted {
    /// It asks for another protocol on its connection (WebSocket).
    pub upgrade: bool,
    /// Its client sends the body only when it is asked to (`expect: 100-continue`).
    pub expects_continue: bool,
    /// gRPC by content type: needs HTTP/2 all the way, for its trailers.
    pub grpc: bool,
    /// May be begun twice: GET, HEAD, OPTIONS, PUT, DELETE, or with an `idempotency-key`.
    pub idempotent: bool,
}

/// Makes a request ready for the next hop. Changes the head only.
///
/// # Errors
/// With what is wrong: not one host, or one that is none, a method that makes no sense here, a transfer coding that is
/// not understood (400), or a target that is too long (414).
pub fn prepare_request(head: &mut request::Parts, peer: IpAddr, from: Origin) -> Result<Noted, (Reason, &'static str)> {
    let bad = |fault| (Reason::BadRequest, fault);
    if head.method == Method::CONNECT {
        return Err(bad("CONNECT is for forward proxies"));
    }
    if head.uri.path_and_query().is_some_and(|target| LONGEST_TARGET < target.as_str().len()) {
        return Err((Reason::UriTooLong, "path and query are longer than 32 KiB"));
    }
    let seen = Seen::of(&head.headers);
    let grpc = seen.content_type && is_grpc(&head.headers);
    let idempotent = is_idempotent_method(&head.method) || seen.idempotency_key;
    let upgrade =
        seen.hop_by_hop && remove_hop_by_hop(&mut head.headers, head.version == Version::HTTP_11).map_err(bad)?;
    let expects_continue = seen.expect && head.headers.remove(EXPECT).is_some();
    if seen.cookie && head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    if seen.steering {
        remove_steering(&mut head.headers, from);
    }
    name_host(head).map_err(bad)?;
    note_origin(&mut head.headers, peer, seen.forwarded);
    // One that `connection` named is gone by now, though it was seen; it is one that may not be named.
    if !seen.request_id {
        head.headers.insert(REQUEST_ID, new_request_id());
    }
    Ok(Noted { upgrade, expects_continue, grpc, idempotent })
}

/// Which fields there are that matter here. Most requests have hardly any of them, and one look at each name costs less
/// than looking for each by name.
#[derive(Debug, Default)]
struct Seen {
    content_type: bool,
    idempotency_key: bool,
    expect: bool,
    cookie: bool,
    hop_by_hop: bool,
    /// `rouse-*`, or one of Knative's.
    steering: bool,
    /// `forwarded`, or `x-forwarded-*`.
    forwarded: bool,
    request_id: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "host" | "content-length" | "accept" | "user-agent" => {}
                "content-type" => seen.content_type = true,
                "idempotency-key" => seen.idempotency_key = true,
                "expect" => seen.expect = true,
                "cookie" => seen.cookie = true,
                "forwarded" => seen.forwarded = true,
                "x-request-id" => seen.request_id = true,
                other => {
                    seen.hop_by_hop |= is_hop_by_hop(other);
                    seen.steering |= is_steering(other);
                    seen.forwarded |= other.starts_with("x-forwarded-");
                }
            }
        }
        seen
    }
}

/// Makes an answer ready for the previous hop. `upgraded`: it is the 101 that was asked for.
///
/// # Errors
/// With what is wrong with it, if its body cannot be passed on as it is meant.
pub fn prepare_answer(headers: &mut HeaderMap, from: Origin, upgraded: bool) -> Result<(), &'static str> {
    if upgraded {
        // `connection` and `upgrade` are the answer. Nothing else of them may stay.
        let protocol = headers.remove(UPGRADE);
        remove_hop_by_hop(headers, false)?;
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else if headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        remove_hop_by_hop(headers, false)?;
    }
    if headers.keys().any(|name| name.as_str().starts_with(OURS)) {
        remove(headers, |name| *name == NOT_STARTED || (from == Origin::Stranger && name.as_str().starts_with(OURS)));
    }
    Ok(())
}

/// The address form that HTTP/1 wants: path and query. The host is in `host`, also if it was made ready for HTTP/2 before.
pub fn uri_for_http1(uri: &mut Uri, headers: &mut HeaderMap) {
    if let Some(authority) = uri.authority()
        && !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    if uri.authority().is_some() || uri.scheme().is_some() {
        *uri = Uri::from(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
}

/// The address form that HTTP/2 wants: scheme, authority and path. `host` becomes `:authority`; for a request without one
/// it is `localhost`, since `h2` sends none without an authority.
pub fn uri_for_http2(uri: &mut Uri, headers: &mut HeaderMap) {
    let authority: Option<Authority> = headers.get(HOST).and_then(|host| host.as_bytes().try_into().ok());
    headers.remove(HOST);
    let mut parts = std::mem::take(uri).into_parts();
    parts.authority = authority.or(parts.authority).or_else(|| Some(Authority::from_static("localhost")));
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    parts.scheme = Some(Scheme::HTTP);
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// gRPC by its content type: `application/grpc`, alone or with what follows `+` or `;`. `application/grpc-web` is not: it is
/// made for HTTP/1.1.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';')))
}

/// May it be begun twice?
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    is_idempotent_method(method) || headers.contains_key(IDEMPOTENCY_KEY)
}

fn is_idempotent_method(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Removes what belongs to one connection only. Answers whether another protocol was asked for, and leaves just that
/// wish in place if `may_upgrade`. Fails on a body in a transfer coding other than chunked: hyper undoes that one alone,
/// and without the field nobody would know of the other.
fn remove_hop_by_hop(headers: &mut HeaderMap, may_upgrade: bool) -> Result<bool, &'static str> {
    // Before anything that `connection` may take out: who named it would else have a coded body taken for a plain one.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err("a transfer coding other than chunked");
        }
        headers.remove(TRANSFER_ENCODING);
        // Beside chunks a length is not the body's (RFC 9112 §6.3), and the next hop would believe it.
        headers.remove(CONTENT_LENGTH);
    }
    let mut wants_upgrade = false;
    if headers.contains_key(CONNECTION) {
        let mut named: SmallVec<[HeaderName; 2]> = SmallVec::new();
        for value in headers.get_all(CONNECTION) {
            for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"upgrade") {
                    wants_upgrade = may_upgrade;
                } else if !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close") {
                    named.extend(HeaderName::from_bytes(token));
                }
            }
        }
        headers.remove(CONNECTION);
        for name in named.iter().filter(|name| !is_essential(name)) {
            headers.remove(name);
        }
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
    if let Some(te) = headers.get(TE) {
        // The one value that concerns the whole path: the caller understands trailers.
        let mut parts = te.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if parts.any(|part| part.eq_ignore_ascii_case(b"trailers")) {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(TE);
        }
    }
    wants_upgrade &= is_offer_for_us(headers);
    if wants_upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
    Ok(wants_upgrade)
}

/// One field of the several in which HTTP/2 may bring cookies (RFC 9113 §8.2.3): what is behind HTTP/1.1 would join them
/// with commas, or take the first for all. Joined whatever is spoken to the model: HTTP/2 allows one field as well, and
/// a head need not know who gets it.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: SmallVec<[&[u8]; 4]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() <= 1 {
        return;
    }
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    drop(crumbs);
    if let Ok(joined) = joined {
        headers.insert(COOKIE, joined);
    }
}

/// Is there another protocol to change to? HTTP/2 is spoken by prior knowledge here, and an offer of it concerns the
/// connection on which it was made: passed on, it would be a tunnel in which nobody looks at requests any more.
fn is_offer_for_us(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(UPGRADE).iter().flat_map(|offers| offers.as_bytes().split(|byte| *byte == b','));
    let is_http2 = |offer: &[u8]| offer.trim_ascii().eq_ignore_ascii_case(b"h2c");
    headers.contains_key(UPGRADE) && !offers.any(is_http2)
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "transfer-encoding"
            | "te"
            | "upgrade"
    )
}

/// Fields that a stranger may not have taken out by naming them in `connection`: without them a request means something
/// else, or is somebody else's.
fn is_essential(name: &HeaderName) -> bool {
    use http::header::AUTHORIZATION;
    [
        HOST,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        AUTHORIZATION,
        COOKIE,
        TE,
        UPGRADE,
        X_FORWARDED_FOR,
        REQUEST_ID,
        // It may be begun twice only because the model sees this.
        IDEMPOTENCY_KEY,
    ]
    .contains(name)
}

/// `rouse-*` steers Rouse, the others Knative's parts.
fn is_steering(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'r') => name.starts_with(OURS),
        Some(b'k') => name.starts_with("knative-") || KNATIVE_STEERING.contains(&name),
        _ => false,
    }
}

/// Removes what steers, but for a copy's mark from a program of ours.
fn remove_steering(headers: &mut HeaderMap, from: Origin) {
    remove(headers, |name| is_steering(name.as_str()) && !(from == Origin::Rouse && *name == SHADOW));
}

fn remove(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let gone: SmallVec<[HeaderName; 4]> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

const KNATIVE_STEERING: [&str; 6] =
    ["k-proxy-request", "k-original-host", "k-network-probe", "k-network-hash", "k-passthrough-lb", "k-kubelet-probe"];

/// `:authority`, or the authority of an absolute address, goes before `host`.
fn name_host(head: &mut request::Parts) -> Result<(), &'static str> {
    if let Some(authority) = head.uri.authority() {
        if authority.as_str().contains('@') {
            return Err("a host with a user's name");
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "a host that is none")?;
        head.headers.insert(HOST, host);
        return Ok(());
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err("more than one host"),
        (Some(host), None) if !is_host(host.as_bytes()) => Err("a host that is none"),
        (None, None) if Version::HTTP_11 <= head.version => Err("no host"),
        (None, None) => {
            // From here on it is HTTP/1.1, which has one; empty where nobody knows it.
            head.headers.insert(HOST, HeaderValue::from_static(""));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A host, with its port or without; or nothing, which RFC 9112 §3.2 allows.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text.iter().position(|byte| *byte == b':') {
        Some(colon) => (&text[..colon], &text[colon + 1..]),
        None => (text, &[][..]),
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    // The usual kind is seen without a copy; the rest (addresses in brackets, say) is left to who knows them.
    (name.iter().all(is_plain) && port.iter().all(u8::is_ascii_digit))
        || Authority::try_from(text).is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Appends the peer to `x-forwarded-for`, and says the rest in `x-forwarded-proto` and `forwarded` where nobody has.
/// `came_through_others`: somebody may have said something of this before.
fn note_origin(headers: &mut HeaderMap, peer: IpAddr, came_through_others: bool) {
    if came_through_others
        && !headers.contains_key(FORWARDED)
        && let Some(forwarded) = forwarded(headers)
    {
        headers.insert(FORWARDED, forwarded);
    }
    let mut chain = Vec::with_capacity(48);
    if came_through_others {
        for value in headers.get_all(&X_FORWARDED_FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
    }
    write_address(&mut chain, peer.to_canonical());
    if let Ok(chain) = HeaderValue::from_maybe_shared(Bytes::from(chain)) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    if !came_through_others || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// As `Display` writes it, without its machinery for the usual kind: this is done for every request.
fn write_address(text: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if 0 < place {
                    text.push(b'.');
                }
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let leading = digits[..2].iter().take_while(|digit| **digit == 0).count();
                text.extend(digits[leading..].iter().map(|digit| b'0' + digit));
            }
        }
        IpAddr::V6(address) => {
            // Writing into a vector cannot fail.
            let _ = write!(text, "{address}");
        }
    }
}

/// `forwarded` (RFC 7239) from the `x-forwarded-*` that came with the request, as Knative's sidecar makes it. `None`
/// without any.
fn forwarded(headers: &HeaderMap) -> Option<HeaderValue> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (chain, host, proto) = (text(X_FORWARDED_FOR), text(X_FORWARDED_HOST), text(X_FORWARDED_PROTO));
    if chain.is_none() && host.is_none() && proto.is_none() {
        return None;
    }
    let node = |node: &str| {
        let node = node.trim();
        if node.contains(':') && !node.starts_with('[') { format!("\"[{node}]\"") } else { node.to_owned() }
    };
    let mut hops = chain.into_iter().flat_map(|chain| chain.split(',')).map(|hop| format!("for={}", node(hop)));
    let mut parts: Vec<String> = hops.next().into_iter().collect();
    parts.extend(host.map(|host| format!("host={host}")));
    parts.extend(proto.map(|proto| format!("proto={proto}")));
    let first = parts.join(";");
    let all: Vec<String> = std::iter::once(first).chain(hops).collect();
    HeaderValue::from_str(&all.join(", ")).ok()
}

/// A random UUID (version 4).
fn new_request_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
    for (digit, place) in places.enumerate() {
        text[place] = HEX[(bits >> (124 - 4 * digit)) as usize & 0xf];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
