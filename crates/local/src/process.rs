//! The program's side of one kept process: starting its keeper, hearing from it, telling it.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tracing::warn;

use crate::keeper::{KILL, MARK, Report, TERMINATE, Task, WORD};
use crate::tree;

/// A process under its keeper. Dropping it kills everything that it started.
#[derive(Debug)]
pub(crate) struct Process {
    keeper: Child,
    keeper_pid: i32,
    reports: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
    /// `MARK=number`, in the environment of all that it started.
    mark: String,
    command: Option<i32>,
    end: Option<End>,
}

/// What is heard of it.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The command runs.
    Started {
        /// Its process number.
        pid: i32,
    },
    /// It and everything that it started is gone.
    Ended(End),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It never ran.
    NotStarted(String),
    /// Somebody killed its keeper.
    KeeperLost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Signalled(signal) => match Signal::try_from(*signal) {
                Ok(name) => write!(f, "was killed by {name}"),
                Err(_) => write!(f, "was killed by signal {signal}"),
            },
            Self::NotStarted(why) => f.write_str(why),
            Self::KeeperLost => f.write_str("was killed with its keeper"),
        }
    }
}

/// A keeper that waits for its task. Dropping it ends it.
#[derive(Debug)]
struct Idle {
    keeper: Child,
    ours: BlockingStream,
    output: pipe::Receiver,
}

impl Idle {
    /// Blocks for a millisecond or two, until the keeper has been executed. Needs a runtime around it.
    ///
    /// `std` starts it without copying this process's memory map (`posix_spawn`), as nothing is asked for here that
    /// would prevent that. And the keeper has no parent-death signal: that would fire when the *thread* that started it
    /// ends.
    fn start(program: &Path) -> io::Result<Self> {
        let (ours, theirs) = BlockingStream::pair()?;
        let (output, output_end) = pipe_pair()?;
        let mut command = Command::new(program);
        command
            .arg0("replica")
            .arg(WORD)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(output_end.try_clone()?))
            .stderr(Stdio::from(output_end));
        // Their ends are open in `command` too, and closed with it: as long as they were, the end of theirs would not
        // be seen.
        let keeper = tokio::process::Command::from(command).spawn()?;
        Ok(Self { keeper, ours, output })
    }

    fn begin(mut self, task: &Task) -> io::Result<(Process, pipe::Receiver)> {
        let mark = format!("{:016x}", fastrand::u64(..));
        let mut marked = task.clone();
        marked.env.push((MARK.to_owned(), mark.clone()));
        let mut line = serde_json::to_vec(&marked)?;
        line.push(b'\n');
        // More than the socket holds is written as the keeper reads it.
        self.ours.write_all(&line)?;
        self.ours.set_nonblocking(true)?;
        let (reports, orders) = UnixStream::from_std(self.ours)?.into_split();
        let keeper_pid = self.keeper.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let process = Process {
            keeper: self.keeper,
            keeper_pid,
            reports: BufReader::new(reports).lines(),
            orders,
            mark: format!("{MARK}={mark}"),
            command: None,
            end: None,
        };
        Ok((process, self.output))
    }
}

/// Starts processes. One keeper always stands ready, since executing one takes longer than all else between an order
/// and a running command.
#[derive(Debug)]
pub(crate) struct Keepers {
    program: PathBuf,
    spare: Mutex<Spare>,
}

#[derive(Debug)]
enum Spare {
    /// Nobody has asked for one yet, or the last one was taken.
    None,
    /// One is being started.
    Coming,
    There(Box<Idle>),
    /// None is wanted any more.
    Closed,
}

/// How long after the spare one was taken the next is started, so that it does not slow down what was started with the
/// last.
const RECOVERY: Duration = Duration::from_millis(100);

