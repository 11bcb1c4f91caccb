//! The request path, from top to bottom.

use std::sync::Arc;
use std::time::Duration;

use forward::{
    Answer, Arrival, Body, Exchange, Form, LooseEnds, Origin, Protocol, REQUEST_ID, Reason, Refusal, SendError, TAG,
    Timeouts, Trust,
};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tracing::debug;
use units::{EndpointKey, Moment};

use crate::cookie;
use crate::directory::Directory;
use crate::hold::{Hold, Refused};
use crate::metrics::Outcome;
use crate::replica::Replica;
use crate::routes::Found;
use crate::served::{InForce, Served};
use crate::shadow::Copies;
use crate::tally::{Head, Tally};
use crate::timing;
use crate::visit::Visit;
use crate::way::Way;

/// `rouse-revision`: which revision answered.
const REVISION: HeaderName = HeaderName::from_static("rouse-revision");
/// `server-timing`: how long a wake took, and its parts.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const NO_TAG: HeaderValue = HeaderValue::from_static("");

/// A listener's service: the shared one, on which the Host decides, or an endpoint's own.
pub(crate) struct Door {
    pub(crate) directory: Arc<Directory>,
    pub(crate) own: Option<EndpointKey>,
    pub(crate) ends: LooseEnds,
}

impl forward::Service for Door {
    type Body = Body<Guard>;

    async fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> Response<Self::Body> {
        match self.serve(request, arrival).await {
            Ok(response) => response,
            Err(Refusing { endpoint, refusal, form, request_id }) => {
                let (reason, detail) = (refusal.reason.word(), &refusal.detail);
                debug!(?request_id, ?endpoint, reason, %detail, "refused");
                self.count(endpoint.as_ref(), refusal.reason);
                refusal.answer(form, None)
            }
        }
    }

    fn too_late(&self, form: Form) -> Response<Self::Body> {
        let refusal = Refusal::new(Reason::Timeout, "this activator leaves, and there was no answer in time");
        self.count(self.own.as_ref(), refusal.reason);
        refusal.answer(form, None)
    }
}

/// A refusal on its way to the client.
struct Refusing {
    endpoint: Option<EndpointKey>,
    refusal: Refusal,
    form: Form,
    /// None if it was not even understood.
    request_id: Option<HeaderValue>,
}

