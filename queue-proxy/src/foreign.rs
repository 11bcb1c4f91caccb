//! Connections to the model that did not come through its sidecar.
//!
//! Somebody who talks to the model directly (by pod address, or by a Service of their own) is invisible to every count
//! of requests, and would be cut off when the replica goes. The kernel's tables show their connections; ours are told
//! apart by their sockets, which this process holds.

use std::collections::HashSet;
use std::fs;

/// Established connections to one of `ports` of this machine whose other end this process does not hold.
pub(crate) fn count(ports: &[u16]) -> u32 {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let connections: Vec<Connection<'_>> = tables.iter().flat_map(|table| established(table)).collect();
    if !connections.iter().any(|connection| ports.contains(&connection.local.1)) {
        return 0;
    }
    foreign(&connections, ports, &own_sockets())
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

fn foreign(connections: &[Connection<'_>], ports: &[u16], own: &HashSet<String>) -> u32 {
    let ours: HashSet<_> = connections
        .iter()
        .filter(|connection| ports.contains(&connection.remote.1) && own.contains(connection.inode))
        .map(|connection| (connection.local, connection.remote))
        .collect();
    let at_model = connections.iter().filter(|connection| ports.contains(&connection.local.1));
    let foreign = at_model.filter(|connection| !ours.contains(&(connection.remote, connection.local)));
    // Those that the kernel has accepted and the model has not have no inode yet; they count.
    u32::try_from(foreign.count()).unwrap_or(u32::MAX)
}

fn own_sockets() -> HashSet<String> {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return HashSet::new() };
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok()?.into_os_string().into_string().ok();
    let inode = |target: String| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    descriptors.flatten().filter_map(target).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, state: &str, inode: u32) -> String {
        format!(
            "   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0 20 4 30 10 -1\n"
        )
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
        assert_eq!(foreign(&all, &[8080], &own), 2);
        let ours = format!("{HEAD}{ours}");
        let all: Vec<Connection<'_>> = all.into_iter().chain(established(&ours)).collect();
        assert_eq!(foreign(&all, &[8080], &own), 1);
    }

    #[test]
    fn a_connection_of_our_own_is_not_foreign() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _ours = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _accepted = listener.accept().unwrap();
        assert_eq!(count(&[port]), 0);
    }
}
