//! Frames between the programs: bytes to values and back.
//!
//! A stream is a sequence of frames. A frame is a big-endian `u32` length, then so many bytes: one byte of version, then
//! a protocol-buffers message ([`ToAutoscaler`] or [`FromAutoscaler`], by direction). A reader takes its own version and
//! the one before; a field it does not know is passed over. `docs/wire.md` has every field, unit and an example in hex.
//!
//! What a peer sends is checked here, once: past [`decode`] every name is bounded, every count is a count. Durations are
//! in milliseconds of the receiver's own clock; no clock is compared between machines. Counters are cumulative within
//! one incarnation, so a lost frame loses nothing.

mod down;
pub mod durations;
mod frame;
mod up;

pub use down::{
    Down, FromAutoscaler, IdleQuestion, Lead, Outcome, Refusal, Seal, SealOutcome, Settings, Trust, Weights,
};
pub use frame::{Checked, FrameError, MAX_FRAME_BYTES, VERSION, decode, encode, frame_length};
pub use up::{
    Demand, Empty, Frame, Hello, IdleAnswer, Moments, Outcomes, Proof, Role, RouteAck, SealAnswer, SidecarStats, Tally,
    ToAutoscaler, Up, Verdict, Wake,
};
