//! How a program ends, and the runtime that it runs on.

use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// How a program ended, in the codes that scripts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: what was asked for is done.
    Done,
    /// 1: it could not be done.
    Failed,
    /// 64: a flag, a variable or a file is wrong; nothing was started.
    BadInput,
    /// 69: something that is needed is not there (a port, a file, a server).
    Unavailable,
    /// 130: interrupted before it was done.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadInput => 64,
            Self::Unavailable => 69,
            Self::Interrupted => 130,
        }
    }

    /// Which one an error means, by what is found in its chain.
    pub fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if cause.is::<Interrupted>() {
                return Self::Interrupted;
            }
            if cause.is::<crate::Problems>() {
                return Self::BadInput;
            }
            if cause.is::<Unavailable>() || cause.is::<crate::BindFault>() {
                return Self::Unavailable;
            }
        }
        Self::Failed
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Something that is needed is not there. In the chain of an error it makes the exit code 69.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// The program was told to stop twice, and stopped before it was done. Makes the exit code 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted before everything had ended")]
pub struct Interrupted;

/// Ends a `main`: prints an error once, with its causes, and answers with its code.
pub fn exit(program: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("{program}: {error:#}");
            Exit::of(&error).into()
        }
    }
}

/// As many workers as there are processors for this process, by affinity and cgroup quota; at most `most`.
pub fn default_workers(most: usize) -> usize {
    available_parallelism().map_or(1, usize::from).clamp(1, most.max(1))
}

/// A runtime with so many workers. With one, everything runs on the calling thread: no stealing, and less memory.
///
/// # Errors
/// If the operating system gives no threads or no event queue.
pub fn runtime(workers: usize) -> anyhow::Result<Runtime> {
    let mut builder = match workers {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if 1 < workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().with_context(|| format!("starting a runtime with {workers} workers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides_the_code_however_deep_it_lies() {
        let port = anyhow::Error::from(Unavailable("no cluster".into())).context("starting");
        assert_eq!(Exit::of(&port), Exit::Unavailable);
        assert_eq!(Exit::of(&anyhow::anyhow!("broken")), Exit::Failed);
        assert_eq!(Exit::of(&Interrupted.into()), Exit::Interrupted);
    }
}
