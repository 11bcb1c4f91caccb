//! The data plane between clients and servers that others wrote. What the tests in `tests/` share.
//!
//! - `sidecar`: `queue-proxy` as a program
//! - `server`: servers and clients with Python (`python/`), and what stands between them
//! - `curl`: curl as a program
//! - `programs`: foreign programs, found or left out; `deps.sh` fetches those that apt does not have
//! - `model`: a server that answers with the bytes it is told to, and remembers the bytes that it was sent
//! - `line`: a client that sends bytes as they are written down in a test
//!
//! The model and the line are ours because nobody else shows bytes that plainly; they are as simple as they can be, and
//! no conformance is claimed of them. Everything that is compared is what a foreign program, or the wire, says.

mod curl;
mod line;
mod model;
mod programs;
mod server;
mod sidecar;

pub use curl::{Curled, curl};
pub use line::{Line, Reply};
pub use model::{Model, Taken, whole};
pub use programs::{fetched, foreign, left_out, python};
pub use server::{Server, Stage, passes, succeeds};
pub use sidecar::Sidecar;
