//! The namespaces that a run has to itself: users, network, mounts and processes. Whatever is done in there ends with it.
//!
//! A process enters them before it has a second thread, so a test binary runs itself again, under `unshare`.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};

/// Set for the run that is inside.
const INSIDE: &str = "ROUSE_CLUSTER_INSIDE";

/// The address that this machine has as the only node.
pub const NODE: &str = "10.244.0.1";

/// Where addresses of Services are from.
pub const SERVICES: &str = "10.96.0.0/16";

/// Is this the run inside?
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program again, inside, with the same arguments, and ends as it does.
///
/// # Errors
/// If such namespaces cannot be had here, with why.
pub fn enter() -> Result<ExitCode, String> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["-r", "-n", "-m", "-p", "-f", "--mount-proc", "--kill-child"]);
        command
    };
    let tried = unshare().args(["nft", "list", "ruleset"]).output();
    match tried {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => return Err(format!("unshare: {error}")),
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = unshare().arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1").status();
    let status = status.map_err(|error| format!("unshare: {error}"))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// What there must be inside before anything is started: addresses, a route to Services, and folders that the kubelet
/// insists on.
///
/// The route goes over a bridge: over the loopback device a refusal by kube-proxy would reach nobody.
///
/// # Errors
/// If something cannot be set up.
pub fn set_up() -> io::Result<()> {
    for folder in ["/var/lib", "/var/log", "/run"] {
        run("mount", &["-t", "tmpfs", "none", folder])?;
    }
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["addr", "add", &format!("{NODE}/32"), "dev", "lo"])?;
    run("ip", &["link", "add", "services", "type", "bridge"])?;
    run("ip", &["link", "set", "services", "up"])?;
    run("ip", &["route", "add", SERVICES, "dev", "services", "src", NODE])?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let done = Command::new(program).args(args).output()?;
    let told = || format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    if done.status.success() { Ok(()) } else { Err(io::Error::other(told())) }
}
