//! A value in its frame.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

use crate::{Down, FromAutoscaler, Moments, Role, Tally, ToAutoscaler, Up};

/// The version this build writes. A reader takes this one and the one before.
pub const VERSION: u8 = 1;

/// The longest frame a reader takes, without its length. A peer that announces more is cut off.
///
/// 8,000 revisions at one activator, all busy, with names of 63 characters, are about 1 MiB.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// The longest name: a Kubernetes object name has at most 253 characters.
const MAX_NAME_BYTES: usize = 253;
/// What answers say of themselves is at most 10^9 by its size, and times are fewer seconds.
const MAX_NUMBER: f64 = 1.001e9;
const MAX_SQUARES: f64 = 1e60;

/// The longest token: those of an API server are about a kibibyte.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The longest public key: far more than a point of a curve.
const MAX_KEY_BYTES: usize = 256;

/// Why bytes are not a frame. The stream is of no more use after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("a frame of {bytes} bytes, the most is {MAX_FRAME_BYTES}")]
    TooLong {
        /// What was announced.
        bytes: usize,
    },
    /// No bytes at all.
    #[error("an empty frame")]
    Empty,
    /// From a peer that is too new or too old.
    #[error("a frame of version {version}, this build reads {VERSION}")]
    Version {
        /// What it says.
        version: u8,
    },
    /// Not a message.
    #[error("not a message: {why}")]
    Malformed {
        /// What the decoder says.
        why: String,
    },
    /// A message that says what cannot be.
    #[error("{what} is not allowed")]
    NotAllowed {
        /// Which field, and why.
        what: &'static str,
    },
}

/// A message with its length and version, ready to be written.
pub fn encode<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len() + 1;
    let mut bytes = BytesMut::with_capacity(4 + length);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put_u8(VERSION);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The length of the frame that `head` announces, without the four bytes that say so; `None` while there are fewer.
///
/// # Errors
/// If it announces more than a reader takes.
pub fn frame_length(head: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(head) = head.first_chunk::<4>() else { return Ok(None) };
    let bytes = u32::from_be_bytes(*head) as usize;
    if MAX_FRAME_BYTES < bytes { Err(FrameError::TooLong { bytes }) } else { Ok(Some(bytes)) }
}

/// What a frame (without its length) says.
///
/// # Errors
/// If it is of another version, not a message, or says what cannot be.
pub fn decode<M: Checked>(mut frame: Bytes) -> Result<M, FrameError> {
    if frame.is_empty() {
        return Err(FrameError::Empty);
    }
    let version = frame.get_u8();
    if version != VERSION {
        return Err(FrameError::Version { version });
    }
    let message = M::decode(frame).map_err(|error| FrameError::Malformed { why: error.to_string() })?;
    message.check()?;
    Ok(message)
}

/// A message that knows what it may say. The two directions implement it; nobody else needs to.
pub trait Checked: Message + Default {
    /// # Errors
    /// If it says what cannot be.
    fn check(&self) -> Result<(), FrameError>;
}

impl Checked for ToAutoscaler {
    fn check(&self) -> Result<(), FrameError> {
        match &self.kind {
            None | Some(Up::Leaving(_) | Up::IdleAnswer(_)) => Ok(()),
            Some(Up::Hello(hello)) => {
                names(&[&hello.namespace, &hello.name, &hello.uid, &hello.revision])?;
                let proof = hello.proof.as_ref().map_or((0, 0), |proof| (proof.token.len(), proof.public_key.len()));
                allow(proof.0 <= MAX_TOKEN_BYTES, "a token of more than 16 KiB")?;
                allow(proof.1 <= MAX_KEY_BYTES, "a public key of more than 256 bytes")?;
                allow(hello.role() != Role::Unknown, "a hello without a role")
            }
            Some(Up::Frame(frame)) => {
                for demand in &frame.demands {
                    names(&[&demand.namespace, &demand.revision])?;
                    allow(demand.held <= demand.in_flight, "more held than in flight")?;
                    let buckets = demand.outcomes.as_ref().map_or(0, |outcomes| outcomes.durations.len());
                    allow(buckets <= crate::durations::BUCKETS, "more buckets of durations than there are")?;
                    demand.tally.as_ref().map_or(Ok(()), tally)?;
                }
                Ok(())
            }
            Some(Up::Wake(wake)) => {
                names(&[&wake.namespace, &wake.revision, &wake.request_id])?;
                allow(wake.held != 0, "a wake with nothing held")
            }
            Some(Up::SealAnswer(answer)) => names(&[&answer.namespace, &answer.revision]),
            Some(Up::RouteAck(ack)) => names(&[&ack.namespace, &ack.endpoint]),
            Some(Up::SidecarStats(stats)) => {
                allow(stats.proxied_requests <= stats.requests, "more proxied than requests")?;
                allow(stats.proxied_concurrency_us <= stats.concurrency_us, "more proxied than concurrency")?;
                allow(stats.upgraded <= stats.in_flight, "more upgraded than in flight")
            }
        }
    }
}

