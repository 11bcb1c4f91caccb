//! Which requests were begun: a file that outlives the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// One line for each request with an `x-request-id`, written at receipt of its head.
#[derive(Debug)]
pub(super) struct Begun(File);

impl Begun {
    /// Several servers may append to one file: a line is one write.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(file.with_context(|| format!("cannot append to {}", path.display()))?))
    }

    /// Returns once the kernel has the line, so that even SIGKILL in the next instruction does not lose it. It blocks
    /// the runtime for microseconds, which is the point: nothing is served before.
    pub(super) fn note(&self, id: &[u8]) {
        if let Err(error) = (&self.0).write_all(&[id, b"\n"].concat()) {
            eprintln!("cannot write the log of begun requests: {error}");
        }
    }
}
