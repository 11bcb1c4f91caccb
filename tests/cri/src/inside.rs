//! What the same binary does within namespaces: each role is a process with one thread, since only such a one can enter a
//! namespace, that is told what to be by a line of JSON on its standard input and answers there with a line of
//! `Result<_, String>`.

mod root;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the server starts this program as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Holds a pod's network namespace open.
    Holder,
    /// Makes a container's namespaces, starts [`Role::Inside`] there, and ends as it does.
    Outside,
    /// Process 1 of a container: makes its root, and becomes its program.
    Inside,
    /// Runs a command in a container that runs.
    Exec,
}

/// A pod's side of its network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HolderSpec {
    pub(crate) address: Ipv4Addr,
    pub(crate) node: Ipv4Addr,
}

/// A container, as its process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerSpec {
    /// The process whose network it shares; none for the host's.
    pub(crate) network_of: Option<u32>,
    /// Where its root is mounted until it is the only one.
    pub(crate) root: PathBuf,
    /// Shown read-only at the same place: folders themselves, files with the folder that they are in.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) resolv_conf: String,
    /// From the host, into the container, read-only.
    pub(crate) mounts: Vec<(String, String, bool)>,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) working_dir: PathBuf,
    pub(crate) hostname: String,
}

/// A command in a container that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    /// Process 1 of the container.
    pub(crate) pid: u32,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) working_dir: PathBuf,
}

impl Role {
    /// The role of this name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Holder, Self::Outside, Self::Inside, Self::Exec].into_iter().find(|role| role.name() == name)
    }

    /// The first argument that it is started with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Holder => "holder",
            Self::Outside => "outside",
            Self::Inside => "inside",
            Self::Exec => "exec",
        }
    }

    /// Does what the role does. Nothing else may run in this process.
    pub fn play(self) -> ExitCode {
        let played = match self {
            Self::Holder => hold(),
            Self::Outside => outside(),
            Self::Inside => inside(),
            Self::Exec => exec(),
        };
        played.unwrap_or_else(|error| {
            // The server has the reason from the line, where there is one.
            eprintln!("{error:#}");
            ExitCode::from(126)
        })
    }
}

/// What a container's end is in a pod's status: a signal counts from 128.
pub(crate) fn exit_code(ended: ExitStatus) -> i32 {
    ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

fn hold() -> anyhow::Result<ExitCode> {
    let own_network = std::env::args().nth(2).is_some();
    let entered = if own_network { unshare(CloneFlags::CLONE_NEWNET) } else { Ok(()) };
    reply(&entered.map_err(|error| error.to_string()))?;
    if own_network {
        let spec: HolderSpec = told()?;
        reply(&configure(&spec).map_err(|error| format!("{error:#}")))?;
    }
    // The server never says more; its end of the line closes with it.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}

fn configure(HolderSpec { address, node }: &HolderSpec) -> anyhow::Result<()> {
    let batch = format!(
        "link set lo up\naddr add {address}/32 dev eth0\nlink set eth0 up\nroute add {node}/32 dev eth0 scope link\n\
         route add default via {node} dev eth0 onlink\n"
    );
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(batch.as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    if !output.status.success() {
        bail!("ip says: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn outside() -> anyhow::Result<ExitCode> {
    // A container without a server would be nobody's.
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot follow the server")?;
    let spec: ContainerSpec = told()?;
    let started = start_inside(&spec);
    reply(&started.as_ref().map(Child::id).map_err(|error| format!("{error:#}")))?;
    Ok(code_of(started?.wait()?))
}

/// Starts process 1 of a container, and returns once it is the container's program.
fn start_inside(spec: &ContainerSpec) -> anyhow::Result<Child> {
    if let Some(pid) = spec.network_of {
        enter(pid, "net", CloneFlags::CLONE_NEWNET)?;
    }
    let own = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    unshare(own).context("cannot make a container's namespaces")?;
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg(Role::Inside.name())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .context("cannot start process 1 of a container")?;
    serde_json::to_writer(&ours, spec)?;
    ours.write_all(b"\n")?;
    let mut failure = String::new();
    ours.read_to_string(&mut failure)?;
    if !failure.is_empty() {
        bail!(failure);
    }
    Ok(child)
}

fn inside() -> anyhow::Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot follow the process outside")?;
    let spec: ContainerSpec = told()?;
    // Closed when this process becomes another, which is how the process outside learns that all went well.
    let mut line = line()?;
    let failure = become_program(&spec).unwrap_err();
    write!(line, "{failure:#}")?;
    Ok(ExitCode::from(127))
}

/// Returns only if it fails.
fn become_program(spec: &ContainerSpec) -> anyhow::Result<std::convert::Infallible> {
    let (program, arguments) = spec.command.split_first().context("a container without a command")?;
    root::enter(spec)?;
    nix::unistd::sethostname(&spec.hostname).context("cannot set the name of the host")?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?).context("cannot close the standard input")?;
    std::fs::create_dir_all(&spec.working_dir)?;
    std::env::set_current_dir(&spec.working_dir)
        .with_context(|| format!("cannot work in {}", spec.working_dir.display()))?;
    let error = Command::new(program).args(arguments).env_clear().envs(&spec.env).exec();
    Err(error).with_context(|| format!("cannot run {program}"))
}

fn exec() -> anyhow::Result<ExitCode> {
    let spec: ExecSpec = told()?;
    let (program, arguments) = spec.command.split_first().context("no command")?;
    // All are opened before the first is entered: /proc is the container's own after that.
    let kinds = [
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let opened: Vec<_> =
        kinds.iter().map(|&(name, kind)| Ok((open(spec.pid, name)?, kind))).collect::<anyhow::Result<_>>()?;
    for (namespace, kind) in opened {
        setns(namespace, kind).context("cannot enter the container")?;
    }
    // Blocked before there is a child, so that its end cannot be missed; the child starts with nothing blocked.
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block()?;
    let ends = SignalFd::new(&ends)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&spec.env).current_dir(&spec.working_dir).stdin(Stdio::null());
    let mut child = command.process_group(0).spawn().with_context(|| format!("cannot run {program}"))?;
    let line = line()?;
    let mut waited = [PollFd::new(ends.as_fd(), PollFlags::POLLIN), PollFd::new(line.as_fd(), PollFlags::POLLIN)];
    while poll(&mut waited, PollTimeout::NONE) == Err(nix::Error::EINTR) {}
    if child.try_wait()?.is_none() {
        // The server closed the line: it waits no more.
        let group = Pid::from_raw(i32::try_from(child.id())?);
        killpg(group, Signal::SIGKILL).context("cannot kill a command")?;
    }
    Ok(code_of(child.wait()?))
}

fn open(pid: u32, name: &str) -> anyhow::Result<File> {
    File::open(format!("/proc/{pid}/ns/{name}")).with_context(|| format!("cannot open the {name} namespace of {pid}"))
}

fn enter(pid: u32, name: &str, kind: CloneFlags) -> anyhow::Result<()> {
    setns(open(pid, name)?, kind).with_context(|| format!("cannot enter the {name} namespace of {pid}"))
}

fn code_of(ended: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(exit_code(ended)).unwrap_or(255))
}

fn told<T: DeserializeOwned>() -> anyhow::Result<T> {
    let mut text = String::new();
    std::io::stdin().lock().read_line(&mut text)?;
    serde_json::from_str(&text).context("cannot make sense of what was told")
}

fn reply<T: Serialize>(answer: &Result<T, String>) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    Ok(line()?.write_all(&text)?)
}

/// The socket that is the standard input; closed on exec.
fn line() -> anyhow::Result<UnixStream> {
    Ok(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?))
}
