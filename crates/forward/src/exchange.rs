//! One request, handed to a replica and answered.
//!
//! What is decided here is when a request may be begun a second time, and nobody else decides it:
//!
//! - If no byte of it can have been acted on (no connection, not written, refused by HTTP/2, or said to be not started
//!   by a sidecar that is believed), it may go anywhere.
//! - If it is idempotent and a *reused* connection ended before any byte of an answer, it goes once more, on a new
//!   connection to the same replica: model servers close idle connections when they like.
//! - A request that is not idempotent, or whose body cannot be had again, goes only on a new connection or one that was
//!   idle for less than a second, so that it hardly ever meets such a close.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;

use crate::answer::Answer;
use crate::body::{RequestBody, Spare};
use crate::headers::{self, Noted, OUTCOME, Origin};
use crate::lookout::Lookout;
use crate::pool::{Connection, FRESH, KEPT_IDLE, Lease, Pool, Protocol};
use crate::refusal::{Form, NOT_STARTED, Reason, Refusal};
use crate::tap::Tap;
use crate::timeouts::{Activity, Deadline, Expired, Timeouts};
use crate::upgrade::LooseEnds;

/// New connections that are tried when each ends before a byte of the request was written.
const UNWRITTEN_TRIES: u32 = 2;

/// Bytes of a body that are kept for a second try unless the caller says otherwise.
pub const KEPT_BYTES: usize = 64 << 10;

/// A request that was received and made ready for the next hop.
#[derive(Debug)]
pub struct Exchange {
    /// Its head as it will be sent; `host` is set. Headers may be added.
    pub head: http::request::Parts,
    body: RequestBody,
    noted: Noted,
    form: Form,
    origin: Origin,
    upgrade: Option<OnUpgrade>,
}

/// What a sender knows about its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// A sidecar of Rouse or a model.
    pub from: Origin,
    /// The most bytes of a body that are kept for another try.
    pub keep_bytes: usize,
}

