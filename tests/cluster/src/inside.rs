//! The namespaces that a run has to itself: users, network, mounts and processes. Whatever is done in there ends with it.
//!
//! A process enters them before it has a second thread, so a test binary runs itself again, under `unshare`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};

/// Set for the run that is inside.
const INSIDE: &str = "ROUSE_CLUSTER_INSIDE";

/// Set by whoever wants to look at a cluster after its tests.
const KEEP: &str = "ROUSE_CLUSTER_KEEP";

/// The address that this machine has as the only node.
pub const NODE: &str = "10.244.0.1";

/// Where addresses of Services are from.
pub const SERVICES: &str = "10.96.0.0/16";

/// Is this the run inside?
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Is the cluster to stay after its tests, for people to look at?
pub fn is_kept() -> bool {
    std::env::var_os(KEEP).is_some()
}

/// Runs this program again, inside, with the same arguments, and ends as it does.
///
/// # Errors
/// If such namespaces cannot be had here, with why.
pub fn enter() -> Result<ExitCode, String> {
    let tried = within(&[OsStr::new("nft"), OsStr::new("list"), OsStr::new("ruleset")], Stdio::piped())?;
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let args: Vec<OsString> = std::iter::once(own.into_os_string()).chain(std::env::args_os().skip(1)).collect();
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    let status = within(&args, Stdio::inherit())?.status;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Runs a command within all of them.
///
/// Whoever is root maps its users as they are, so that pods can have users of their own; whoever is not has only one. The
/// map is written from outside, by whoever may, so there are two steps: users, and then, with the rights that these give,
/// the rest.
fn within(command: &[&OsStr], stderr: Stdio) -> Result<Output, String> {
    let fault = |error: io::Error| format!("unshare: {error}");
    let is_root = nix::unistd::geteuid().is_root();
    let mut first = Command::new("unshare");
    if is_root {
        first.args(["--user", "sh", "-c", "read -r _ && exec \"$@\"", "sh"]);
    } else {
        first.args(["--map-root-user", "sh", "-c", "exec \"$@\"", "sh"]);
    }
    first.args(["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]).args(command);
    let is_a_trial = command.first() == Some(&OsStr::new("nft"));
    let stdout = if is_a_trial { Stdio::null() } else { Stdio::inherit() };
    first.env(INSIDE, "1").stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
    let mut child = first.spawn().map_err(fault)?;
    let mut go = child.stdin.take();
    if is_root {
        let own = std::fs::read_link("/proc/self/ns/user").map_err(fault)?;
        let folder = PathBuf::from(format!("/proc/{}", child.id()));
        // Until it has left ours, the map would be that of our own.
        while std::fs::read_link(folder.join("ns/user")).map_err(fault)? == own {
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            std::fs::write(folder.join(map), "0 0 65536").map_err(|error| format!("{map}: {error}"))?;
        }
        if let Some(go) = &mut go {
            go.write_all(b"\n").map_err(fault)?;
        }
    }
    drop(go);
    if is_kept() && !is_a_trial {
        eprintln!(
            "cluster: to look inside: nsenter --target {} --user --net --mount --preserve-credentials",
            child.id()
        );
    }
    child.wait_with_output().map_err(fault)
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
