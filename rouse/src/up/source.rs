//! Where the documents come from: files, or a command.

use std::path::PathBuf;

use api::{Fault, Reading};

use super::short::{self, Flags};

/// Where the documents come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// These files, together.
    Files(Vec<PathBuf>),
    /// What stands on the command line; it never changes.
    Command(Flags),
    /// What this program carries with it, under a name for faults; it never changes either.
    Text(&'static str, &'static str),
}

impl Source {
    /// Files if there are any. Flags that do not go together are noted as faults.
    pub(crate) fn of(files: Vec<PathBuf>, flags: Flags, faults: &mut Vec<Fault>) -> Self {
        if files.is_empty() {
            return Self::Command(flags);
        }
        flags.refuse_beside_files(faults);
        Self::Files(files)
    }

    /// Reads it, as it is now.
    pub(crate) fn read(&self) -> Reading {
        match self {
            Self::Files(files) => read_files(files),
            Self::Command(flags) => short::read(flags),
            Self::Text(name, text) => api::read(&[((*name).to_owned(), text.as_bytes().to_vec())]),
        }
    }
}

fn read_files(files: &[PathBuf]) -> Reading {
    let mut unreadable = Vec::new();
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match std::fs::read(file) {
            Ok(bytes) => texts.push((name, bytes)),
            Err(error) => unreadable.push(Fault::of_flag("--file", name, format!("a file that can be read: {error}"))),
        }
    }
    // What a file that is not there may have said is nobody's fault in the others.
    if !unreadable.is_empty() && texts.is_empty() {
        return Reading { documents: api::Documents::default(), faults: api::Faults(unreadable), warnings: Vec::new() };
    }
    let mut reading = api::read(&texts);
    reading.faults.0.splice(0..0, unreadable);
    reading
}