impl Door {
    async fn serve(&self, request: Request<Incoming>, arrival: Arrival) -> Result<Response<Body<Guard>>, Refusing> {
        let tag = request.headers().get(TAG).cloned();
        let exchange = Exchange::receive(request, arrival.peer.ip(), Origin::Stranger);
        let unread = |(refusal, form)| Refusing { endpoint: None, refusal, form, request_id: None };
        let mut exchange = exchange.map_err(unread)?;
        let form = exchange.form();
        let request_id = request_id(&exchange);
        let refuse = |endpoint: Option<&EndpointKey>, refusal| {
            let (endpoint, request_id) = (endpoint.cloned(), Some(request_id.clone()));
            Refusing { endpoint, refusal, form, request_id }
        };

        let served = match self.endpoint(&exchange) {
            Ok(served) => served,
            Err(refusal) => {
                exchange.discard(&self.ends);
                return Err(refuse(self.own.as_ref(), refusal));
            }
        };
        let in_force = served.now();
        // What the client says itself goes before where it has come.
        let host = exchange.head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let asked = match &tag {
            Some(tag) => tag.to_str().ok(),
            None => host.and_then(|host| served.tag_of(&in_force, host)),
        };
        let looks = traffic::Request {
            method: &exchange.head.method,
            path: exchange.head.uri.path(),
            headers: &exchange.head.headers,
            client: arrival.peer.ip(),
        };
        let Some((hold, choice)) = served.choose(&in_force, asked, looks) else {
            exchange.discard(&self.ends);
            let detail = format!("no revision of {} has the tag {:?}", served.key, tag.unwrap_or(NO_TAG));
            return Err(refuse(Some(&served.key), Refusal::new(Reason::RevisionMissing, detail)));
        };

        let mut way = Way::new(&in_force, hold, &choice);
        let new_cookie = choice.set_cookie.map(|cookie| cookie::header(&cookie, &exchange.head.headers));

        let unasked = if exchange.sends_unasked() { exchange.bytes_while_waiting() } else { 0 };
        let mut guard = match self.enter(&served, &mut way, &request_id, unasked) {
            Ok(guard) => guard,
            Err(refusal) => {
                exchange.discard(&self.ends);
                return Err(refuse(Some(&served.key), refusal));
            }
        };
        // What it may wait, it may wait in all, at however many revisions.
        let arrived = guard.visit.arrived;
        // None before it goes to a replica for the first time: what is held takes no room of those that are copied.
        let mut copies: Option<Option<Copies>> = None;
        // A caller of gRPC says how long it waits itself.
        let caller_waits = exchange.noted().grpc.then(|| forward::grpc_timeout(&exchange.head.headers)).flatten();
        let max_wait = caller_waits
            .map_or(in_force.endpoint.queue.max_wait, |caller| caller.min(in_force.endpoint.queue.max_wait));
        loop {
            let waits = guard.visit.waits();
            let may_read = waits && guard.visit.make_room(exchange.bytes_while_waiting());
            let left = max_wait.saturating_sub(guard.visit.arrived.since(arrived));
            let waited = tokio::select! {
                // Both may be dropped: the visit keeps its place, and the exchange what was read.
                biased;
                waited = guard.visit.replica(left) => waited,
                () = self.ends.too_late().cancelled() => {
                    guard.outcome = Outcome::Refused;
                    exchange.discard(&self.ends);
                    let detail = "this activator leaves, and no replica had room until then";
                    let refusal = Refusal::new(Reason::Leaving, detail).retry_after(forward::SOON);
                    return Err(refuse(Some(&served.key), refusal));
                }
                failure = exchange.client_breaks(may_read, &arrival.lookout), if waits => {
                    return Err(refuse(Some(&served.key), Refusal::new(Reason::BadRequest, failure.to_string())));
                }
            };
            let replica = match waited {
                Ok(replica) => replica,
                Err(refused) => match self.leave(guard, &refused, &served, &mut way, &request_id) {
                    Ok(elsewhere) => {
                        guard = elsewhere;
                        continue;
                    }
                    Err(refusal) => {
                        exchange.discard(&self.ends);
                        return Err(refuse(Some(&served.key), refusal));
                    }
                },
            };
            let hold = way.hold;
            let handed_over = guard.handed_over(hold);
            let timeouts =
                timeouts(&in_force, caller_waits.map(|caller| caller.saturating_sub(handed_over.since(arrived))));
            let copies = copies.get_or_insert_with(|| self.copies(&served, &in_force, &mut exchange, &request_id));
            let (pool, trust) = reach(&replica, &exchange);
            match exchange.send(pool, timeouts, trust).await {
                Ok(mut answer) => {
                    guard.answered(&answer);
                    if let Some(copies) = copies.take() {
                        copies.compare_with(&mut answer, handed_over);
                    }
                    if in_force.endpoint.answer_headers {
                        let headers = &mut answer.head.headers;
                        headers.insert(REVISION, hold.name_header.clone());
                        if guard.visit.woke {
                            let now = self.directory.clock.now();
                            let parts = timing::Wake::of(guard.visit.arrived, &replica, handed_over, now);
                            headers.append(SERVER_TIMING, parts.header());
                        }
                    }
                    if let Some(new_cookie) = new_cookie {
                        cookie::add(&mut answer.head.headers, new_cookie);
                    }
                    return Ok(answer.into_response(guard, &self.ends));
                }
                // No replica has begun it: it goes before everyone else to another one.
                Err(SendError { again: Some(again), failure, .. }) => {
                    debug!(revision = %hold.key, replica = %replica.name, %failure, "not begun, trying again");
                    guard.retried(&failure);
                    guard.visit.step_back(&request_id);
                    exchange = again;
                }
                Err(error) => {
                    guard.outcome = Outcome::Refused;
                    return Err(refuse(Some(&served.key), broke(&error, &replica)));
                }
            }
        }
    }

