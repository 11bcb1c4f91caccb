//! A copy of a body that goes by, for who listens in and never slows it.
//!
//! What goes by is written down until it is too much: more than its limit, or than the budget of all copies has. Then the
//! copy is given up, and the body itself goes on as if nobody had listened. A request that is sent a second time is written
//! down anew; what was told stays told, so that one request is never two copies.

use std::sync::Arc;

use breaker::{Budget, Share};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// A body that went by, whole, as it was sent. It keeps its part of the budget.
#[derive(Debug)]
pub struct Copied {
    /// From its first byte to its last; without trailers.
    pub bytes: Bytes,
    _share: Share,
}

/// Why there is no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCopied {
    /// It has more bytes than may be copied.
    TooLarge,
    /// There is no room in the budget of all copies.
    NoRoom,
    /// It never came to its end.
    Broke,
}

/// Where a copy comes to be told.
#[derive(Debug)]
pub struct Copying(oneshot::Receiver<Result<Copied, NotCopied>>);

impl Copying {
    /// The copy, once the last byte went by; or that there will be none. May be dropped at its await.
    ///
    /// # Errors
    /// If there is none.
    pub async fn copied(&mut self) -> Result<Copied, NotCopied> {
        (&mut self.0).await.unwrap_or(Err(NotCopied::Broke))
    }

    /// The same, if it is told already.
    pub(crate) fn told(&mut self) -> Option<Result<Copied, NotCopied>> {
        match self.0.try_recv() {
            Ok(told) => Some(told),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(NotCopied::Broke)),
        }
    }
}

/// What a body tells of itself.
#[derive(Clone, Debug)]
pub struct Tap {
    recording: Arc<Mutex<Recording>>,
    /// Which time the body is sent.
    turn: u32,
}

#[derive(Debug)]
struct Recording {
    bytes: Vec<u8>,
    /// `None` once it was told.
    telling: Option<(oneshot::Sender<Result<Copied, NotCopied>>, Share)>,
    limit: usize,
    turn: u32,
}

impl Tap {
    /// For one body of at most `limit` bytes, which are taken from the budget as they come.
    ///
    /// # Errors
    /// If nothing is left of the budget at all.
    pub fn new(budget: &Budget, limit: usize) -> Result<(Self, Copying), NotCopied> {
        let share = budget.take(1).ok_or(NotCopied::NoRoom)?;
        let (telling, told) = oneshot::channel();
        let recording = Recording { bytes: Vec::new(), telling: Some((telling, share)), limit, turn: 0 };
        Ok((Self { recording: Arc::new(Mutex::new(recording)), turn: 0 }, Copying(told)))
    }

    /// For the same body when it is sent once more, from its first byte.
    pub(crate) fn again(&self) -> Self {
        let mut recording = self.recording.lock();
        recording.turn += 1;
        recording.bytes.clear();
        Self { recording: Arc::clone(&self.recording), turn: recording.turn }
    }

    pub(crate) fn note(&self, data: &Bytes) {
        let mut recording = self.recording.lock();
        if recording.turn == self.turn {
            recording.note(data);
        }
    }

    /// That was its last byte.
    pub(crate) fn end(&self) {
        let mut recording = self.recording.lock();
        if recording.turn == self.turn {
            let bytes = std::mem::take(&mut recording.bytes).into();
            recording.tell(|share| Ok(Copied { bytes, _share: share }));
        }
    }
}

impl Recording {
    fn note(&mut self, data: &[u8]) {
        let Some((_, share)) = &mut self.telling else { return };
        let bytes = self.bytes.len() + data.len();
        if self.limit < bytes {
            self.give_up(NotCopied::TooLarge);
            return;
        }
        // Room is made by doubling, so that many small pieces are few copies; what is made is what is paid for.
        if self.bytes.capacity() < bytes {
            let capacity = bytes.next_power_of_two();
            if !share.grow((capacity as u64).saturating_sub(share.bytes())) {
                self.give_up(NotCopied::NoRoom);
                return;
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
    }

    fn give_up(&mut self, why: NotCopied) {
        self.bytes = Vec::new();
        self.tell(|_| Err(why));
    }

    fn tell(&mut self, what: impl FnOnce(Share) -> Result<Copied, NotCopied>) {
        if let Some((telling, share)) = self.telling.take() {
            // Nobody listens any more: nothing is kept.
            let _ = telling.send(what(share));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(budget: &Budget, limit: usize) -> (Tap, Copying) {
        Tap::new(budget, limit).unwrap()
    }

    fn told(mut copying: Copying) -> Result<Vec<u8>, NotCopied> {
        copying.0.try_recv().unwrap_or(Err(NotCopied::Broke)).map(|copied| copied.bytes.to_vec())
    }

    #[test]
    fn what_went_by_is_told_once_its_last_byte_did() {
        let budget = Budget::new(1 << 20);
        let (body, copying) = tap(&budget, 100);
        body.note(&Bytes::from_static(b"half and "));
        body.note(&Bytes::from_static(b"half"));
        body.end();
        assert_eq!(told(copying), Ok(b"half and half".to_vec()));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_body_that_is_too_large_is_given_up_and_keeps_nothing() {
        let budget = Budget::new(1 << 20);
        let (body, copying) = tap(&budget, 8);
        body.note(&Bytes::from_static(b"12345678"));
        assert!(8 <= budget.used());
        body.note(&Bytes::from_static(b"9"));
        assert_eq!(budget.used(), 0);
        body.end();
        assert_eq!(told(copying), Err(NotCopied::TooLarge));
    }

    #[test]
    fn what_the_budget_has_no_room_for_is_given_up() {
        let budget = Budget::new(16);
        let (body, copying) = tap(&budget, 1 << 20);
        body.note(&Bytes::from_static(&[0; 17]));
        assert_eq!(told(copying), Err(NotCopied::NoRoom));
        let rest = budget.take(16).unwrap();
        assert!(Tap::new(&budget, 1).is_err());
        drop(rest);
    }

    #[test]
    fn one_that_is_sent_again_is_written_down_from_its_first_byte_and_the_first_try_says_no_more() {
        let budget = Budget::new(1 << 20);
        let (first, copying) = tap(&budget, 100);
        first.note(&Bytes::from_static(b"broken o"));
        let second = first.again();
        first.note(&Bytes::from_static(b"ff"));
        second.note(&Bytes::from_static(b"whole"));
        first.end();
        second.end();
        assert_eq!(told(copying), Ok(b"whole".to_vec()));
    }

    #[test]
    fn a_body_that_never_ends_is_no_copy() {
        let budget = Budget::new(1 << 20);
        let (body, copying) = tap(&budget, 100);
        body.note(&Bytes::from_static(b"half"));
        drop(body);
        assert_eq!(told(copying), Err(NotCopied::Broke));
        assert_eq!(budget.used(), 0);
    }
}
