//! Connections to the model that did not come through its sidecar.
//!
//! Somebody who talks to the model directly (by pod address, or by a Service of their own) is invisible to every count
//! of requests, and would be cut off when the replica goes. The kernel's tables show their connections; ours are told
//! apart by their sockets, which this process holds.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// How old a look at the kernel's tables may be where somebody decides by it. They are those of the whole machine, and each
/// look goes through all of them: that takes tens of milliseconds on a machine of some size, however few connections there
/// are. So nobody who serves requests looks, a thread beside them does.
const FRESH: Duration = Duration::from_millis(500);

/// How old it may be for who only reports.
const RECENT: Duration = Duration::from_secs(5);

/// Who is connected past the sidecars of this process, by the model's port. One look serves them all, so where many run
/// in one process they share this.
#[derive(Clone, Debug, Default)]
pub struct Strangers(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: RwLock<Look>,
    /// Held by the look itself, which ends although nobody waits for it any more: there is one at a time.
    looking: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Look {
    /// When it began.
    at: Option<Instant>,
    /// `None`: nobody could see anything yet.
    by_port: Option<HashMap<u16, u32>>,
}

impl Strangers {
    /// Established connections to one of `ports` of this machine whose other end this process does not hold, as they were
    /// half a second ago or later; `None` if nobody could ever look.
    pub(crate) async fn now(&self, ports: &[u16]) -> Option<u32> {
        self.look(FRESH, by_port).await;
        self.lately(ports)
    }

    /// The same as it was seen last, some seconds ago while somebody [keeps looking](Self::keep_looking).
    pub(crate) fn lately(&self, ports: &[u16]) -> Option<u32> {
        let seen = self.0.seen.read();
        let by_port = seen.by_port.as_ref()?;
        Some(ports.iter().filter_map(|port| by_port.get(port)).sum())
    }

    /// Looks every few seconds. Many may: as many looks are taken as for one.
    pub(crate) async fn keep_looking(&self) -> Infallible {
        loop {
            let at = self.look(RECENT, by_port).await;
            sleep_until(at + RECENT).await;
        }
    }

    /// Unless somebody did less than `age` ago. Returns when the newest look began.
    async fn look(
        &self,
        age: Duration,
        by_port: impl FnOnce() -> io::Result<HashMap<u16, u32>> + Send + 'static,
    ) -> Instant {
        let asked = Instant::now();
        let looking = Arc::clone(&self.0.looking).lock_owned().await;
        // Also one that began while this one waited will do.
        let newest = self.0.seen.read().at.filter(|at| asked.saturating_duration_since(*at) < age);
        if let Some(at) = newest {
            return at;
        }
        let (at, inner) = (Instant::now(), Arc::clone(&self.0));
        let look = spawn_blocking(move || {
            // Before the lock is had: who serves requests reads what is behind it.
            let seen = by_port();
            inner.seen.write().take(at, seen);
            drop(looking);
        });
        if let Err(error) = look.await {
            debug!(%error, "a look ended early");
        }
        at
    }
}

impl Look {
    /// Takes in what was seen. Where nothing could be (no descriptor is left, say), who was there counts as there still.
    fn take(&mut self, at: Instant, seen: io::Result<HashMap<u16, u32>>) {
        self.at = Some(at);
        match seen {
            Ok(by_port) => self.by_port = Some(by_port),
            Err(error) => debug!(%error, "cannot see who is connected"),
        }
    }
}

/// Strangers at every port of this machine that somebody listens on. The tables and our own sockets cannot be read at one
/// moment, so who looks like a stranger is looked at again: a connection of ours that ended in between is gone then.
fn by_port() -> io::Result<HashMap<u16, u32>> {
    let mut by_port = HashMap::new();
    let once = look()?;
    if !once.is_empty() {
        for (port, _) in look()?.intersection(&once) {
            *by_port.entry(*port).or_default() += 1;
        }
    }
    Ok(by_port)
}

/// The ends of connections at which this process is neither: the local port, and the other end.
fn look() -> io::Result<HashSet<(u16, String)>> {
    let tables = [table("/proc/net/tcp")?, table("/proc/net/tcp6")?];
    let connections: Vec<Connection<'_>> = tables.iter().flat_map(|table| established(table)).collect();
    let own = own_sockets()?;
    let strangers = foreign(&connections, &own);
    Ok(strangers.map(|stranger| (stranger.local.1, format!("{}:{}", stranger.remote.0, stranger.remote.1))).collect())
}

/// Empty where the machine does not speak that version.
fn table(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// One line of `/proc/net/tcp`: addresses as the kernel writes them, and the socket's inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection<'a> {
    local: (&'a str, u16),
    remote: (&'a str, u16),
    inode: &'a str,
}

fn established(table: &str) -> impl Iterator<Item = Connection<'_>> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?;
        (state == "01").then_some(())?;
        Some(Connection { local: address(local)?, remote: address(remote)?, inode })
    })
}