    /// Lets it in at its revision, or at the next to which its way leads. `bytes` of its body will be in memory while it
    /// waits.
    fn enter(
        &self,
        served: &Served,
        way: &mut Way<'_>,
        request_id: &HeaderValue,
        bytes: u64,
    ) -> Result<Guard, Refusal> {
        loop {
            match way.hold.arrive(request_id, bytes) {
                Ok(visit) => return Ok(Guard::new(visit, way.hold, way.tally.cloned())),
                Err(refused) => {
                    way.turned_away();
                    way.onward(self.refusal(&refused, served, way.hold))?;
                }
            }
        }
    }

    /// Its revision will not serve it, for which it waited: on to the next, or out.
    fn leave(
        &self,
        mut guard: Guard,
        refused: &Refused,
        served: &Served,
        way: &mut Way<'_>,
        request_id: &HeaderValue,
    ) -> Result<Guard, Refusal> {
        guard.outcome = Outcome::Refused;
        way.onward(self.refusal(refused, served, way.hold))?;
        guard.outcome = Outcome::FellBack;
        let bytes = guard.visit.body_bytes();
        // It takes nothing there any more, so that it needs its room once only.
        drop(guard);
        self.enter(served, way, request_id, bytes)
    }

    /// Listens in for shadows, if the endpoint has any.
    fn copies(&self, served: &Served, now: &InForce, exchange: &mut Exchange, id: &HeaderValue) -> Option<Copies> {
        if now.shadows.is_empty() {
            return None;
        }
        self.directory.shadows.listen(&now.shadows, served.next_copied(), exchange, id)
    }

    /// What is refused because its endpoint is gone is nobody's: a series once more would never be forgotten.
    fn count(&self, endpoint: Option<&EndpointKey>, reason: Reason) {
        let there = endpoint.filter(|key| self.directory.by_key(key).is_some());
        self.directory.metrics.refused(there, reason);
    }

    fn endpoint(&self, exchange: &Exchange) -> Result<Arc<Served>, Refusal> {
        let host = exchange.head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = match &self.own {
            None => None,
            Some(key) => Some(self.directory.by_key(key).ok_or_else(|| deleted(key))?),
        };
        match (own, host) {
            (Some(served), Some(host)) if self.directory.belongs_to_another(host, &served) => Err(Refusal::new(
                Reason::Misdirected,
                format!("{host} is the name of another endpoint, this port is {}'s alone", served.key),
            )),
            (Some(served), _) => Ok(served),
            (None, host) => match self.directory.find(host) {
                Found::Endpoint(served) => Ok(served),
                Found::UnknownHost => Err(Refusal::new(
                    Reason::UnknownHost,
                    format!(
                        "no endpoint has the host {:?}; an endpoint answers to NAME.NAMESPACE, NAME.localhost and its hosts",
                        host.unwrap_or_default()
                    ),
                )),
                Found::NotSynced => Err(Refusal::new(Reason::NotSynced, "just started, endpoints are not known yet")
                    .retry_after(forward::SOON)),
            },
        }
    }

    fn refusal(&self, refused: &Refused, served: &Served, hold: &Hold) -> Refusal {
        let revision = &hold.key;
        match refused {
            Refused::QueueFull { retry_after } => {
                Refusal::new(Reason::QueueFull, format!("as many requests as may wait for {revision} wait already"))
                    .retry_after(*retry_after)
            }
            Refused::ActivatorFull { retry_after } => {
                let detail = "as much waits at this activator, for all revisions, as its memory budget allows";
                Refusal::new(Reason::ActivatorFull, detail).retry_after(*retry_after)
            }
            // It may still be that nobody heard of it.
            Refused::WaitedTooLong { waited, retry_after, without_replica: true } if !self.directory.is_led() => {
                let autoscalers = self.directory.config.autoscalers.borrow().as_deref().map_or(0, <[_]>::len);
                let detail = format!(
                    "{revision} has no replica, and after {waited:?} none of the {autoscalers} autoscalers that could start \
                     one can be reached and leads"
                );
                Refusal::new(Reason::CannotWake, detail).retry_after(*retry_after)
            }
            Refused::WaitedTooLong { waited, retry_after, .. } => {
                Refusal::new(Reason::WaitedTooLong, format!("no replica of {revision} had room within {waited:?}"))
                    .retry_after(*retry_after)
            }
            Refused::StartFailed { detail, retry_after } => {
                Refusal::new(Reason::StartFailed, format!("{revision} could not be started: {detail}"))
                    .retry_after(*retry_after)
            }
            Refused::CannotWake { detail, retry_after } => {
                Refusal::new(Reason::CannotWake, format!("{revision} cannot be woken: {detail}"))
                    .retry_after(*retry_after)
            }
            Refused::Missing if self.directory.by_key(&served.key).is_none() => deleted(&served.key),
            // Said to copies alone.
            Refused::Missing | Refused::Asleep => {
                Refusal::new(Reason::RevisionMissing, format!("there is no revision {revision}"))
            }
        }
    }
}

