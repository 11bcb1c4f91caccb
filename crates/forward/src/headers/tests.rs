use http::Request;

use super::*;

fn head(build: impl FnOnce(request::Builder) -> request::Builder) -> request::Parts {
    build(Request::builder()).body(()).unwrap().into_parts().0
}

fn prepared(origin: Origin, build: impl FnOnce(request::Builder) -> request::Builder) -> request::Parts {
    let mut head = head(build);
    prepare_request(&mut head, [10, 0, 0, 9].into(), origin).unwrap();
    head
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn fields_that_connection_names_end_here_but_never_the_essential_ones() {
    let head = prepared(Origin::Stranger, |head| {
        head.header("host", "a")
            .header("connection", "x-secret, Host, content-length")
            .header("connection", "close, authorization, idempotency-key")
            .header("idempotency-key", "7")
            .header("x-secret", "1")
            .header("authorization", "Bearer x")
            .header("content-length", "3")
    });
    assert_eq!(text(&head.headers, "x-secret"), None);
    assert_eq!(text(&head.headers, "connection"), None);
    let essential = ["host", "content-length", "authorization", "idempotency-key"];
    assert_eq!(essential.map(|name| text(&head.headers, name)), [Some("a"), Some("3"), Some("Bearer x"), Some("7")]);
}

#[test]
fn an_address_is_written_as_everywhere() {
    for address in ["10.0.0.9", "0.10.100.255", "127.0.0.1", "200.20.2.0", "2001:db8::1"] {
        let mut text = Vec::new();
        write_address(&mut text, address.parse().unwrap());
        assert_eq!(String::from_utf8(text).unwrap(), address);
    }
}

#[test]
fn of_te_only_trailers_pass() {
    let te = |te: &'static str| {
        let head = prepared(Origin::Stranger, |head| head.header("host", "a").header("te", te));
        text(&head.headers, "te").map(str::to_owned)
    };
    assert_eq!(te("gzip, Trailers").as_deref(), Some("trailers"));
    assert_eq!(te("gzip"), None);
}

#[test]
fn an_upgrade_passes_only_over_http1_and_only_if_connection_says_so() {
    let offer = |version, connection: &'static str, protocol: &'static str| {
        let mut head = head(|head| {
            head.version(version).header("host", "a").header("connection", connection).header("upgrade", protocol)
        });
        let noted = prepare_request(&mut head, [10, 0, 0, 9].into(), Origin::Stranger).unwrap();
        (noted.upgrade, text(&head.headers, "upgrade").map(str::to_owned), head.headers.contains_key("connection"))
    };
    let ask = |version, connection| offer(version, connection, "websocket");
    assert_eq!(ask(Version::HTTP_11, "keep-alive, Upgrade"), (true, Some("websocket".to_owned()), true));
    assert_eq!(ask(Version::HTTP_11, "keep-alive"), (false, None, false));
    assert_eq!(ask(Version::HTTP_2, "upgrade"), (false, None, false));
    assert_eq!(offer(Version::HTTP_11, "upgrade, http2-settings", "H2C"), (false, None, false));
    assert_eq!(offer(Version::HTTP_11, "upgrade", "websocket, h2c"), (false, None, false));
}

#[test]
fn steering_is_taken_from_strangers_and_a_shadow_mark_only_kept_from_rouse() {
    let ask = |origin| {
        let head = prepared(origin, |head| {
            head.header("host", "a")
                .header("rouse-shadow", "true")
                .header("rouse-tag", "x")
                .header("knative-serving-revision", "r")
                .header("k-proxy-request", "activator")
                .header("k-own", "kept")
                .header("rousing", "kept")
        });
        let names = ["rouse-shadow", "rouse-tag", "knative-serving-revision", "k-proxy-request", "k-own", "rousing"];
        names.map(|name| head.headers.contains_key(name))
    };
    assert_eq!(ask(Origin::Stranger), [false, false, false, false, true, true]);
    assert_eq!(ask(Origin::Rouse), [true, false, false, false, true, true]);
}

#[test]
fn the_authority_goes_before_host() {
    let head = prepared(Origin::Stranger, |head| head.uri("http://real.example:81/p?q").header("host", "other"));
    assert_eq!(text(&head.headers, "host"), Some("real.example:81"));
}

#[test]
fn without_one_host_there_is_no_request() {
    let refuse = |build: fn(request::Builder) -> request::Builder| {
        prepare_request(&mut head(build), [10, 0, 0, 9].into(), Origin::Stranger).unwrap_err()
    };
    let bad = |fault| (Reason::BadRequest, fault);
    assert_eq!(refuse(|head| head), bad("no host"));
    assert_eq!(refuse(|head| head.header("host", "a").header("host", "b")), bad("more than one host"));
    assert_eq!(refuse(|head| head.method("CONNECT").header("host", "a")), bad("CONNECT is for forward proxies"));
    assert_eq!(refuse(|head| head.header("host", "a b")), bad("a host that is none"));
    assert_eq!(refuse(|head| head.header("host", "me@a")), bad("a host that is none"));
    assert_eq!(refuse(|head| head.uri("http://me@a/").header("host", "a")), bad("a host with a user's name"));
}

#[test]
fn a_body_in_a_coding_other_than_chunked_is_not_passed_on_as_if_it_were_plain() {
    let ask = |coding: &'static str| {
        let mut headers = HeaderMap::from_iter([
            (TRANSFER_ENCODING, HeaderValue::from_static(coding)),
            (CONTENT_LENGTH, HeaderValue::from_static("3")),
        ]);
        prepare_answer(&mut headers, Origin::Rouse, false).map(|()| headers.len())
    };
    assert_eq!(ask("Chunked"), Ok(0), "nor is the length");
    for coding in ["gzip, chunked", "chunked, chunked", "chunked, gzip", "gzip", "xchunked"] {
        assert!(ask(coding).is_err(), "{coding}");
        let named = |head: request::Builder| head.header("connection", "transfer-encoding").header("host", "a");
        let mut head = head(|head| named(head).header("transfer-encoding", coding));
        assert!(prepare_request(&mut head, [10, 0, 0, 9].into(), Origin::Stranger).is_err(), "{coding}, named");
    }
}

