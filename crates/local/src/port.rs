//! A port for each replica.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

/// Below what Linux hands out to outgoing connections (32768 and up), so that none of them takes a port between now
/// and the moment at which the model, perhaps a minute later, opens it; and away from the ports that people remember.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// So many tries before the machine counts as full.
const TRIES: usize = 200;

/// The ports that replicas of this program have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(Arc<Mutex<HashSet<u16>>>);

/// A port that no other replica of this program gets while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    all: Ports,
}

impl Ports {
    /// One on which nobody listens. Whoever else takes it in the meantime is found out when the model cannot.
    ///
    /// # Errors
    /// If there seems to be none.
    pub(crate) fn pick(&self) -> io::Result<Port> {
        for _ in 0..TRIES {
            let number = fastrand::u16(RANGE);
            if self.0.lock().insert(number) {
                let port = Port { number, all: self.clone() };
                if is_free(number) {
                    return Ok(port);
                }
            }
        }
        Err(io::Error::other(format!("no free port found in {}-{}", RANGE.start(), RANGE.end())))
    }
}

/// On the wildcard: a model may listen there, and on loopback only it would look free while another has `0.0.0.0`.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

impl Drop for Port {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_again_after_it_was_dropped() {
        let ports = Ports::default();
        let held: Vec<Port> = (0..50).map(|_| ports.pick().unwrap()).collect();
        let distinct: HashSet<u16> = held.iter().map(|port| port.number).collect();
        assert_eq!(distinct.len(), 50);
        drop(held);
        assert!(ports.0.lock().is_empty());
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _listener = TcpListener::bind(taken).unwrap();
        assert!(!is_free(taken.port()));
    }
}
