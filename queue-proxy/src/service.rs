//! The request path, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use breaker::Via;
use forward::{
    Arrival, Body, Exchange, Failure, Form, Lookout, NOT_STARTED, Origin, PROBE, Pool, REQUEST_ID, Reason, Refusal,
    RequestBody, SOON, Service, Timeouts, Trust, grpc_timeout,
};
use http::header::{EXPECT, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use crate::gate::{Arrived, Full, Ticket};
use crate::metrics::{Outcome, Retried};
use crate::shared::Shared;

/// How long an activator's `rouse-probe: wait` is held before it must ask again.
const PROBE_WAIT: Duration = Duration::from_secs(10);

/// How often a request looks for a model that answers its probe and takes no connection.
const CONNECT_TRIES: u32 = 3;

/// What answers on one of the two ports.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
    pub(crate) via: Via,
}

impl Service for Door {
    type Body = Body<Ticket>;

    async fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> Response<Body<Ticket>> {
        let shared = &self.shared;
        let origin = match self.via {
            Via::Direct => Origin::Stranger,
            Via::Activator => {
                if let Some(asked) = request.headers().get(PROBE) {
                    return Box::pin(readiness(shared, asked.as_bytes() == b"wait")).await;
                }
                if shared.is_leaving() {
                    return self.not_started(request);
                }
                Origin::Rouse
            }
        };

        let exchange = match Exchange::receive(request, arrival.peer.ip(), origin) {
            Ok(exchange) => exchange,
            // It counts as a request, and not as demand: more replicas would not understand it either.
            Err((refusal, form)) => {
                self.count(&refusal, None);
                shared.gate.turned_away(refusal.reason.status());
                return refusal.answer(form, None);
            }
        };
        // Counted from here to the last byte: also what is refused, for refused demand must scale up.
        let (ticket, arrived) = shared.gate.arrive(self.via);
        self.hold_and_forward(exchange, ticket, arrived, &arrival.lookout).await
    }

    fn too_late(&self, form: Form) -> Response<Body<Ticket>> {
        let refusal = Refusal::new(Reason::Timeout, "this replica leaves, and there was no answer in time");
        self.shared.metrics.refused(refusal.reason);
        refusal.answer(form, None)
    }
}

impl Door {
    async fn hold_and_forward(
        &self,
        mut exchange: Box<Exchange>,
        mut ticket: Ticket,
        arrived: Arrived,
        client: &Lookout,
    ) -> Response<Body<Ticket>> {
        let (shared, form) = (&self.shared, exchange.form());
        let timeouts = bounded_by_client(shared.timeouts(), &exchange);
        // For the lines that tell of it. Nobody pays for lines that are not written.
        let request_id = tracing::enabled!(tracing::Level::DEBUG).then(|| request_id(&exchange.head.headers)).flatten();

        // Its turn.
        if let Err(refusal) = self.hold(&mut ticket, arrived, &mut exchange, timeouts.request, client).await {
            exchange.discard(&shared.ends);
            return self.refuse(&refusal, form, request_id, ticket);
        }

        // The model. A model that has gone is waited for again, in front of everyone else: nothing was begun.
        let pool = self.pool(&exchange);
        let mut tries_left = CONNECT_TRIES;
        loop {
            let error = match exchange.send(pool, timeouts, Trust::MODEL).await {
                Ok(answer) => {
                    if answer.retried {
                        shared.metrics.retried(Retried::StaleConnection);
                    }
                    ticket.answered(answer.head.status, Outcome::Answered);
                    if answer.is_upgrade() {
                        ticket.upgraded();
                    }
                    return answer.into_response(ticket, &shared.ends);
                }
                Err(error) => error,
            };
            debug!(?request_id, error = %error.failure, via = ?self.via, "no answer from the model");
            let refusal = error.refusal();
            let no_connection = matches!(error.failure, Failure::Connect(_));
            let Some(again) = error.again.filter(|_| no_connection) else {
                return self.refuse(&refusal, form, request_id, ticket);
            };
            exchange = again;
            shared.readiness.doubt(&shared.gate);
            tries_left -= 1;
            if tries_left == 0 {
                exchange.discard(&shared.ends);
                let detail = "the model passes its probe, and takes no connection";
                let refusal = Refusal::new(Reason::NoConnection, detail).retry_after(SOON);
                return self.refuse(&refusal, form, request_id, ticket);
            }
            shared.metrics.retried(Retried::NoConnection);
            let arrived = ticket.step_back();
            if let Err(refusal) = self.hold(&mut ticket, arrived, &mut exchange, timeouts.request, client).await {
                exchange.discard(&shared.ends);
                return self.refuse(&refusal, form, request_id, ticket);
            }
        }
    }

    /// Whom and how it is sent. An activator speaks to a sidecar as the model is to be spoken to: HTTP/2 for endpoints
    /// that say so. Other clients speak what they like, and say nothing about the model by it.
    fn pool(&self, exchange: &Exchange) -> &Pool {
        let shared = &self.shared;
        match self.via {
            _ if exchange.noted().grpc => &shared.grpc,
            Via::Activator if exchange.head.version == Version::HTTP_2 => &shared.http2,
            Via::Activator | Via::Direct => &shared.http,
        }
    }

