//! Who is reported to: every address that the names of autoscalers have, looked up over and over.
//!
//! In a cluster the name is a headless Service's and has an address for each autoscaler, which come and go. A stream that
//! lives is never cut because its address is not found any more: who is on it still hears. It is only not opened again.
//! And a name that cannot be looked up has the addresses that it had.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Between two looks. Cluster DNS answers from its memory for 5 s, so asking oftener tells nothing new.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// While a name has no address at all: from here, doubling, to [`LOOK_EVERY`].
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A look that takes longer failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Every address that is known now.
pub(crate) type Known = watch::Receiver<BTreeSet<SocketAddr>>;

/// Looks `names` up, `host:port` each, with `resolve`, and has a task that `report` makes for each address. A task may end
/// when its address is not known any more; it is begun again when it is.
pub(crate) async fn follow<R: Future<Output = ()> + Send + 'static>(
    names: Vec<String>,
    resolve: impl AsyncFn(&str) -> io::Result<Vec<SocketAddr>>,
    report: impl Fn(SocketAddr, Known) -> R,
) -> Infallible {
    let mut names: Vec<Name> = names.into_iter().map(Name::new).collect();
    let known = watch::Sender::new(BTreeSet::new());
    let mut reporters: JoinSet<SocketAddr> = JoinSet::new();
    let mut reported: HashMap<tokio::task::Id, SocketAddr> = HashMap::new();
    let mut pause = FIRST_LOOK_AGAIN;
    loop {
        let looks = names.iter().map(|name| async {
            timeout(PATIENCE, resolve(&name.name)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        });
        let found = join_all(looks).await;
        names.iter_mut().zip(found).for_each(|(name, found)| name.found(found));
        let now: BTreeSet<SocketAddr> = names.iter().flat_map(|name| name.addresses.iter().copied()).collect();
        known.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        begin(&known, &mut reporters, &mut reported, &report);
        let lacks = names.iter().any(|name| name.addresses.is_empty());
        pause = if lacks { (pause * 2).min(LOOK_EVERY) } else { FIRST_LOOK_AGAIN };
        let mut next = std::pin::pin!(sleep(if lacks { pause } else { LOOK_EVERY }));
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(ended) = reporters.join_next_with_id() => {
                    // One that panicked said so, and is begun again as well.
                    let id = ended.map_or_else(|error| error.id(), |(id, _)| id);
                    reported.remove(&id);
                }
            }
        }
    }
}

/// A task for each address that is known and has none.
fn begin<R: Future<Output = ()> + Send + 'static>(
    known: &watch::Sender<BTreeSet<SocketAddr>>,
    reporters: &mut JoinSet<SocketAddr>,
    reported: &mut HashMap<tokio::task::Id, SocketAddr>,
    report: &impl Fn(SocketAddr, Known) -> R,
) {
    for address in known.borrow().iter().copied() {
        if reported.values().all(|reported| *reported != address) {
            let work = report(address, known.subscribe());
            let task = reporters.spawn(async move {
                work.await;
                address
            });
            reported.insert(task.id(), address);
        }
    }
}

/// A name, and what was found for it last.
#[derive(Debug)]
struct Name {
    name: String,
    addresses: BTreeSet<SocketAddr>,
    failing: bool,
}

impl Name {
    fn new(name: String) -> Self {
        Self { name, addresses: BTreeSet::new(), failing: false }
    }

    fn found(&mut self, found: io::Result<Vec<SocketAddr>>) {
        match found {
            Ok(found) => {
                let found: BTreeSet<SocketAddr> = found.into_iter().collect();
                if found != self.addresses {
                    info!(name = self.name, addresses = ?found, "autoscalers to report to");
                }
                (self.addresses, self.failing) = (found, false);
            }
            // Told once: without an autoscaler it is said often enough, and it serves all the same.
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                warn!(%error, name = self.name, "cannot look the autoscaler up, trying again");
            }
            Err(error) => debug!(%error, name = self.name, "still cannot look the autoscaler up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// What the names have, and who is reported to how often.
    #[derive(Clone, Default)]
    struct Stage {
        names: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>,
        begun: Arc<Mutex<Vec<u16>>>,
        /// Streams that live, by port; told to end by being taken out.
        live: watch::Sender<BTreeSet<u16>>,
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    impl Stage {
        fn has(&self, name: &str, ports: &[u16]) {
            self.names.lock().insert(name.to_owned(), ports.iter().copied().map(address).collect());
        }

        fn loses(&self, name: &str) {
            self.names.lock().remove(name);
        }

        fn breaks(&self, port: u16) {
            self.live.send_if_modified(|live| live.remove(&port));
        }

        fn live(&self) -> Vec<u16> {
            self.live.borrow().iter().copied().collect()
        }

        /// As a reporter does: opens again for as long as the address is known.
        async fn report(self, address: SocketAddr, known: Known) {
            let port = address.port();
            while known.borrow().contains(&address) {
                self.begun.lock().push(port);
                self.live.send_if_modified(|live| live.insert(port));
                let mut live = self.live.subscribe();
                let _ = live.wait_for(|live| !live.contains(&port)).await;
                sleep(Duration::from_millis(100)).await;
            }
        }

        fn follow(&self, names: &[&str]) -> JoinSet<Infallible> {
            let (stage, table) = (self.clone(), Arc::clone(&self.names));
            let resolve = async move |name: &str| table.lock().get(name).cloned().ok_or(io::ErrorKind::NotFound.into());
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let mut running = JoinSet::new();
            running.spawn(follow(names, resolve, move |address, known| stage.clone().report(address, known)));
            running
        }
    }

    async fn seconds(count: u64) {
        sleep(Duration::from_secs(count)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_of_every_name_has_a_stream_as_they_come() {
        let stage = Stage::default();
        let _running = stage.follow(&["a", "b"]);
        seconds(20).await;
        assert_eq!(stage.live(), [0u16; 0]);
        stage.has("a", &[1, 2]);
        seconds(6).await;
        assert_eq!(stage.live(), [1, 2]);
        stage.has("a", &[1, 2, 3]);
        stage.has("b", &[2]);
        seconds(6).await;
        assert_eq!(stage.live(), [1, 2, 3]);
        assert_eq!(*stage.begun.lock(), [1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_outlives_its_name_and_is_not_opened_again() {
        let stage = Stage::default();
        stage.has("a", &[1, 2]);
        let _running = stage.follow(&["a"]);
        seconds(1).await;
        stage.has("a", &[2]);
        seconds(60).await;
        assert_eq!(stage.live(), [1, 2]);
        stage.breaks(1);
        stage.breaks(2);
        seconds(60).await;
        assert_eq!((stage.live(), stage.begun.lock().clone()), (vec![2], vec![1, 2, 2]));
        stage.has("a", &[1, 2]);
        seconds(6).await;
        assert_eq!(stage.live(), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_cannot_be_looked_up_has_the_addresses_that_it_had() {
        let stage = Stage::default();
        stage.has("a", &[1]);
        let _running = stage.follow(&["a"]);
        seconds(1).await;
        stage.loses("a");
        seconds(30).await;
        stage.breaks(1);
        seconds(1).await;
        assert_eq!(stage.live(), [1]);
    }
}