/// A version-4 address may be written in the form of version 6; its last eight digits are the same.
fn address(text: &str) -> Option<(&str, u16)> {
    let (ip, port) = text.split_once(':')?;
    let is_mapped = ip.len() == 32 && ip.starts_with("0000000000000000FFFF0000");
    let ip = if is_mapped { ip.get(24..)? } else { ip };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

fn foreign<'c, 'a>(
    connections: &'c [Connection<'a>],
    own: &HashSet<String>,
) -> impl Iterator<Item = &'c Connection<'a>> {
    let ours: HashSet<_> = connections
        .iter()
        .filter(|connection| own.contains(connection.inode))
        .map(|connection| (connection.local, connection.remote))
        .collect();
    // Those that the kernel has accepted and the model has not have no inode yet; they count.
    connections.iter().filter(move |connection| !ours.contains(&(connection.remote, connection.local)))
}

fn own_sockets() -> io::Result<HashSet<String>> {
    let descriptors = fs::read_dir("/proc/self/fd")?;
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok()?.into_os_string().into_string().ok();
    let inode = |target: String| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    Ok(descriptors.flatten().filter_map(target).filter_map(inode).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, state: &str, inode: u32) -> String {
        format!(
            "   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0 20 4 30 10 -1\n"
        )
    }

    fn at_8080(connections: &[Connection<'_>], own: &HashSet<String>) -> usize {
        foreign(connections, own).filter(|connection| connection.local.1 == 8080).count()
    }

    #[test]
    fn only_what_this_process_does_not_hold_is_foreign() {
        let table = [
            HEAD.to_owned(),
            line("0100007F:1F90", "00000000:0000", "0A", 1),
            // Ours, both ends.
            line("0100007F:1F90", "0100007F:9C40", "01", 2),
            line("0100007F:9C40", "0100007F:1F90", "01", 3),
            // Somebody from another address, and one that is about to end.
            line("0A00000A:1F90", "0A00000B:8000", "01", 4),
            line("0A00000A:1F90", "0A00000B:8001", "06", 0),
        ]
        .concat();
        // The model may listen on version 6 and see us mapped.
        let mapped = "0000000000000000FFFF00000100007F:1F90";
        let table6 = [HEAD.to_owned(), line(mapped, "0000000000000000FFFF00000100007F:9C41", "01", 5)].concat();
        let ours = line("0100007F:9C41", "0100007F:1F90", "01", 6);
        let all: Vec<Connection<'_>> = established(&table).chain(established(&table6)).collect();
        let own = HashSet::from(["3".to_owned(), "6".to_owned()]);
        assert_eq!(at_8080(&all, &own), 2);
        let ours = format!("{HEAD}{ours}");
        let all: Vec<Connection<'_>> = all.into_iter().chain(established(&ours)).collect();
        assert_eq!(at_8080(&all, &own), 1);
    }

    #[test]
    fn who_was_there_is_not_gone_because_nobody_can_look() {
        let strangers = Strangers::default();
        let failed = || Err(io::Error::other("too many open files"));
        let take = |seen| strangers.0.seen.write().take(Instant::now(), seen);
        take(failed());
        assert_eq!(strangers.lately(&[8080]), None);
        take(Ok(HashMap::from([(8080, 2)])));
        take(failed());
        assert_eq!(strangers.lately(&[8080, 9000]), Some(2));
    }

    #[tokio::test]
    async fn a_connection_of_our_own_is_not_foreign() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _ours = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _accepted = listener.accept().unwrap();
        assert_eq!(Strangers::default().now(&[port]).await, Some(0));
    }

    #[tokio::test]
    async fn who_serves_requests_goes_on_while_somebody_looks_and_one_look_is_enough() {
        let strangers = Strangers::default();
        let ((it_begins, begins), (let_it_end, ends)) = (mpsc::channel(), mpsc::channel());
        let mut first = Box::pin(strangers.look(FRESH, move || {
            it_begins.send(()).map_err(io::Error::other)?;
            ends.recv().map_err(io::Error::other)?;
            Ok(HashMap::from([(8080, 1)]))
        }));
        // This runtime has one thread: had that one looked, it would look for ever.
        assert!(first.as_mut().now_or_never().is_none());
        begins.recv().unwrap();
        assert!(strangers.0.seen.try_read().is_some(), "who only reads what was seen last waits for nobody");
        let second = strangers.look(FRESH, || panic!("a second look"));
        // Nobody waits for the first any more, and it goes on all the same.
        drop(first);
        let_it_end.send(()).unwrap();
        second.await;
        assert_eq!(strangers.lately(&[8080]), Some(1));
    }
}
