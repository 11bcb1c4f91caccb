//! The answers that Rouse gives itself.
//!
//! One closed list of reasons, each with its word and its status; one place that writes the answer in the form that the
//! caller understands: a gRPC status, a problem in JSON (RFC 9457), or a line of text.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::headers::is_grpc;

/// `rouse-reason`: the word of a [`Reason`], on every refusal.
pub const REASON: HeaderName = HeaderName::from_static("rouse-reason");

/// `rouse-not-started`: said by a sidecar on its proxied port of a request that it did not begin. Believed only there.
pub const NOT_STARTED: HeaderName = HeaderName::from_static("rouse-not-started");

/// Why Rouse answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The line of this revision or replica is full.
    QueueFull,
    /// The budget of the whole process is used up.
    ActivatorFull,
    /// It waited as long as it may.
    WaitedTooLong,
    /// Nobody can start a replica now.
    CannotWake,
    /// Replicas were started and failed.
    StartFailed,
    /// The endpoint names a revision that is not there.
    RevisionMissing,
    /// The endpoint was deleted while the request waited.
    EndpointDeleted,
    /// The model takes no connection, though its probe says that it is ready; nothing was begun.
    NoConnection,
    /// A replica broke after it may have begun.
    ReplicaBroke,
    /// A time-out after hand-over to a replica.
    Timeout,
    /// No endpoint has this host.
    UnknownHost,
    /// What exists is not known yet.
    NotSynced,
    /// This program is leaving; nothing was begun.
    Leaving,
    /// Not HTTP as it should be.
    BadRequest,
    /// Path and query are longer than anyone needs.
    UriTooLong,
    /// The host is another endpoint's.
    Misdirected,
}

impl Reason {
    /// Every one, for metrics that are born with all their children.
    pub const ALL: [Self; 16] = [
        Self::QueueFull,
        Self::ActivatorFull,
        Self::WaitedTooLong,
        Self::CannotWake,
        Self::StartFailed,
        Self::RevisionMissing,
        Self::EndpointDeleted,
        Self::NoConnection,
        Self::ReplicaBroke,
        Self::Timeout,
        Self::UnknownHost,
        Self::NotSynced,
        Self::Leaving,
        Self::BadRequest,
        Self::UriTooLong,
        Self::Misdirected,
    ];

    /// The word in `rouse-reason` and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ActivatorFull => "activator-full",
            Self::WaitedTooLong => "waited-too-long",
            Self::CannotWake => "cannot-wake",
            Self::StartFailed => "start-failed",
            Self::RevisionMissing => "revision-missing",
            Self::EndpointDeleted => "endpoint-deleted",
            Self::NoConnection => "no-connection",
            Self::ReplicaBroke => "replica-broke",
            Self::Timeout => "timeout",
            Self::UnknownHost => "unknown-host",
            Self::NotSynced => "not-synced",
            Self::Leaving => "leaving",
            Self::BadRequest => "bad-request",
            Self::UriTooLong => "uri-too-long",
            Self::Misdirected => "misdirected",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::QueueFull
            | Self::ActivatorFull
            | Self::WaitedTooLong
            | Self::CannotWake
            | Self::StartFailed
            | Self::RevisionMissing
            | Self::EndpointDeleted
            | Self::NoConnection
            | Self::NotSynced
            | Self::Leaving => StatusCode::SERVICE_UNAVAILABLE,
            Self::ReplicaBroke => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UnknownHost => StatusCode::NOT_FOUND,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// `grpc-status`: UNAVAILABLE (14), DEADLINE_EXCEEDED (4) for the time-out, and what fits the faults of the caller.
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::Timeout => 4,
            Self::UnknownHost | Self::Misdirected => 5,
            Self::BadRequest | Self::UriTooLong => 3,
            Self::QueueFull
            | Self::ActivatorFull
            | Self::WaitedTooLong
            | Self::CannotWake
            | Self::StartFailed
            | Self::RevisionMissing
            | Self::EndpointDeleted
            | Self::NoConnection
            | Self::ReplicaBroke
            | Self::NotSynced
            | Self::Leaving => 14,
        }
    }
}

/// The form in which a caller understands a refusal. Noted before its request is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line for a person.
    Text,
    /// An RFC 9457 problem.
    Json,
    /// gRPC: the status in the head, and nothing else.
    Grpc,
}

