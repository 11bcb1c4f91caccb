//! Pods' addresses, and the wires between their network namespaces and the host's.
//!
//! Each pod has a pair of virtual interfaces with a route of one address on either side, and no bridge: what pods say to
//! each other is forwarded by the host, where kube-proxy's rules see it.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Addresses for pods, for example `10.244.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRange {
    first: u32,
    count: u32,
}

impl FromStr for PodRange {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || -> Option<(Ipv4Addr, u32)> {
            let (address, prefix) = text.split_once('/')?;
            Some((address.parse().ok()?, prefix.parse().ok()?))
        };
        let Some((address, prefix @ 8..=30)) = parsed() else {
            bail!("{text} is no range of addresses such as 10.244.1.0/24, from /8 to /30");
        };
        let size = 1 << (32 - prefix);
        // Neither the network's own address nor its last one.
        Ok(Self { first: (u32::from(address) & !(size - 1)) + 1, count: size - 2 })
    }
}

/// Gives addresses in turn, so that the one of a pod that is gone comes up again as late as can be: a client that still
/// knows it must not meet another pod there.
#[derive(Debug, Default)]
pub(crate) struct Turn(u32);

impl Turn {
    /// The next address that is not in use; `None` if all are.
    pub(crate) fn next(&mut self, range: PodRange, in_use: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        (0..range.count).find_map(|_| {
            let address = Ipv4Addr::from(range.first + self.0 % range.count);
            self.0 = (self.0 + 1) % range.count;
            (!in_use(address)).then_some(address)
        })
    }
}

/// Lets the host pass on what pods send.
pub(crate) fn forward_packets() -> anyhow::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
        .context("cannot switch on the forwarding of packets: no namespace of our own?")
}

/// The host's side of a pod's pair. An interface's name has 15 characters at most.
pub(crate) fn interface(sandbox: &str) -> String {
    format!("pod{}", &sandbox[..12])
}

/// Makes a pod's pair of interfaces, and the host's side of its route. The pod's side is `inside`'s. A route of a pod that
/// died with the server before this one may still be there.
pub(crate) async fn attach(interface: &str, holder: u32, pod: Ipv4Addr, node: Ipv4Addr) -> anyhow::Result<()> {
    ip(&format!(
        "link add {interface} type veth peer name eth0 netns {holder}\nlink set {interface} up\nroute replace {pod}/32 dev {interface} src {node}\n"
    ))
    .await
}

/// Takes the pair away. The namespace would take it along, but some moments after its last process has gone.
pub(crate) async fn detach(interface: &str) -> anyhow::Result<()> {
    ip(&format!("link del {interface}\n")).await
}

async fn ip(batch: &str) -> anyhow::Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip (package iproute2)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes()).await.context("cannot talk to ip")?;
    }
    let output = child.wait_with_output().await.context("cannot wait for ip")?;
    if !output.status.success() {
        bail!("ip says: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_given_back_comes_up_again_after_all_others() {
        let range: PodRange = "10.1.2.0/29".parse().unwrap();
        let mut turn = Turn::default();
        let free = |_| false;
        let given: Vec<u8> = (0..7).map(|_| turn.next(range, free).unwrap().octets()[3]).collect();
        assert_eq!(given, [1, 2, 3, 4, 5, 6, 1]);
        assert_eq!(turn.next(range, |address| address.octets()[3] != 5), Some(Ipv4Addr::new(10, 1, 2, 5)));
        assert_eq!(turn.next(range, |_| true), None);
    }

    #[test]
    fn a_range_is_told_what_it_should_look_like() {
        for text in ["10.0.0.0", "10.0.0.0/31", "10.0.0.0/x", "::/64"] {
            assert!(text.parse::<PodRange>().unwrap_err().to_string().contains("such as"));
        }
    }
}
