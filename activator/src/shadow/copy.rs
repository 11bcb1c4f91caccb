//! One request, from its last byte to what its copies came to.

use std::sync::Arc;
use std::time::Duration;

use breaker::Budget;
use bytes::Bytes;
use forward::{Copied, Copying, Exchange, Failure, NotCopied, RequestBody, SHADOW, SendError, Unread};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, TRAILER};
use http::{HeaderValue, Request, request, response};
use platform::Timeouts;
use tokio::sync::oneshot;
use units::Moment;

use super::judge::{Judge, Pair};
use super::tally::Fate;
use super::{LARGEST_BODY, Room, Shadow};
use crate::hold::Refused;
use crate::service::reach;

/// How many bytes of a body are JSON, before binary tensors (the Open Inference Protocol's binary extension).
const JSON_BYTES: &str = "inference-header-content-length";

/// A request of which there are to be copies.
pub(super) struct Ask {
    pub(super) chosen: Vec<(Shadow, Room)>,
    /// Its body, once the last byte has gone to the replica.
    pub(super) body: Copying,
    /// What its client is answered.
    pub(super) used: oneshot::Receiver<Used>,
    pub(super) head: request::Parts,
    pub(super) request_id: HeaderValue,
    pub(super) budget: Budget,
    pub(super) judge: Judge,
}

/// What a client is answered, as it begins.
pub(super) struct Used {
    pub(super) head: AnswerHead,
    pub(super) body: Copying,
    /// When a replica had room for the request.
    pub(super) handed_over: Moment,
}

/// What is looked at of an answer's head.
#[derive(Clone, Debug)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) json_bytes: Option<usize>,
    /// Its body is packed: gzip, or the like.
    pub(super) is_encoded: bool,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) head: AnswerHead,
    pub(super) body: Copied,
    /// From when a replica had room for the request to the last byte of the answer.
    pub(super) took: Duration,
}

impl AnswerHead {
    pub(super) fn of(head: &response::Parts) -> Self {
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
        let header = |name: &str| head.headers.get(name).and_then(text);
        let is_packed = |coding: String| !coding.trim().eq_ignore_ascii_case("identity");
        Self {
            status: head.status.as_u16(),
            content_type: header(CONTENT_TYPE.as_str()).unwrap_or_default(),
            json_bytes: header(JSON_BYTES).and_then(|bytes| bytes.trim().parse().ok()),
            is_encoded: header(CONTENT_ENCODING.as_str()).is_some_and(is_packed),
        }
    }
}

/// The head of a copy: the client's, and that it is one.
pub(super) fn head_of(exchange: &Exchange) -> request::Parts {
    let mut head = Request::new(()).into_parts().0;
    head.method = exchange.head.method.clone();
    head.uri = exchange.head.uri.clone();
    head.headers = exchange.head.headers.clone();
    head.headers.remove(EXPECT);
    head.headers.remove(TRAILER);
    head.headers.insert(SHADOW, HeaderValue::from_static("true"));
    head
}

impl Ask {
    /// Ends once every copy has, and is compared.
    pub(super) async fn run(mut self) {
        let body = match self.body.copied().await {
            Ok(body) => body,
            Err(why) => {
                let fate = match why {
                    NotCopied::TooLarge => Fate::RequestTooLarge,
                    NotCopied::NoRoom => Fate::NoRoom,
                    NotCopied::Broke => Fate::RequestBroke,
                };
                self.chosen.iter().for_each(|(shadow, _)| shadow.tally.fell(fate));
                return;
            }
        };
        let Self { chosen, used, head, request_id, budget, judge, .. } = self;
        let clock = chosen.first().map(|(shadow, _)| shadow.hold.clock);
        let compares = chosen.iter().any(|(shadow, _)| shadow.spec.compare.is_some());
        // Where nobody compares it is dropped, so that nothing is written down for nobody.
        let used = compares.then_some(used);
        let used = async {
            let (Used { head, mut body, handed_over }, clock) = (used?.await.ok()?, clock?);
            let body = body.copied().await.ok()?;
            Some(Arc::new(Whole { head, body, took: clock.now().since(handed_over) }))
        }
        .shared();
        let copies = chosen.into_iter().map(|(shadow, room)| {
            let copy =
                Copy { shadow, head: head.clone(), body: body.bytes.clone(), request_id: &request_id, budget: &budget };
            copy.run(room, used.clone(), &judge)
        });
        // Beside them the client's answer, so that its time is taken when it ends.
        tokio::join!(join_all(copies), used.clone());
        drop(body);
    }
}

