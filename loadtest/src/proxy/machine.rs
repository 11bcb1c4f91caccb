//! What was measured on, and which versions of what.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use crate::proxy::peers::{Kind, Peer};

/// What was measured on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// When it was looked at: before the first round. RFC 3339.
    pub(crate) at: String,
    pub(crate) cores: usize,
    /// Its first two numbers.
    pub(crate) kernel: String,
    /// Over the minute before.
    pub(crate) load_average: f64,
    /// Name and version of each program that says one.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    pub(crate) fn look(peers: &[Peer], h2load: Option<&Path>) -> anyhow::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
        let release = read("/proc/sys/kernel/osrelease")?;
        let kernel = release.trim().split(['.', '-']).take(2).collect::<Vec<_>>().join(".");
        let load = read("/proc/loadavg")?;
        let load_average = load.split(' ').next().unwrap_or_default().parse().context("/proc/loadavg")?;
        let cores = std::thread::available_parallelism()?.get();
        let h2load = h2load.and_then(|program| named("h2load", &said(program, "--version")?));
        let versions = peers.iter().filter_map(version).chain(h2load).collect();
        let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(Self { at, cores, kernel, load_average, versions })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: _, cores, kernel, load_average, versions } = self;
        write!(f, "{cores} cores, Linux {kernel}, load average {load_average:.1} at the start")?;
        if !versions.is_empty() {
            write!(f, "; {}", versions.join(", "))?;
        }
        Ok(())
    }
}

fn version(peer: &Peer) -> Option<String> {
    match peer.kind {
        Kind::QueueProxy => said(&peer.program, "--version").and_then(|text| named("queue-proxy", &text)),
        Kind::Nginx => said(&peer.program, "-v").and_then(|text| named("nginx", &text)),
        Kind::Haproxy => said(&peer.program, "-v").and_then(|text| named("HAProxy", &text)),
        // Of the same build as ours, or they say none.
        _ => None,
    }
}

/// nginx says it on standard error.
fn said(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Some(said + &errors)
}

/// The first number with a dot in it.
fn named(name: &str, text: &str) -> Option<String> {
    let mut words = text.split([' ', '/', '-', '\n']);
    let number = words.find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit()))?;
    Some(format!("{name} {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_program_says_of_itself() {
        assert_eq!(named("nginx", "nginx version: nginx/1.22.1\n").unwrap(), "nginx 1.22.1");
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term";
        assert_eq!(named("HAProxy", haproxy).unwrap(), "HAProxy 2.6.12");
        assert_eq!(named("ours", "unknown"), None);
    }
}
