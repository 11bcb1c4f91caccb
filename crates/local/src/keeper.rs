//! The keeper: a small process between the program and one replica, so that nothing outlives either.
//!
//! It is this same program, executed again with the word `keeper`. It is a child subreaper: whatever descends from it and
//! loses its parent (double forks, `setsid`, a shell that went away) becomes its child, so it can find and kill all of
//! it. It holds one end of a socket whose other end only the program has; when that end closes, also because the
//! program was killed with SIGKILL, the keeper kills everything and ends. It has one thread, no runtime, and
//! waits for its task on its standard input, so that one can stand ready before it is needed.
//!
//! If the keeper itself is killed, the kernel kills the command (its parent-death signal hangs on the keeper's only
//! thread), and the program, if it lives, sweeps up the rest (`process.rs`).
//!
//! It ignores the signals of a terminal or a service manager: the program decides who ends, and when.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid, setsid};
use serde::{Deserialize, Serialize};

use crate::tree;

/// The subcommand's word.
pub(crate) const WORD: &str = "keeper";

/// Each process under a keeper has this variable, with a number drawn by the program: how they are found once their
/// keeper was killed.
pub(crate) const MARK: &str = "ROUSE_KEEPER";

/// What the program tells a keeper first, as one line of JSON on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// Added to what the program itself was given.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: Option<PathBuf>,
}

/// Then: ask the command to end.
pub(crate) const TERMINATE: u8 = b't';
/// Or: kill everything. The end of the stream means the same.
pub(crate) const KILL: u8 = b'k';

/// What a keeper tells the program, each as a line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The command runs.
    Started { pid: i32 },
    /// It could not be run. The keeper ends.
    NotStarted { why: String },
    /// It ended, and nothing that it started is left. The keeper ends.
    Exited { status: i32 },
    /// Likewise, by a signal.
    Signalled { signal: i32 },
}

/// Runs as a keeper if this process was executed as one; `None` if not. To be called before anything else in `main`,
/// in particular before any thread is started.
pub fn run_if_asked() -> Option<ExitCode> {
    let asked = std::env::args_os().nth(1).is_some_and(|word| word == WORD);
    asked.then(|| match keep() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Into the replica's output, so it is shown with its name.
            eprintln!("keeper: {error}");
            ExitCode::FAILURE
        }
    })
}

fn keep() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    // Not "rouse": who kills that by name should not have to think of us, and must not hit us.
    nix::sys::prctl::set_name(c"keeper")?;
    // A session of its own: Ctrl-C at the program's terminal is not meant for us.
    setsid()?;
    let mut deaf_to = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        deaf_to.add(signal);
    }
    deaf_to.thread_block()?;
    let children_ended = SignalFd::with_flags(&deaf_to, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;

    let mut program = BufReader::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?));
    let mut line = String::new();
    if program.read_line(&mut line)? == 0 {
        return Ok(()); // The program ended before it had anything for us.
    }
    let task: Task = serde_json::from_str(&line)?;
    let command = match start(&task) {
        Ok(command) => command,
        Err(error) => {
            let why = format!("cannot run `{}`: {}", task.program, reason(&error, &task));
            return report(program.get_mut(), &Report::NotStarted { why });
        }
    };
    report(program.get_mut(), &Report::Started { pid: command.as_raw() })?;
    let ended = watch(&mut program, &children_ended, command);
    kill_all(command)?;
    let last = ended?.map_or(Report::Signalled { signal: Signal::SIGKILL as i32 }, Report::from);
    report(program.get_mut(), &last)
}

/// Waits until the command has ended (with its status) or everything is to be killed (`None`).
fn watch(
    program: &mut BufReader<UnixStream>,
    children_ended: &SignalFd,
    command: Pid,
) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = reap(command)? {
            return Ok(Some(status));
        }
        // What came right behind the task is in the buffer, and polling would not see it.
        if program.buffer().is_empty() {
            let mut wake_ups = [
                PollFd::new(program.get_ref().as_fd(), PollFlags::POLLIN),
                PollFd::new(children_ended.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut wake_ups, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let told = wake_ups[0].any().unwrap_or(false);
            while let Ok(Some(_)) = children_ended.read_signal() {}
            if !told {
                continue;
            }
        }
        let mut byte = [0];
        // An error means what the end means: nobody is there any more.
        match program.read(&mut byte) {
            Ok(1) if byte[0] == TERMINATE => {
                // It may have ended this instant; then there is nobody to ask.
                let _ = killpg(command, Signal::SIGTERM);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}

/// Starts the command in a session of its own, so that it has no terminal and all of it can be asked to end at once.
#[expect(unsafe_code, reason = "no safe interface runs anything between fork and exec")]
fn start(task: &Task) -> io::Result<Pid> {
    let mut command = Command::new(&task.program);
    command.args(&task.args).envs(task.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    if let Some(working_dir) = &task.working_dir {
        command.current_dir(working_dir);
    }
    let keeper = getpid();
    let before_exec = move || {
        setsid()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // If the keeper was killed before the line above, nobody will tell.
        if getppid() != keeper {
            return Err(Errno::ESRCH.into());
        }
        SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: the closure makes four system calls that are safe after fork, and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
    // The handle is dropped, which neither kills nor waits: `reap` waits for every child alike.
    let child = command.spawn()?;
    Ok(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?))
}

fn reason(error: &io::Error, task: &Task) -> String {
    match (error.kind(), &task.working_dir) {
        (_, Some(dir)) if !dir.is_dir() => format!("there is no directory {}", dir.display()),
        (io::ErrorKind::NotFound, _) => "no such program".to_owned(),
        (io::ErrorKind::PermissionDenied, _) => "it is not executable".to_owned(),
        _ => error.to_string(),
    }
}

/// Reaps whoever has ended; the answer is the command's status if it was among them.
fn reap(command: Pid) -> io::Result<Option<ExitStatus>> {
    let mut of_command = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == command => {
                of_command = Some(ExitStatus::from_raw(status << 8))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                of_command = Some(ExitStatus::from_raw(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(of_command),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills whatever descends from this process, until nothing is left. The children of who dies become ours, so none
/// can slip away; who forks faster than we look is found in the next round.
fn kill_all(command: Pid) -> io::Result<()> {
    let me = getpid().as_raw();
    loop {
        for pid in tree::descendants(&tree::processes(), me) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        reap(command)?;
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(()),
            // Killed ones take a moment to go, and some (in uninterruptible sleep) take long.
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// That nobody reads it any more is no fault: then everything has been killed already.
fn report(program: &mut UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    match program.write_all(&line) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

impl From<ExitStatus> for Report {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Signalled { signal },
            None => Self::Exited { status: status.code().unwrap_or_default() },
        }
    }
}
