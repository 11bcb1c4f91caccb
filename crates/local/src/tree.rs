//! Who descends from whom, and who listens where, read from `/proc`.
//!
//! Everything here is a snapshot of a moving thing: processes that appear or vanish while it is read are missed or
//! skipped, so whoever must be sure looks again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// It has ended and only waits to be reaped.
    pub(crate) zombie: bool,
}

/// Every process there is.
pub(crate) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// From `pid (name) state parent group session …`; the name may hold anything, also spaces and brackets.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, session, zombie })
}

/// Those of `all` that descend from `ancestor`, without itself.
pub(crate) fn descendants(all: &[Process], ancestor: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = Vec::new();
    let mut unvisited = vec![ancestor];
    while let Some(pid) = unvisited.pop() {
        // Taken out, so that a loop (pids reused while we read) ends.
        let of_this = children.remove(&pid).unwrap_or_default();
        found.extend(&of_this);
        unvisited.extend(of_this);
    }
    found
}

/// Does the environment that it was started with hold this variable? False also if that cannot be read.
pub(crate) fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

/// Its short name; empty if it is gone.
pub(crate) fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// What is known about who listens on a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// A descendant of the ancestor.
    Own,
    /// Another process that we may look into.
    Other(i32),
    /// Nobody, or nobody whom we may look into (another user's).
    Unknown,
}

/// Who listens on `port`, seen from `ancestor`.
pub(crate) fn listener(ancestor: i32, port: u16) -> Listener {
    let inodes: HashSet<u64> = listening_sockets(ancestor)
        .into_iter()
        .filter(|socket| socket.port == port)
        .map(|socket| socket.inode)
        .collect();
    if inodes.is_empty() {
        return Listener::Unknown;
    }
    let all = processes();
    let own: HashSet<i32> = descendants(&all, ancestor).into_iter().collect();
    let holds = |pid: i32| sockets(pid).iter().any(|inode| inodes.contains(inode));
    if own.iter().any(|pid| holds(*pid)) {
        return Listener::Own;
    }
    let other = all.iter().map(|process| process.pid).find(|pid| !own.contains(pid) && holds(*pid));
    other.map_or(Listener::Unknown, Listener::Other)
}

/// The TCP ports on which descendants of `ancestor` listen.
pub(crate) fn ports(ancestor: i32) -> BTreeSet<u16> {
    let held: HashSet<u64> = descendants(&processes(), ancestor).into_iter().flat_map(sockets).collect();
    listening_sockets(ancestor)
        .into_iter()
        .filter(|socket| held.contains(&socket.inode))
        .map(|socket| socket.port)
        .collect()
}

struct Listening {
    port: u16,
    inode: u64,
}

/// In the network namespace of `pid`.
fn listening_sockets(pid: i32) -> Vec<Listening> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().filter_map(parse_listening).collect::<Vec<_>>())
        .collect()
}

/// From `slot: address:port remote:port state queues timer retransmits uid timeout inode …`, numbers in hex but the last.
fn parse_listening(line: &str) -> Option<Listening> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
    Some(Listening { port, inode: fields.get(9)?.parse().ok()? })
}

/// The inodes of the sockets that it has open; none if it is another user's.
fn sockets(pid: i32) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok())
        .filter_map(|target| {
            let inode = target.as_os_str().as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
            std::str::from_utf8(inode).ok()?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let process = parse_stat(7, "7 (a) b (c)) S 3 7 5 0 -1 4194304").unwrap();
        assert_eq!(process, Process { pid: 7, parent: 3, session: 5, zombie: false });
        assert_eq!(parse_stat(7, "7 (cut"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let all: Vec<Process> = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 4)]
            .map(|(pid, parent)| Process { pid, parent, session: 0, zombie: false })
            .to_vec();
        let mut found = descendants(&all, 2);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 6]);
    }

    #[test]
    fn only_listening_sockets_are_read_from_the_table() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 100 0"
            )
        };
        let listening = parse_listening(&line("0A")).unwrap();
        assert_eq!((listening.port, listening.inode), (8080, 4711));
        assert!(parse_listening(&line("01")).is_none());
        assert!(parse_listening("  sl  local_address rem_address   st").is_none());
    }

    #[test]
    fn a_listener_of_this_process_is_seen_from_its_parent() {
        let listener_here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_here.local_addr().unwrap().port();
        let me = i32::try_from(std::process::id()).unwrap();
        let parent = processes().iter().find(|process| process.pid == me).unwrap().parent;
        assert_eq!(listener(parent, port), Listener::Own);
        assert!(ports(parent).contains(&port));
        // Seen from itself it is another's: it does not descend from itself.
        assert_eq!(listener(me, port), Listener::Other(me));
    }
}