    /// Returns when it may go. Waiting may be dropped: the place in the line is the ticket's, and is given back with it.
    async fn hold(
        &self,
        ticket: &mut Ticket,
        arrived: Arrived,
        exchange: &mut Exchange,
        most: Option<Duration>,
        client: &Lookout,
    ) -> Result<(), Refusal> {
        match arrived {
            Arrived::Goes => Ok(()),
            // Apart, so that whoever goes at once does not carry what it takes to wait.
            Arrived::Waits(turn) => Box::pin(self.wait(ticket, turn, exchange, most, client)).await,
            Arrived::Full(Full { waiting, retry_after }) => {
                let detail = format!("{waiting} requests wait for this replica already");
                Err(Refusal::new(Reason::QueueFull, detail).retry_after(retry_after))
            }
        }
    }

    async fn wait(
        &self,
        ticket: &mut Ticket,
        turn: oneshot::Receiver<()>,
        exchange: &mut Exchange,
        most: Option<Duration>,
        client: &Lookout,
    ) -> Result<(), Refusal> {
        let may_read = ticket.make_room(exchange.bytes_while_waiting());
        // An activator has been promised a place already, and bounds what it sends by a budget of its own.
        if !may_read && exchange.sends_unasked() && self.via == Via::Direct {
            let detail =
                "the bodies that wait for this replica take as much memory as they may, and HTTP/2 sends unasked";
            return Err(Refusal::new(Reason::QueueFull, detail).retry_after(self.shared.gate.come_back()));
        }
        let leaving = async {
            match self.via {
                // Another replica takes it: nothing was begun.
                Via::Activator => self.shared.leaving.cancelled().await,
                Via::Direct => self.shared.ends.too_late().cancelled().await,
            }
        };
        let patience = async {
            match most {
                Some(most) => tokio::time::sleep(most).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ticket.wait(turn) => Ok(()),
            failure = exchange.client_breaks(may_read, client) => {
                Err(Refusal::new(Reason::BadRequest, failure.to_string()))
            }
            () = leaving => {
                Err(Refusal::new(Reason::Leaving, "this replica is leaving, and had not begun it").retry_after(SOON))
            }
            () = patience => {
                let detail = format!("no turn at this replica within {}", humantime::format_duration(most.unwrap_or_default()));
                Err(Refusal::new(Reason::WaitedTooLong, detail).retry_after(self.shared.gate.come_back()))
            }
        }
    }

    fn not_started(&self, request: Request<Incoming>) -> Response<Body<Ticket>> {
        let (form, request_id) = (Form::for_request(request.headers()), request_id(request.headers()));
        // Reading asks for the rest of a body that waits for that, and then it could not be sent elsewhere any more.
        if !request.headers().contains_key(EXPECT) {
            self.shared.ends.discard_all(RequestBody::stream(request.into_body()));
        }
        let refusal = Refusal::new(Reason::Leaving, "this replica is leaving");
        self.count(&refusal, request_id.as_ref());
        self.marked(&refusal, refusal.answer(form, None))
    }

    fn count(&self, refusal: &Refusal, request_id: Option<&HeaderValue>) {
        let (reason, detail) = (refusal.reason.word(), &refusal.detail);
        debug!(?request_id, reason, %detail, via = ?self.via, "refused");
        self.shared.metrics.refused(refusal.reason);
    }

    /// A refusal, told and counted, with its ticket kept until it is sent.
    fn refuse(
        &self,
        refusal: &Refusal,
        form: Form,
        request_id: Option<HeaderValue>,
        mut ticket: Ticket,
    ) -> Response<Body<Ticket>> {
        self.count(refusal, request_id.as_ref());
        ticket.answered(refusal.reason.status(), Outcome::Refused);
        self.marked(refusal, refusal.answer(form, Some(ticket)))
    }

    /// An activator is told of what was not begun, so that it goes to another replica.
    fn marked(&self, refusal: &Refusal, mut response: Response<Body<Ticket>>) -> Response<Body<Ticket>> {
        if matches!(refusal.reason, Reason::Leaving | Reason::NoConnection) && self.via == Via::Activator {
            response.headers_mut().insert(NOT_STARTED, HeaderValue::from_static(refusal.reason.word()));
        }
        response
    }
}

/// Cheap to clone.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(REQUEST_ID).cloned()
}

/// `grpc-timeout` bounds the wait too.
fn bounded_by_client(timeouts: Timeouts, exchange: &Exchange) -> Timeouts {
    let says = exchange.noted().grpc.then(|| grpc_timeout(&exchange.head.headers)).flatten();
    let request = [timeouts.request, says].into_iter().flatten().min();
    Timeouts { request, ..timeouts }
}

/// An activator asks whether the model is ready, now or as soon as it is.
async fn readiness(shared: &Shared, wait: bool) -> Response<Body<Ticket>> {
    let mut ready = shared.readiness.follow();
    if wait {
        // Leaving while somebody waits answers at once.
        tokio::select! {
            _ = timeout(PROBE_WAIT, ready.wait_for(|ready| *ready)) => {}
            () = shared.leaving.cancelled() => {}
        }
    }
    let is_ready = *ready.borrow() && !shared.is_leaving();
    let mut response = Response::new(Body::whole(if is_ready { "ready\n" } else { "not ready\n" }, None));
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    if shared.is_leaving() {
        response.headers_mut().insert(NOT_STARTED, HeaderValue::from_static("leaving"));
    }
    response
}
