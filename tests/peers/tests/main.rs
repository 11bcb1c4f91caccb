//! What clients and servers that others wrote see of the data plane.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod curl;
mod grpc;
mod h2;
mod h2spec;
mod httpx;
mod keep_alive;
mod rfc9112;
mod timeouts;
mod websockets;