#[test]
fn http_1_0_needs_no_host_and_the_next_hop_gets_an_empty_one() {
    let head = prepared(Origin::Stranger, |head| head.version(Version::HTTP_10));
    assert_eq!(text(&head.headers, "host"), Some(""));
}

#[test]
fn the_crumbs_of_a_cookie_that_came_by_http2_are_one_again() {
    let ask = |version| {
        let crumbs =
            |head: request::Builder| head.header("cookie", "a=1").header("cookie", "b=2; c=3").header("cookie", "d");
        let head = prepared(Origin::Stranger, |head| crumbs(head.version(version).header("host", "a")));
        head.headers.get_all("cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask(Version::HTTP_2), ["a=1; b=2; c=3; d"]);
    assert_eq!(ask(Version::HTTP_11).len(), 3, "there it is not allowed, and nobody knows what is meant");
}

#[test]
fn path_and_query_may_be_32_kib_long() {
    let ask = |bytes: usize| {
        let mut head = head(|head| head.uri(format!("/?{}", "x".repeat(bytes - 2))).header("host", "a"));
        prepare_request(&mut head, [10, 0, 0, 9].into(), Origin::Stranger)
            .map_err(|(reason, _)| reason.status().as_u16())
    };
    assert_eq!(ask(32 << 10).map(|_| ()), Ok(()));
    assert_eq!(ask((32 << 10) + 1).map(|_| ()), Err(414));
}

#[test]
fn every_kind_of_host_is_one() {
    for host in ["a", "a_b.example:8080", "10.0.0.1:80", "[::1]:80", ""] {
        let came = HeaderValue::from_bytes(host.as_bytes()).unwrap();
        let head = prepared(Origin::Stranger, |head| head.header("host", came.clone()));
        assert_eq!(head.headers.get("host"), Some(&came), "{host}");
    }
}

#[test]
fn the_address_changes_its_form_and_keeps_its_host() {
    let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("a.example"))]);
    let mut uri = Uri::from_static("/p?q");
    uri_for_http2(&mut uri, &mut headers);
    assert_eq!((uri.to_string().as_str(), headers.len()), ("http://a.example/p?q", 0));
    // Sent elsewhere, to one that speaks HTTP/1.
    uri_for_http1(&mut uri, &mut headers);
    assert_eq!((uri.to_string().as_str(), text(&headers, "host")), ("/p?q", Some("a.example")));
}

#[test]
fn forwarded_says_what_the_older_fields_say() {
    let forwarded = |pairs: &[(&'static str, &'static str)]| {
        let map: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        super::forwarded(&map).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(forwarded(&[]), None);
    assert_eq!(
        forwarded(&[
            ("x-forwarded-for", "10.0.0.1, 2001:db8::1"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "https"),
        ])
        .as_deref(),
        Some("for=10.0.0.1;host=a.example;proto=https, for=\"[2001:db8::1]\"")
    );
    assert_eq!(forwarded(&[("x-forwarded-proto", "https")]).as_deref(), Some("proto=https"));
    assert_eq!(forwarded(&[("x-forwarded-for", ",,")]).as_deref(), Some("for=, for=, for="));
}

#[test]
fn who_asks_twice_may_only_if_it_says_so() {
    let none = HeaderMap::new();
    let key = HeaderMap::from_iter([(IDEMPOTENCY_KEY, HeaderValue::from_static("1"))]);
    assert!(
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE]
            .iter()
            .all(|m| is_idempotent(m, &none))
    );
    assert!(!is_idempotent(&Method::POST, &none) && !is_idempotent(&Method::PATCH, &none));
    assert!(is_idempotent(&Method::POST, &key));
}

#[test]
fn an_id_is_a_random_uuid() {
    let id = new_request_id();
    let id = id.to_str().unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
    assert_ne!(new_request_id(), id);
}

#[test]
fn of_an_answer_nothing_internal_passes_and_our_words_only_from_rouse() {
    let answer = |origin| {
        let fields = ["rouse-not-started", "rouse-reason", "rouse-revision", "keep-alive", "upgrade", "x-model"];
        let mut headers: HeaderMap =
            fields.into_iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect();
        prepare_answer(&mut headers, origin, false).unwrap();
        headers.keys().map(|name| name.as_str().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(answer(Origin::Stranger), ["x-model".to_owned()].into());
    assert_eq!(answer(Origin::Rouse), ["rouse-reason", "rouse-revision", "x-model"].map(str::to_owned).into());
}

#[test]
fn grpc_web_is_no_grpc() {
    let is = |text: &'static str| is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]));
    for text in
        ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8", "application/grpc ; a=b"]
    {
        assert!(is(text), "{text}");
    }
    for text in ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "application/grpcx"]
    {
        assert!(!is(text), "{text}");
    }
}

#[test]
fn a_request_without_a_host_can_be_sent_over_http2_too() {
    let (mut uri, mut headers) = (Uri::from_static("/a?b"), HeaderMap::new());
    headers.insert(HOST, HeaderValue::from_static(""));
    uri_for_http2(&mut uri, &mut headers);
    assert_eq!((uri.to_string().as_str(), headers.contains_key(HOST)), ("http://localhost/a?b", false));
}
