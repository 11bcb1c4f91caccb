//! The mechanics of the request path, each behaviour once, for the sidecar and the activator.
//!
//! A program accepts a connection and hands it to a [`Server`], which calls its [`Service`] for each request. The
//! service makes an [`Exchange`] of it ([`Exchange::receive`]: hop-by-hop hygiene, origin, id), decides whatever it
//! decides, and hands it to a replica's [`Pool`] ([`Exchange::send`]), which answers with the head of the answer or with
//! a [`SendError`] that says whether it may be sent elsewhere. [`Answer::into_response`] takes the guard that counts the
//! request and keeps it to the last byte. What Rouse answers itself is a [`Refusal`].
//!
//! In reading order: `server` (clients), `leaving` (what is cut when), `headers`, `exchange` (what may be tried again), `answer`,
//! `pool` (replicas), `body`, `upgrade`, `timeouts`, `watch`, `lookout`, `aside`, `tap`, `refusal`; below HTTP, `transport` and `tls`. Not
//! here: who may go and who waits (`breaker`), which replica (`balance`).

mod answer;
mod aside;
mod body;
mod exchange;
mod headers;
mod leaving;
mod lookout;
mod pool;
mod refusal;
mod server;
mod stream;
mod tap;
mod timeouts;
pub mod tls;
mod transport;
mod upgrade;
mod watch;

pub use answer::{Answer, Unread};
pub use body::{Body, BodyError, RequestBody};
pub use exchange::{Exchange, Failure, KEPT_BYTES, SOON, SendError, Trust};
pub use headers::{Noted, OUTCOME, Origin, PROBE, REQUEST_ID, SHADOW, TAG};
pub use leaving::{ByClass, Class, Ended};
pub use lookout::Lookout;
pub use pool::{FRESH, KEPT_IDLE, Pool, PoolOptions, Protocol};
pub use refusal::{Form, NOT_STARTED, REASON, Reason, Refusal};
pub use server::{Arrival, Server, ServerLimits, Service};
pub use tap::{Copied, Copying, NotCopied, Tap};
pub use timeouts::{Activity, Deadline, Expired, Timeouts, grpc_timeout};
pub use transport::Transport;
pub use upgrade::LooseEnds;

/// What the fuzzer plays alone, without a connection. Not for programs.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::headers::{prepare_answer, prepare_request, uri_for_http1, uri_for_http2};
}
