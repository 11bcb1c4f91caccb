//! HTTP/1.1 by the letter: requests as no well-behaved client sends them, and answers as no well-behaved model does.
//!
//! Each row is a section of RFC 9112 (or 9110), what is sent, how it is answered, and whether the connection stays open.
//! `docs/http.md` has the same rows; that it does is looked at here too.

use peers::{Line, Model, Sidecar, Taken, whole};

const STAYS: bool = true;
const CLOSES: bool = false;

/// A request, and what becomes of it.
struct Row {
    section: &'static str,
    what: &'static str,
    sent: &'static [u8],
    /// Of each answer: the status, and behind a 200 what the model was asked: method, target, host, bytes of the body.
    answers: &'static [&'static str],
    stays: bool,
}

const fn row(
    section: &'static str,
    what: &'static str,
    sent: &'static [u8],
    answers: &'static [&'static str],
    stays: bool,
) -> Row {
    Row { section, what, sent, answers, stays }
}

const REQUESTS: &[Row] = &[
    row("2.2", "an empty line before the request", b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", &["200 GET /a h 0"], STAYS),
    row("2.2", "lines that end in LF alone", b"GET /a HTTP/1.1\nHost: h\n\n", &["200 GET /a h 0"], STAYS),
    row("2.2", "CR alone within a value", b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", &["400"], CLOSES),
    row("2.2", "white space before the first field", b"GET /a HTTP/1.1\r\n Host: h\r\n\r\n", &["400"], CLOSES),
    row("2.3", "a later minor version", b"GET /a HTTP/1.2\r\nHost: h\r\n\r\n", &["400"], CLOSES),
    row("2.3", "another major version", b"GET /a HTTP/3.0\r\nHost: h\r\n\r\n", &["400"], CLOSES),
    row("3", "no version", b"GET /a\r\n\r\n", &["400"], CLOSES),
    row("3", "two spaces in the request line", b"GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", &["400"], CLOSES),
    row("3.1", "a method that is no token", b"GE(T /a HTTP/1.1\r\nHost: h\r\n\r\n", &["400"], CLOSES),
    row("3.1", "a method that nobody knows", b"BREW /a HTTP/1.1\r\nHost: h\r\n\r\n", &["200 BREW /a h 0"], STAYS),
    row("3.2", "no host", b"GET /a HTTP/1.1\r\n\r\n", &["400"], STAYS),
    row("3.2", "two hosts", b"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", &["400"], STAYS),
    row("3.2", "a host that is none", b"GET /a HTTP/1.1\r\nHost: h/x@y\r\n\r\n", &["400"], STAYS),
    row("3.2", "an empty host", b"GET /a HTTP/1.1\r\nHost:\r\n\r\n", &["200 GET /a  0"], STAYS),
    row("3.2", "bytes beyond ASCII in the target", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", &["200 GET /\u{e4} h 0"], STAYS),
    row("3.2.2", "an absolute target, and another host", b"GET http://n:81/a?b HTTP/1.1\r\nHost: h\r\n\r\n", &["200 GET /a?b n:81 0"], STAYS),
    row("3.2.3", "CONNECT", b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", &["400"], STAYS),
    row("3.2.4", "OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &["200 OPTIONS * h 0"], STAYS),
    row("5", "no name before the colon", b"GET /a HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", &["400"], CLOSES),
    row("5", "a name that is no token", b"GET /a HTTP/1.1\r\nHost: h\r\nX(: x\r\n\r\n", &["400"], CLOSES),
    row("5", "a line without a colon", b"GET /a HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", &["400"], CLOSES),
    row("5.1", "a space before the colon", b"GET /a HTTP/1.1\r\nHost : h\r\n\r\n", &["400"], CLOSES),
    row("5.2", "a value that goes on in the next line", b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", &["400"], CLOSES),
    row("9110 5.5", "NUL in a value", b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", &["400"], CLOSES),
    row("6", "GET with a body", b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", &["200 GET /a h 3"], STAYS),
    row("6.1", "chunked", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &["200 PUT /a h 3"], STAYS),
    row("6.1", "Chunked, in other letters", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ChUnKeD\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &["200 PUT /a h 3"], STAYS),
    row("6.1", "chunked and a length", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", &["200 PUT /a h 5"], CLOSES),
    row("6.1", "a length and chunked", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nabcde\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", &["200 PUT /a h 5"], CLOSES),
    row("6.1", "a coding that nobody knows", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &["400"], CLOSES),
    row("6.1", "a coding over chunked", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", &["400"], CLOSES),
    row("6.1", "a coding beneath chunked", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("6.1", "chunked twice", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", &["400"], CLOSES),
    row("6.1", "chunked in HTTP/1.0", b"PUT /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["400"], CLOSES),
    row("6.3", "two lengths that differ", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", &["400"], CLOSES),
    row("6.3", "two lengths that agree", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", &["200 PUT /a h 3"], STAYS),
    row("6.3", "two lengths in one field", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", &["400"], CLOSES),
    row("6.3", "a length with a sign", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", &["400"], CLOSES),
    row("6.3", "a length below zero", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc", &["400"], CLOSES),
    row("6.3", "a length beyond 64 bits", b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\nabc", &["400"], CLOSES),
    row("7.1", "a chunk whose size is no number", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1", "a chunk whose size has a sign", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1", "a chunk whose size begins 0x", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1", "a chunk whose size is beyond 64 bits", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1", "a chunk that is longer than it says", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1", "a size that ends in LF alone", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1.1", "an extension of a chunk", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", &["200 PUT /a h 3"], STAYS),
    row("7.1.1", "LF within an extension", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\ny\r\nabc\r\n0\r\n\r\n", &["400"], CLOSES),
    row("7.1.2", "trailers", b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", &["200 PUT /a h 3"], STAYS),
    row("9.3", "HTTP/1.0", b"GET /a HTTP/1.0\r\nHost: h\r\n\r\n", &["200 GET /a h 0"], CLOSES),
    row("9.3", "HTTP/1.0 without a host", b"GET /a HTTP/1.0\r\n\r\n", &["200 GET /a  0"], CLOSES),
    row("9.3", "HTTP/1.0 with keep-alive", b"GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", &["200 GET /a h 0"], STAYS),
    row("9.3.2", "three requests at once", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.1\r\nHost: h\r\n\r\n", &["200 GET /a h 0", "200 PUT /b h 3", "200 GET /c h 0"], STAYS),
    row("9.6", "close, and a request behind it", b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", &["200 GET /a h 0"], CLOSES),
    row("9110 10.1.1", "an expectation that nobody knows", b"GET /a HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", &["200 GET /a h 0"], STAYS),
    row("9110 9.3.8", "TRACE", b"TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n", &["200 TRACE /a h 0"], STAYS),
];

/// What it understood.
fn understanding(request: &Taken) -> Vec<u8> {
    let method = request.head.split(' ').next().unwrap_or_default();
    let host = if request.head.to_ascii_lowercase().contains("\r\nhost:") {
        request.header("host").join("+")
    } else {
        "-".to_owned()
    };
    whole(&format!("{method} {} {host} {}", request.path(), request.body.len()))
}

/// What comes back for bytes that are sent on a new connection: so many answers, and whether it stays open, as it should
/// or should not.
async fn exchange(sidecar: &Sidecar, sent: &[u8], most: usize, stays: bool) -> (Vec<String>, bool) {
    let mut line = Line::to(sidecar.direct()).await;
    line.say(sent).await;
    let mut answers = Vec::new();
    while answers.len() < most {
        let Some(reply) = line.hear(false).await else { return (answers, CLOSES) };
        answers.push(if reply.status == 200 { format!("200 {}", reply.body) } else { reply.status.to_string() });
    }
    (answers, !line.closes(!stays).await)
}

#[tokio::test]
async fn a_request_by_the_letter_is_answered_as_the_table_says() {
    let model = Model::start(understanding).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let mut faults = Vec::new();
    for Row { section, what, sent, answers, stays } in REQUESTS {
        let seen = exchange(&sidecar, sent, answers.len(), *stays).await;
        let wanted = (answers.iter().map(|answer| (*answer).to_owned()).collect::<Vec<_>>(), *stays);
        if seen != wanted {
            faults.push(format!("{section}, {what}: {seen:?} and not {wanted:?}"));
        }
        let statuses: Vec<&str> = answers.iter().map(|answer| &answer[..3]).collect();
        let row =
            format!("| {section} | {what} | {} | {} |", statuses.join(", "), if *stays { "stays" } else { "closes" });
        if !include_str!("../../../docs/http.md").contains(&row) {
            faults.push(format!("docs/http.md lacks: {row}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let heads: Vec<String> = model.taken().into_iter().map(|taken| taken.head).collect();
    assert!(!heads.iter().any(|head| head.contains("/smuggled")), "{heads:?}");
}

/// An answer of a model, and what its client gets: a status with the body behind it, or `cut` where it ended before its
/// end. After it, the client's next request is answered in its turn.
struct Answered {
    what: &'static str,
    answer: &'static [u8],
    gets: &'static str,
}

const fn answered(what: &'static str, answer: &'static [u8], gets: &'static str) -> Answered {
    Answered { what, answer, gets }
}

const ANSWERS: &[Answered] = &[
    answered("without a reason phrase", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "200 ok"),
    answered("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok"),
    answered("to the end of the connection", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "200 ok"),
    answered(
        "103 before it",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "200 ok",
    ),
    answered(
        "100 that nobody asked for",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "200 ok",
    ),
    answered(
        "101 that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "502",
    ),
    answered(
        "chunked and a length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "200 ok",
    ),
    answered("two lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "502"),
    answered("a length that is no number", b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", "502"),
    answered(
        "a coding beneath chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "502",
    ),
    answered(
        "a coding over chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\nConnection: close\r\n\r\nok",
        "502",
    ),
    answered(
        "a chunk whose size is no number",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n",
        "cut",
    ),
    answered(
        "chunks without an end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n",
        "cut",
    ),
    answered("shorter than it says", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok", "cut"),
    answered(
        "longer than it says",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "200 ok",
    ),
    answered("204 with a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "204"),
    answered(
        "a value that goes on in the next line",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "502",
    ),
    answered("a space before the colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok", "502"),
    answered("NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", "502"),
    answered("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", "502"),
    answered("a status that nobody knows", b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", "599"),
    answered("what is not HTTP", b"220 mail.example ESMTP\r\n\r\n", "502"),
];

/// As its path says: the answer of that number.
fn misbehaving(request: &Taken) -> Vec<u8> {
    let number: Option<usize> = request.path().strip_prefix("/answer/").and_then(|number| number.parse().ok());
    number.map_or_else(|| whole("next"), |number| ANSWERS[number].answer.to_vec())
}

#[tokio::test]
async fn an_answer_by_the_letter_reaches_its_client_as_the_table_says() {
    let model = Model::start(misbehaving).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let mut faults = Vec::new();
    for (number, Answered { what, gets, .. }) in ANSWERS.iter().enumerate() {
        let mut line = Line::to(sidecar.direct()).await;
        line.say(format!("POST /answer/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
        let seen = match line.hear(false).await {
            None => "cut".to_owned(),
            Some(reply) if reply.status == 200 => format!("200 {}", reply.body),
            Some(reply) => reply.status.to_string(),
        };
        if seen != *gets {
            faults.push(format!("{what}: {seen:?} and not {gets:?}"));
        }
        if seen != "cut" {
            line.say(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let next = line.hear(false).await.map(|reply| reply.body);
            if next.as_deref() != Some("next") {
                faults.push(format!("after {what}: {next:?}"));
            }
        }
        let row = format!("| {what} | {} |", &gets[..3]);
        if !include_str!("../../../docs/http.md").contains(&row) {
            faults.push(format!("docs/http.md lacks: {row}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn trailers_of_a_request_reach_a_model_if_they_were_announced() {
    let model = Model::start(understanding).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let mut line = Line::to(sidecar.direct()).await;
    for announced in ["Trailer: X-Sum\r\n", ""] {
        let head = format!("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{announced}\r\n");
        line.say(format!("{head}3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n").as_bytes()).await;
        assert_eq!(line.hear(false).await.unwrap().status, 200);
    }
    let framed: Vec<String> =
        model.taken().iter().map(|taken| String::from_utf8_lossy(&taken.framed).into_owned()).collect();
    assert_eq!(framed, ["3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"]);
}