/// What is kept until the last byte of an answer has gone.
pub(crate) struct Guard {
    visit: Visit,
    hold: Arc<Hold>,
    outcome: Outcome,
    /// The replica's answer has a status of 500 or more.
    failed: bool,
    handed_over: Option<Moment>,
    /// Where it is counted for comparing revisions, and what of its answer is.
    tally: Option<Arc<Tally>>,
    head: Option<Head>,
}

impl Guard {
    fn new(visit: Visit, hold: &Arc<Hold>, tally: Option<Arc<Tally>>) -> Self {
        // Whoever drops it before anything else was said is a client that went away.
        let (hold, outcome) = (Arc::clone(hold), Outcome::ClientGone);
        Self { visit, hold, outcome, failed: false, handed_over: None, tally, head: None }
    }

    /// A replica answers.
    fn answered(&mut self, answer: &Answer) {
        self.outcome = Outcome::Answered;
        self.failed = answer.head.status.is_server_error();
        if self.tally.is_some() {
            self.head = Some(Head::new(answer.head.status, answer.outcome.as_ref(), self.hold.clock.now()));
        }
        self.visit.answered();
    }

    /// A replica has room: the request goes to it now.
    fn handed_over(&mut self, hold: &Hold) -> Moment {
        let now = hold.clock.now();
        if self.handed_over.is_none() {
            hold.metrics.hold_duration.observe(now.since(self.visit.arrived).as_secs_f64());
        }
        self.handed_over = Some(now);
        now
    }

    fn retried(&self, failure: &forward::Failure) {
        match failure {
            forward::Failure::Connect(_) => self.hold.metrics.retries_connect.inc(),
            _ => self.hold.metrics.retries_not_started.inc(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let now = self.hold.clock.now();
        self.hold.metrics.ended(self.outcome, self.failed, now.since(self.visit.arrived));
        if let Some(tally) = &self.tally {
            tally.ended(self.outcome, self.head, self.handed_over, now);
        }
    }
}

/// `Exchange::receive` has made one where there was none.
fn request_id(exchange: &Exchange) -> HeaderValue {
    exchange.head.headers.get(REQUEST_ID).cloned().unwrap_or_else(|| HeaderValue::from_static(""))
}

/// Which connections, and what is believed of what comes back.
pub(crate) fn reach<'a>(replica: &'a Replica, exchange: &Exchange) -> (&'a forward::Pool, Trust) {
    let wants_h2c = exchange.noted().grpc || replica.settings.protocol == platform::UpstreamProtocol::H2c;
    let protocol = if wants_h2c && !exchange.noted().upgrade { Protocol::H2c } else { Protocol::Http1 };
    let trust = if replica.sidecar { Trust::SIDECAR } else { Trust::MODEL };
    (replica.pool(protocol), trust)
}

/// `caller_waits`: how long the caller does from now on, if it says so.
fn timeouts(in_force: &InForce, caller_waits: Option<Duration>) -> Timeouts {
    let platform::Timeouts { request, response_start, idle } = in_force.endpoint.timeouts;
    Timeouts { request: [request, caller_waits].into_iter().flatten().min(), response_start, idle }
}

fn deleted(endpoint: &EndpointKey) -> Refusal {
    Refusal::new(Reason::EndpointDeleted, format!("there is no endpoint {endpoint} any more"))
}

fn broke(error: &SendError, replica: &Replica) -> Refusal {
    let refusal = error.refusal();
    Refusal { detail: format!("{}: {}", replica.name, refusal.detail).into(), ..refusal }
}
