//! Whether a client is still there while nothing is read from it.
//!
//! Of a body that waits only a part is read, and a connection that is not read from notices nothing: its client's place
//! in the line would stay taken until its turn. Whoever holds the request asks from time to time; then the connection asks
//! the kernel, which knows that the other side hung up before all that it sent is read.
//!
//! What the kernel cannot know: a client that is gone while more of its body is under way than the sockets hold looks
//! like one that sends slowly. That is noticed when the body is read.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a client is looked after whose body is not read. Each look is a call of the kernel.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks after one client. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lookout(Arc<AtomicBool>);

impl Lookout {
    /// Asks from time to time, for ever. To be polled within the connection's own task, as a request over HTTP/1.1 is: it
    /// is the connection that looks, right after this, and that ends the request if its client has hung up.
    pub(crate) async fn keep_asking(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Is it to be looked now? The question is answered by asking it.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Has the other side hung up, whatever is still to be read?
pub(crate) fn hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Errors and hang-ups are told without being asked for. Who cannot be asked may well be there.
    poll(&mut asked, Some(&at_once)).is_ok_and(|told| told != 0)
}
