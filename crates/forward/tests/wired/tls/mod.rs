//! TLS between an activator and a sidecar.

mod stage;

mod changing;
mod refused;
mod through;