impl Trust {
    /// A model: its *not started* means nothing.
    pub const MODEL: Self = Self { from: Origin::Stranger, keep_bytes: KEPT_BYTES };
    /// A sidecar, reached on its proxied port.
    pub const SIDECAR: Self = Self { from: Origin::Rouse, keep_bytes: KEPT_BYTES };
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection. Nothing was begun.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Refused before it was begun, by the protocol or by a sidecar that says why.
    #[error("not started: {0}")]
    NotStarted(String),
    /// The connection ended before the head of an answer. It may have been begun.
    #[error("the connection ended before an answer")]
    Broke(#[source] hyper::Error),
    /// The client's body ended in the middle; nobody waits for an answer.
    #[error("the request's body ended in the middle")]
    ClientBody(#[source] hyper::Error),
    /// A time-out passed before the head. It may have been begun.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// It answered with a protocol that nobody asked for.
    #[error("the replica switched protocols though nobody asked")]
    UnaskedUpgrade,
    /// Its answer cannot be passed on.
    #[error("the replica answered in {0}")]
    BadAnswer(&'static str),
}

/// No answer, and what can be done about it.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct SendError {
    /// What happened.
    #[source]
    pub failure: Failure,
    /// The request, whole, if it may be sent elsewhere: no replica has begun it, or it is idempotent.
    pub again: Option<Box<Exchange>>,
    /// It was sent twice to this replica already.
    pub retried: bool,
}

impl SendError {
    /// Could a replica have begun it?
    pub fn possibly_started(&self) -> bool {
        match &self.failure {
            Failure::Connect(_) | Failure::NotStarted(_) => self.retried,
            Failure::Broke(_) | Failure::ClientBody(_) | Failure::Expired(_) => true,
            Failure::UnaskedUpgrade | Failure::BadAnswer(_) => true,
        }
    }

    /// The answer for the client when nothing else is tried.
    pub fn refusal(&self) -> Refusal {
        let reason = match &self.failure {
            Failure::Connect(_) | Failure::Broke(_) => Reason::ReplicaBroke,
            Failure::UnaskedUpgrade | Failure::BadAnswer(_) => Reason::ReplicaBroke,
            Failure::NotStarted(_) => Reason::Leaving,
            Failure::ClientBody(_) => Reason::BadRequest,
            Failure::Expired(_) => Reason::Timeout,
        };
        Refusal::new(reason, self.failure.to_string())
    }
}

impl Exchange {
    /// Makes a received request ready for the next hop.
    ///
    /// # Errors
    /// If it is not HTTP as it should be; with the form in which its caller understands that.
    pub fn receive(request: Request<Incoming>, peer: IpAddr, origin: Origin) -> Result<Box<Self>, (Refusal, Form)> {
        let (mut head, body) = request.into_parts();
        let form = Form::for_request(&head.headers);
        let fault = |(reason, fault)| (Refusal::new(reason, fault as &'static str), form);
        let noted = headers::prepare_request(&mut head, peer, origin).map_err(fault)?;
        let upgrade = noted.upgrade.then(|| head.extensions.remove::<OnUpgrade>()).flatten();
        head.extensions.clear();
        Ok(Box::new(Self { head, body: RequestBody::stream(body), noted, form, origin, upgrade }))
    }

    /// A request of our own, as to a shadow or a probe. It should have a `host`.
    pub fn own(request: Request<RequestBody>) -> Box<Self> {
        let (head, body) = request.into_parts();
        let noted = Noted {
            upgrade: false,
            expects_continue: false,
            grpc: headers::is_grpc(&head.headers),
            idempotent: headers::is_idempotent(&head.method, &head.headers),
        };
        let form = Form::for_request(&head.headers);
        Box::new(Self { form, head, body, noted, origin: Origin::Stranger, upgrade: None })
    }

    /// From now on what goes by of its body to a replica is copied. Of an upgrade there is nothing to copy.
    pub fn copy_to(&mut self, tap: Tap) {
        self.body.copy_to(tap);
    }

    /// What it wants.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// How its caller understands a refusal.
    pub fn form(&self) -> Form {
        self.form
    }

    /// It is refused: what its client still sends is read for a moment, so that the answer arrives.
    pub fn discard(mut self, ends: &LooseEnds) {
        // What is read away went to nobody.
        self.body.forget_tap();
        match self.origin {
            // It has not begun to send, and will not.
            _ if self.noted.expects_continue => {}
            Origin::Stranger => ends.discard(self.body),
            Origin::Rouse => ends.discard_all(self.body),
        }
    }

    /// Bytes of its body that are in memory at most while it waits: all that it has, up to [`KEPT_BYTES`]. None of one that
    /// is sent only when it is asked for.
    pub fn bytes_while_waiting(&self) -> u64 {
        if self.noted.expects_continue {
            return 0;
        }
        http_body::Body::size_hint(&self.body).upper().unwrap_or(u64::MAX).min(KEPT_BYTES as u64)
    }

    /// Whether the client sends [`Self::bytes_while_waiting`] whether they are read or not: over HTTP/2 it may until it is
    /// told to stop. Over HTTP/1.1 what is not read waits in the socket.
    pub fn sends_unasked(&self) -> bool {
        self.head.version == Version::HTTP_2
    }

    /// Returns if its client breaks off while it waits for a replica; never otherwise. `may_read`: there is room for
    /// [`Self::bytes_while_waiting`], so its body is read ahead until so many are here; what is begun by then (a read of
    /// the connection at most) is kept too, and the rest stays with the client. A client that leaves drops the
    /// whole request: over HTTP/2 at once; over HTTP/1.1 at once while its connection is read from, and within a second
    /// while it is not (see [`Lookout`]). May be dropped at its await.
    pub async fn client_breaks(&mut self, may_read: bool, client: &Lookout) -> Failure {
        // Who expects to be asked would be, by reading.
        let reads = may_read && !self.noted.expects_continue && !self.sends_unasked();
        while reads && self.body.ahead() < KEPT_BYTES {
            match std::future::poll_fn(|cx| self.body.poll_ahead(cx, KEPT_BYTES)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Failure::ClientBody(error),
                None => return std::future::pending().await,
            }
        }
        if !self.sends_unasked() && !http_body::Body::is_end_stream(&self.body) {
            client.keep_asking().await;
        }
        std::future::pending().await
    }

    /// Hands it to a replica, and waits for the head of the answer. The time-outs start now.
    ///
    /// # Errors
    /// With what happened, and the request if it may be sent elsewhere.
    pub async fn send(mut self: Box<Self>, pool: &Pool, timeouts: Timeouts, trust: Trust) -> Result<Answer, SendError> {
        let mut deadline = Deadline::start(timeouts);
        self.body.touching(deadline.activity());
        let to_http2 = self.head.version == Version::HTTP_2;
        let to = self.origin;
        let answer = {
            let mut attempts = pin!(self.attempts(pool, trust));
            std::future::poll_fn(|cx| match attempts.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => deadline.poll_expired(cx).map(|expired| Err(expired.into())),
            })
            .await?
        };
        deadline.answer_begun();
        let Received { response, lease, retried, client, .. } = answer;
        let (mut head, body) = response.into_parts();
        let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let replica = head.extensions.remove::<OnUpgrade>();
        let upgrade = match (switched, client, replica) {
            (true, Some(client), Some(replica)) => Some((client, replica)),
            (true, ..) => return Err(Failure::UnaskedUpgrade.into()),
            (false, ..) => None,
        };
        head.extensions.clear();
        head.version = Version::HTTP_11;
        let mut outcome = head.headers.remove(OUTCOME);
        headers::prepare_answer(&mut head.headers, trust.from, switched).map_err(Failure::BadAnswer)?;
        if to == Origin::Rouse
            && let Some(said) = outcome.take()
        {
            head.headers.insert(OUTCOME, said);
        }
        Ok(Answer { head, retried, outcome, body, lease, deadline, upgrade, to_http2, tap: None })
    }

    async fn attempts(self: Box<Self>, pool: &Pool, trust: Trust) -> Result<Received, SendError> {
        let mut trip = Trip::prepare(self, pool.protocol(), trust);
        loop {
            let connection = match pool.kept(trip.at_most) {
                Some(connection) => connection,
                // Rare, and large: it does not weigh on those that find a connection.
                None => match Box::pin(pool.connection(trip.at_most)).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(trip.ends(Failure::Connect(error), true)),
                },
            };
            match send_on(connection, pool, &mut trip).await {
                Ok((mut response, lease)) => {
                    // Who is not believed has it taken out with the rest.
                    let believed = trust.from == Origin::Rouse;
                    if let Some(said) = believed.then(|| response.headers_mut().remove(NOT_STARTED)).flatten() {
                        let whole = trip.take_back();
                        return Err(trip.ends(Failure::NotStarted(text(&said)), whole));
                    }
                    if let Some(spare) = trip.spare.take() {
                        spare.body.forget();
                    }
                    return Ok(Received { response, lease, retried: trip.retried, client: trip.upgrade });
                }
                Err(Unsent::Returned(back)) => {
                    trip.request = Some(*back);
                    if trip.returned < UNWRITTEN_TRIES {
                        // Not a byte of it was written: the connection ended while it was kept.
                        trip.at_most = None;
                        trip.returned += 1;
                        continue;
                    }
                    // Who accepts and hangs up each time is as good as not there.
                    return Err(trip.ends(Failure::Connect(io::ErrorKind::ConnectionReset.into()), true));
                }
                Err(Unsent::Lost { error, .. }) if is_client_fault(&error) => {
                    return Err(Failure::ClientBody(error).into());
                }
                Err(Unsent::Lost { error, reused, heard }) => {
                    let refused = is_refused_stream(&error);
                    let whole = (refused || trip.may_repeat) && trip.take_back();
                    if refused {
                        return Err(trip.ends(Failure::NotStarted("the stream was refused".into()), whole));
                    }
                    if whole && reused && !heard && !trip.retried {
                        trip.at_most = None;
                        trip.retried = true;
                        continue;
                    }
                    return Err(trip.ends(Failure::Broke(error), false));
                }
            }
        }
    }
}

/// A request on its way, with what decides whether it may go once more.
///
/// Boxed, like the exchange that it was: what is moved between the futures of a request is then a pointer. Some kilobytes
/// of copies were most of what forwarding cost beside the system calls.
struct Trip {
    /// Away while it is being sent.
    request: Option<Request<RequestBody>>,
    noted: Noted,
    form: Form,
    origin: Origin,
    /// In which it came.
    version: Version,
    upgrade: Option<OnUpgrade>,
    /// What it takes to send it again. Kept only where it may be needed: it costs a copy of the head, and the memory of
    /// the body.
    spare: Option<Again>,
    /// To be touched by its body.
    activity: Option<Activity>,
    /// Who listens in to its body.
    tap: Option<Tap>,
    may_repeat: bool,
    /// How long a connection may have been idle; `None`: a new one.
    at_most: Option<Duration>,
    /// It went out a second time.
    retried: bool,
    /// How often it came back unwritten.
    returned: u32,
}

impl Trip {
    fn prepare(exchange: Box<Exchange>, protocol: Protocol, trust: Trust) -> Box<Self> {
        let Exchange { head, body, noted, form, origin, upgrade } = *exchange;
        let has_body = !http_body::Body::is_end_stream(&body);
        let version = head.version;
        let may_repeat = noted.idempotent && upgrade.is_none();
        let keep = trust.from == Origin::Rouse || may_repeat;
        let repeatable = may_repeat && (!has_body || 0 < trust.keep_bytes);
        let (activity, tap) = (body.activity(), body.tap().cloned());
        let mut request = Request::from_parts(head, body);
        address(&mut request, protocol);
        let spare = keep.then(|| Again { body: request.body_mut().keep(trust.keep_bytes), head: head_of(&request) });
        if let Some(spare) = spare.as_ref().filter(|_| has_body && trust.from == Origin::Rouse) {
            send_rest_when_told(&mut request, &spare.body, protocol);
        }
        Box::new(Self {
            request: Some(request),
            noted,
            form,
            origin,
            version,
            upgrade,
            spare,
            activity,
            tap,
            may_repeat,
            at_most: Some(if repeatable { KEPT_IDLE } else { FRESH }),
            retried: false,
            returned: 0,
        })
    }

    /// Takes the spare in the place of what was sent. `false`: there is none, or not all of it.
    fn take_back(&mut self) -> bool {
        let mut again = self.spare.take().and_then(Again::take_back);
        if let Some(request) = &mut again {
            request.body_mut().touching(self.activity.clone());
            if let Some(tap) = &self.tap {
                request.body_mut().copy_to(tap.again());
            }
        }
        self.request = again;
        self.request.is_some()
    }

    /// It goes no further. `whole`: and may be sent elsewhere.
    fn ends(self: Box<Self>, failure: Failure, whole: bool) -> SendError {
        let Self { request, noted, form, origin, version, upgrade, retried, .. } = *self;
        let again = request.filter(|_| whole).map(|request| {
            let (mut head, mut body) = request.into_parts();
            // Nothing of what was meant for this replica alone.
            body.release();
            head.headers.remove(EXPECT);
            head.headers.remove(TRANSFER_ENCODING);
            head.extensions.clear();
            head.version = version;
            headers::uri_for_http1(&mut head.uri, &mut head.headers);
            Box::new(Exchange { head, body, noted, form, origin, upgrade })
        });
        SendError { failure, again, retried }
    }
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        Self { failure, again: None, retried: false }
    }
}

impl From<Expired> for SendError {
    fn from(expired: Expired) -> Self {
        Failure::from(expired).into()
    }
}

/// A head that came, and what belongs to it.
struct Received {
    response: Response<Incoming>,
    lease: Lease,
    retried: bool,
    client: Option<OnUpgrade>,
}

/// What is needed to send a request once more.
struct Again {
    body: Spare,
    head: (Method, Uri, Version, HeaderMap),
}

impl Again {
    fn take_back(self) -> Option<Request<RequestBody>> {
        let mut request = Request::new(self.body.take_back()?);
        (*request.method_mut(), *request.uri_mut(), *request.version_mut(), *request.headers_mut()) = self.head;
        Some(request)
    }
}

fn head_of(request: &Request<RequestBody>) -> (Method, Uri, Version, HeaderMap) {
    (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone())
}

/// The request's address and version, in the form that the protocol wants.
fn address(request: &mut Request<RequestBody>, protocol: Protocol) {
    let mut headers = std::mem::take(request.headers_mut());
    *request.version_mut() = match protocol {
        Protocol::Http1 => {
            headers::uri_for_http1(request.uri_mut(), &mut headers);
            if has_chunks(request.method(), request.body(), &headers) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Version::HTTP_11
        }
        Protocol::H2c => {
            headers::uri_for_http2(request.uri_mut(), &mut headers);
            Version::HTTP_2
        }
    };
    *request.headers_mut() = headers;
}

/// A GET or HEAD with a body of unknown length: hyper takes those for none unless their head says that there are chunks.
fn has_chunks(method: &Method, body: &RequestBody, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && !http_body::Body::is_end_stream(body)
        && !headers.contains_key(CONTENT_LENGTH)
        && http_body::Body::size_hint(body).exact().is_none()
}

enum Unsent {
    /// Not written at all.
    Returned(Box<Request<RequestBody>>),
    /// Written, maybe in part.
    Lost { error: hyper::Error, reused: bool, heard: bool },
}

async fn send_on(connection: Connection, pool: &Pool, trip: &mut Trip) -> Result<(Response<Incoming>, Lease), Unsent> {
    // It is there whenever this is called; an empty one would be refused by whoever gets it.
    let request = trip.request.take().unwrap_or_default();
    request.body().goes();
    match connection {
        Connection::Exclusive { mut connection, reused } => {
            connection.heard.store(false, Ordering::Relaxed);
            match connection.sender.try_send_request(request).await {
                Ok(response) => Ok((response, Lease::Exclusive { connection, pool: pool.clone() })),
                Err(error) => Err(unsent(error, reused, connection.heard.load(Ordering::Relaxed))),
            }
        }
        Connection::Shared { connection, stream, reused } => {
            // Senders of HTTP/2 are cheap copies of one handle.
            let mut sender = connection.sender.clone();
            match sender.try_send_request(request).await {
                Ok(response) => Ok((response, Lease::Shared { _stream: stream })),
                Err(error) => Err(unsent(error, reused, false)),
            }
        }
    }
}

/// Of a body that is too large to be kept no more is sent than is kept, until the sidecar says that it goes on (`100
/// Continue`): it says so when the model takes the request. So a request that was not started can be sent elsewhere
/// however large it is. HTTP/2 has no such word in hyper: there what was read beyond is gone.
fn send_rest_when_told(request: &mut Request<RequestBody>, body: &Spare, protocol: Protocol) {
    let Some(release) = (protocol == Protocol::Http1).then(|| body.hold_back()).flatten() else { return };
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    hyper::ext::on_informational(request, move |said| {
        if said.status() == StatusCode::CONTINUE {
            release.now();
        }
    });
}

fn unsent(mut error: TrySendError<Request<RequestBody>>, reused: bool, heard: bool) -> Unsent {
    match error.take_message() {
        Some(request) => Unsent::Returned(Box::new(request)),
        None => Unsent::Lost { error: error.into_error(), reused, heard },
    }
}

/// Did the client's body break, rather than the replica?
fn is_client_fault(error: &hyper::Error) -> bool {
    error.is_user() && caused_by::<crate::body::BodyError>(error).is_some()
}

/// `REFUSED_STREAM`: by the protocol's word, not begun (RFC 9113 §8.7).
fn is_refused_stream(error: &hyper::Error) -> bool {
    let reset = caused_by::<h2::Error>(error);
    reset.is_some_and(|reset| reset.is_remote() && reset.reason() == Some(h2::Reason::REFUSED_STREAM))
}

fn caused_by<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// How long a caller that is turned away for a moment should wait.
pub const SOON: Duration = Duration::from_secs(1);
