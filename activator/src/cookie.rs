//! The cookie by which a client without one stays with its revision.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use traffic::NewCookie;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `set-cookie` for the client whose request has these headers.
///
/// For the whole host and out of reach of scripts. Without an age: it lives as long as the client's session, and who loses
/// it is given another one. It says nothing, so it need not be kept from requests that a link elsewhere began (`Lax`). Over
/// HTTPS, of which only a proxy before us can tell, it stays there.
pub(crate) fn header(cookie: &NewCookie, request: &HeaderMap) -> HeaderValue {
    let proto = request.get(X_FORWARDED_PROTO).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A chain of proxies may each have said one; the first is the client's.
    let is_https = proto.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"));
    let secure = if is_https { "; Secure" } else { "" };
    let NewCookie { name, value } = cookie;
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
    // A name is a token and a value hexadecimal, so it can be sent.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Adds it to an answer, unless the model gives its client a cookie of this name itself: then the client is known by that.
pub(crate) fn add(answer: &mut HeaderMap, cookie: HeaderValue) {
    let name = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let ours = name(&cookie);
    if answer.get_all(SET_COOKIE).iter().all(|value| name(value) != ours) {
        answer.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(proto: Option<&'static str>) -> HeaderValue {
        let mut request = HeaderMap::new();
        request.extend(proto.map(|proto| (X_FORWARDED_PROTO, HeaderValue::from_static(proto))));
        header(&NewCookie { name: "session".into(), value: "00ff".to_owned() }, &request)
    }

    #[test]
    fn a_cookie_is_for_the_whole_host_and_stays_with_https_where_that_is_spoken() {
        assert_eq!(set(None), "session=00ff; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(Some("http, https")), "session=00ff; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(Some("HTTPS, http")), "session=00ff; Path=/; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn a_cookie_of_that_name_from_the_model_stays_the_only_one() {
        let with = |theirs: &'static str| {
            let mut answer = HeaderMap::new();
            answer.append(SET_COOKIE, HeaderValue::from_static(theirs));
            add(&mut answer, set(None));
            answer.get_all(SET_COOKIE).iter().count()
        };
        assert_eq!(with("session=theirs; Path=/"), 1);
        assert_eq!(with("sessions=theirs"), 2);
    }
}