/// One copy.
struct Copy<'a> {
    shadow: Shadow,
    head: request::Parts,
    body: Bytes,
    request_id: &'a HeaderValue,
    budget: &'a Budget,
}

impl Copy<'_> {
    /// Holds its room no longer than it needs it: what another shadow does with the same request is not its business.
    async fn run(self, room: Room, used: impl Future<Output = Option<Arc<Whole>>>, judge: &Judge) {
        let Self { shadow, head, body, request_id, budget } = self;
        let tally = &shadow.tally;
        let asked = tally.unless_ended(ask(&shadow, head, body, request_id, budget)).await;
        let answer = asked.unwrap_or(Err(Fate::Ended));
        tally.fell(match &answer {
            Ok(answer) if 500 <= answer.head.status => Fate::Error,
            Ok(_) => Fate::Answered,
            Err(fate) => *fate,
        });
        let (Some(rules), Ok(answer)) = (&shadow.spec.compare, answer) else { return };
        match tally.unless_ended(used).await.flatten() {
            None => tally.not_compared(),
            Some(used) => {
                let (rules, tally, request_id) = (rules.clone(), Arc::clone(tally), request_id.clone());
                judge.judge(Pair { used, answer, rules, tally, request_id, at: shadow.hold.clock.now() }).await;
            }
        }
        drop(room);
    }
}

/// Sends one copy as a client's request is sent, but that it waits in no budget of theirs; and reads its answer.
async fn ask(
    shadow: &Shadow,
    head: request::Parts,
    body: Bytes,
    request_id: &HeaderValue,
    budget: &Budget,
) -> Result<Whole, Fate> {
    let hold = &shadow.hold;
    let mut visit = hold.arrive_copy(request_id, shadow.spec.wake).map_err(fate_of)?;
    let mut exchange = Exchange::own(Request::from_parts(head, RequestBody::whole(body)));
    let Timeouts { request, response_start, idle } = shadow.timeouts;
    let timeouts = forward::Timeouts { request, response_start, idle };
    loop {
        let replica = visit.replica(shadow.max_wait).await.map_err(fate_of)?;
        let handed_over = hold.clock.now();
        let (pool, trust) = reach(&replica, &exchange);
        match exchange.send(pool, timeouts, trust).await {
            Ok(answer) => {
                visit.answered();
                let head = AnswerHead::of(&answer.head);
                let (tally, says_its_length) = (&shadow.tally, answer.says_its_length());
                // A failure is read in any case: it is short, and should be told as one.
                if !says_its_length && head.status < 500 && !tally.is_worth_reading() {
                    return Err(Fate::AnswerTooLarge);
                }
                let read = answer.read(budget, LARGEST_BODY, visit).await;
                match &read {
                    Ok(_) if !says_its_length => tally.was_read(true),
                    Err(Unread::NotCopied(NotCopied::TooLarge)) if !says_its_length => tally.was_read(false),
                    _ => {}
                }
                let body = read.map_err(|error| match error {
                    Unread::Expired(_) => Fate::Timeout,
                    Unread::NotCopied(NotCopied::TooLarge) => Fate::AnswerTooLarge,
                    Unread::NotCopied(NotCopied::NoRoom) => Fate::NoRoom,
                    Unread::NotCopied(NotCopied::Broke) => Fate::Broke,
                })?;
                return Ok(Whole { head, body, took: hold.clock.now().since(handed_over) });
            }
            Err(SendError { again: Some(again), .. }) => {
                visit.step_back(request_id);
                exchange = again;
            }
            Err(SendError { failure: Failure::Expired(_), .. }) => return Err(Fate::Timeout),
            Err(_) => return Err(Fate::Broke),
        }
    }
}

fn fate_of(refused: Refused) -> Fate {
    match refused {
        Refused::Asleep => Fate::Asleep,
        _ => Fate::Refused,
    }
}