impl Checked for FromAutoscaler {
    fn check(&self) -> Result<(), FrameError> {
        match &self.kind {
            None | Some(Down::Lead(_) | Down::Out(_) | Down::Settings(_) | Down::IdleQuestion(_) | Down::Trust(_)) => {
                Ok(())
            }
            Some(Down::Seal(seal)) => names(&[&seal.namespace, &seal.revision]),
            Some(Down::Outcome(outcome)) => names(&[&outcome.namespace, &outcome.revision]),
            Some(Down::Refusal(refusal)) => names(&[&refusal.namespace, &refusal.revision]),
            Some(Down::Weights(weights)) => {
                names(&[&weights.namespace, &weights.endpoint])?;
                allow(weights.revisions.len() == weights.percents.len(), "weights without a revision each")?;
                let sum = weights.percents.iter().try_fold(0_u32, |sum, percent| sum.checked_add(*percent));
                allow(sum == Some(100), "weights that do not add up to 100")
            }
        }
    }
}

fn tally(tally: &Tally) -> Result<(), FrameError> {
    let buckets = tally.first_byte_buckets.len().max(tally.duration_buckets.len());
    allow(buckets <= crate::durations::BUCKETS, "more buckets of durations than there are")?;
    allow(tally.answers.len() <= 4, "more classes of answers than there are")?;
    let moments = [tally.first_byte, tally.duration, tally.outcome].into_iter().flatten();
    // So that sums of them stay numbers.
    let can_be = |of: Moments| of.mean.abs() <= MAX_NUMBER && (0.0..=MAX_SQUARES).contains(&of.squares);
    allow(moments.into_iter().all(can_be), "a mean or a scatter that is no number")
}

fn names(names: &[&str]) -> Result<(), FrameError> {
    allow(names.iter().all(|name| name.len() <= MAX_NAME_BYTES), "a name of more than 253 bytes")
}

fn allow(holds: bool, what: &'static str) -> Result<(), FrameError> {
    if holds { Ok(()) } else { Err(FrameError::NotAllowed { what }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Demand, Frame, Hello, Seal, Wake};

    fn unframed(mut bytes: Bytes) -> Bytes {
        let length = frame_length(&bytes).unwrap().unwrap();
        bytes.advance(4);
        assert_eq!(bytes.len(), length);
        bytes
    }

    #[test]
    fn what_was_said_is_what_is_heard() {
        let seal = Seal { namespace: "shop".into(), revision: "v1".into(), epoch: 3, seq: 9, ttl_ms: 3_000 };
        let said = FromAutoscaler { kind: Some(Down::Seal(seal)) };
        assert_eq!(decode::<FromAutoscaler>(unframed(encode(&said))), Ok(said));
    }

    #[test]
    fn a_frame_looks_as_documented() {
        let wake = Wake {
            namespace: "shop".into(),
            revision: "v1".into(),
            held: 2,
            oldest_wait_ms: 300,
            request_id: String::new(),
        };
        let bytes = encode(&ToAutoscaler { kind: Some(Up::Wake(wake)) });
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.join(" "), "00 00 00 12 01 1a 0f 0a 04 73 68 6f 70 12 02 76 31 18 02 20 ac 02");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let hello = Hello { role: Role::Unknown as i32, ..Hello::default() };
        let frame = unframed(encode(&ToAutoscaler { kind: Some(Up::Hello(hello)) }));
        assert_eq!(decode::<ToAutoscaler>(frame), Err(FrameError::NotAllowed { what: "a hello without a role" }));
        assert_eq!(decode::<ToAutoscaler>(Bytes::new()), Err(FrameError::Empty));
        assert_eq!(decode::<ToAutoscaler>(Bytes::from_static(&[9])), Err(FrameError::Version { version: 9 }));
        assert_eq!(frame_length(&[0xff; 4]), Err(FrameError::TooLong { bytes: 0xffff_ffff }));
    }

    #[test]
    fn a_tally_of_numbers_that_are_none_is_refused() {
        let with = |mean, squares| {
            let outcome = Some(Moments { count: 2, mean, squares });
            let tally = Tally { outcome, ..Tally::default() };
            let demand = Demand { tally: Some(tally), ..Demand::default() };
            let frame = Frame { demands: vec![demand], ..Frame::default() };
            decode::<ToAutoscaler>(unframed(encode(&ToAutoscaler { kind: Some(Up::Frame(frame)) }))).is_ok()
        };
        assert!(with(-1e9, 0.5) && with(0.0, 0.0));
        for (mean, squares) in [(f64::NAN, 0.0), (f64::INFINITY, 0.0), (0.0, -1.0), (0.0, f64::NAN), (1e10, 0.0)] {
            assert!(!with(mean, squares), "{mean} {squares}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            let _ = decode::<ToAutoscaler>(Bytes::from(versioned.clone()));
            let _ = decode::<FromAutoscaler>(Bytes::from(versioned));
        }
    }
}
