//! The real activator on loopback: a board for a catalogue, replicas and an autoscaler that do as they are told, and
//! real clients. Nothing here is timed; every wait is for a condition, with a deadline.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod autoscaler;
mod chain;
mod client;
mod replica;
mod world;

mod answering;
mod balancing;
mod breaking;
mod choosing;
mod coming_and_going;
mod comparing;
mod falling_back;
mod grpc;
mod leaving;
mod reporting;
mod sealing;
mod shadowing;
mod streaming;
mod tired;
mod trust;
mod waking;