impl Form {
    /// JSON for who names it in `accept`, or sends it and accepts anything.
    pub fn for_request(headers: &HeaderMap) -> Self {
        if is_grpc(headers) {
            return Self::Grpc;
        }
        let says_json = |name: HeaderName| {
            let value = headers.get(name).map(HeaderValue::as_bytes)?;
            // The usual one is not searched through: this is asked of every request.
            Some(value == b"application/json" || value.windows(4).any(|word| word.eq_ignore_ascii_case(b"json")))
        };
        let accepts_anything = || headers.get(ACCEPT).is_none_or(|accept| accept.as_bytes().starts_with(b"*/*"));
        let json = says_json(ACCEPT) == Some(true) || (accepts_anything() && says_json(CONTENT_TYPE) == Some(true));
        if json { Self::Json } else { Self::Text }
    }
}

/// One answer of Rouse itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// More, for a person: what happened, where, what to do. Never a secret: it goes to the client.
    pub detail: Cow<'static, str>,
    /// When to come back. Spread by ± 20 %, so that those who were refused together do not return together.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal without a time to come back.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None }
    }

    /// The same, with a time to come back.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The answer, in the caller's form; `guard` is kept until it is sent.
    pub fn answer<G>(&self, form: Form, guard: Option<G>) -> Response<Body<G>> {
        let (status, content_type, text) = match form {
            Form::Grpc => (StatusCode::OK, "application/grpc", String::new()),
            Form::Json => (self.reason.status(), "application/problem+json", self.problem()),
            Form::Text => (self.reason.status(), "text/plain; charset=utf-8", format!("{}\n", self.sentence())),
        };
        let length = text.len();
        let mut response = Response::new(Body::whole(Bytes::from(text), guard));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(REASON, HeaderValue::from_static(self.reason.word()));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(breaker::spread(after, fastrand::f64())));
        }
        if form == Form::Grpc {
            headers.insert("grpc-status", HeaderValue::from(u16::from(self.reason.grpc_status())));
            if let Ok(message) = HeaderValue::from_str(&percent_encoded(&self.sentence())) {
                headers.insert("grpc-message", message);
            }
        } else {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }

    fn sentence(&self) -> String {
        if self.detail.is_empty() {
            self.reason.word().to_owned()
        } else {
            format!("{}: {}", self.reason.word(), self.detail)
        }
    }

    fn problem(&self) -> String {
        let status = self.reason.status();
        serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": self.detail,
            "reason": self.reason.word(),
        })
        .to_string()
    }
}

/// As gRPC wants its message: printable ASCII but `%`, the rest as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_caller_is_answered_in_its_own_form() {
        let form = |pairs| Form::for_request(&headers(pairs));
        assert_eq!(form(&[("accept", "text/html, application/json;q=0.9")]), Form::Json);
        assert_eq!(form(&[("accept", "*/*"), ("content-type", "application/json")]), Form::Json);
        assert_eq!(form(&[("accept", "text/event-stream"), ("content-type", "application/json")]), Form::Text);
        assert_eq!(form(&[("accept", "*/*")]), Form::Text);
        assert_eq!(form(&[("content-type", "application/grpc+proto"), ("accept", "application/json")]), Form::Grpc);
    }

    #[tokio::test]
    async fn a_refusal_says_why_in_every_form() {
        let refusal = Refusal::new(Reason::QueueFull, "10 requests wait").retry_after(Duration::from_secs(10));
        let json = refusal.answer::<()>(Form::Json, None);
        assert_eq!(json.status(), 503);
        assert_eq!(json.headers()[REASON], "queue-full");
        let seconds: u64 = json.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((8..=12).contains(&seconds), "{seconds}");
        let body = json.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["status"], &problem["reason"]), (&503.into(), &"queue-full".into()));

        let grpc = Refusal::new(Reason::Timeout, "50 % of it").answer::<()>(Form::Grpc, None);
        assert_eq!(grpc.status(), 200);
        assert_eq!(grpc.headers()["grpc-status"], "4");
        assert_eq!(grpc.headers()["grpc-message"], "timeout: 50 %25 of it");
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn every_reason_is_told_on_the_page_of_answers() {
        let page = include_str!("../../../docs/answers.md");
        for reason in Reason::ALL {
            let cells = format!("| {} | `{}` |", reason.status().as_u16(), reason.word());
            assert!(page.contains(&cells), "docs/answers.md has no row with {cells}");
        }
    }
}