impl Keepers {
    /// `program` is executed as a keeper.
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { program, spare: Mutex::new(Spare::None) }
    }

    /// Starts a process; the second answer is all that it prints, on stdout and stderr alike.
    pub(crate) async fn start(self: &Arc<Self>, task: Task) -> io::Result<(Process, pipe::Receiver)> {
        if let Some(spare) = self.take() {
            match spare.begin(&task) {
                Ok(begun) => return Ok(begun),
                // Somebody has killed it while it waited.
                Err(error) => warn!(%error, "the spare keeper is of no use, starting another"),
            }
        }
        self.start_aside(task).await
    }

    /// Likewise, and leaves the spare keeper for whom somebody waits.
    pub(crate) async fn start_aside(self: &Arc<Self>, task: Task) -> io::Result<(Process, pipe::Receiver)> {
        let keepers = Arc::clone(self);
        // On a thread that may block, so that starting many holds up no request.
        let starting = tokio::task::spawn_blocking(move || Idle::start(&keepers.program)?.begin(&task));
        starting.await.map_err(io::Error::other)?
    }

    /// Starts a spare one, if none is there or coming.
    pub(crate) async fn replenish(self: Arc<Self>) {
        {
            let mut spare = self.spare.lock();
            if !matches!(*spare, Spare::None) {
                return;
            }
            *spare = Spare::Coming;
        }
        tokio::time::sleep(RECOVERY).await;
        let keepers = Arc::clone(&self);
        let started = tokio::task::spawn_blocking(move || Idle::start(&keepers.program)).await;
        let mut spare = self.spare.lock();
        if !matches!(*spare, Spare::Closed) {
            // Without one the next start is slower, and says what is wrong if that goes on.
            *spare = started.ok().and_then(Result::ok).map_or(Spare::None, |idle| Spare::There(Box::new(idle)));
        }
    }

    /// Lets the spare one go.
    pub(crate) fn close(&self) {
        *self.spare.lock() = Spare::Closed;
    }

    fn take(&self) -> Option<Box<Idle>> {
        let mut spare = self.spare.lock();
        match std::mem::replace(&mut *spare, Spare::None) {
            Spare::There(idle) => Some(idle),
            other => {
                *spare = other;
                None
            }
        }
    }
}

impl Process {
    /// The process that all of it descends from.
    pub(crate) fn ancestor(&self) -> i32 {
        self.keeper_pid
    }

    /// The next thing heard. May be dropped at any time and asked again; not after it has ended.
    pub(crate) async fn next(&mut self) -> Heard {
        // A broken stream says what a closed one does.
        while let Ok(Some(line)) = self.reports.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Report::Started { pid }) => {
                    self.command = Some(pid);
                    return Heard::Started { pid };
                }
                Ok(Report::NotStarted { why }) => self.end = Some(End::NotStarted(why)),
                Ok(Report::Exited { status }) => self.end = Some(End::Exited(status)),
                Ok(Report::Signalled { signal }) => self.end = Some(End::Signalled(signal)),
                Err(error) => warn!(%error, line, "a keeper said something that makes no sense"),
            }
        }
        let _ = self.keeper.wait().await;
        if self.end.is_none() {
            // Without its last word the keeper was killed, and may have left something.
            sweep(self.mark.clone(), self.command).await;
        }
        Heard::Ended(self.end.clone().unwrap_or(End::KeeperLost))
    }

    /// Its end. May be dropped at any time and asked again.
    pub(crate) async fn ended(&mut self) -> End {
        loop {
            if let Heard::Ended(end) = self.next().await {
                return end;
            }
        }
    }

    /// Asks the command, and all in its process group, to end.
    pub(crate) fn terminate(&self) {
        self.tell(TERMINATE);
    }

    /// Kills everything.
    pub(crate) fn kill(&self) {
        self.tell(KILL);
    }

    /// A byte always fits into a socket that carries so few; if the keeper is gone, there is nobody to tell.
    fn tell(&self, order: u8) {
        let _ = self.orders.try_write(&[order]);
    }
}

fn pipe_pair() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let reader = OwnedFd::from(reader);
    Ok((pipe::Receiver::from_owned_fd(reader)?, writer.into()))
}

/// How long a process that was killed may take to vanish before we stop looking: only one in uninterruptible sleep
/// takes long, and more signals would not help it.
const SWEEP_FOR: Duration = Duration::from_secs(5);

/// Kills what a killed keeper left: whatever carries its mark, or is in its command's session. Only a process that has
/// cleared its environment *and* made a session of its own is missed.
async fn sweep(mark: String, session: Option<i32>) {
    let sweeping = tokio::task::spawn_blocking(move || {
        let pause = Duration::from_millis(5);
        for _ in 0..SWEEP_FOR.as_millis() / pause.as_millis() {
            let left: Vec<i32> = tree::processes()
                .iter()
                .filter(|process| !process.zombie)
                .filter(|process| Some(process.session) == session || tree::has_variable(process.pid, &mark))
                .map(|process| process.pid)
                .collect();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(pause);
        }
    });
    let _ = sweeping.await;
}
