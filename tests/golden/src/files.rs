//! Finding and reading the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::SETS;

/// The file of each set that is there.
#[derive(Debug)]
pub(crate) struct Found {
    directory: PathBuf,
    files: BTreeMap<String, PathBuf>,
}

/// Where the vectors are: as given, relative to the root of the workspace; or the copy in the repository.
pub(crate) fn directory(given: Option<String>) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match given {
        Some(given) if !given.is_empty() => here.join("../..").join(given),
        Some(_) | None => here.join("vectors"),
    }
}

/// Looks through the directory.
///
/// # Errors
/// If it cannot be listed, or holds vectors that are not on the list, or one set twice.
pub(crate) fn find(directory: &Path) -> Result<Found, String> {
    let place = directory.display();
    let entries = fs::read_dir(directory).map_err(|error| format!("cannot list {place}: {error}"))?;
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot list {place}: {error}"))?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = file_name.strip_suffix(".jsonl").or_else(|| file_name.strip_suffix(".jsonl.gz")) else {
            continue;
        };
        if !SETS.iter().any(|set| set.name == name) {
            faults.push(format!("{file_name} is on nobody's list"));
        } else if files.insert(name.to_owned(), path).is_some() {
            faults.push(format!("{name} is there twice, plain and compressed"));
        }
    }
    if faults.is_empty() {
        Ok(Found { directory: directory.to_owned(), files })
    } else {
        Err(format!("{place}: {}", faults.join("; ")))
    }
}

impl Found {
    /// All lines of one set.
    ///
    /// # Errors
    /// If the set is missing or cannot be read.
    pub(crate) fn lines(&self, name: &str) -> Result<Vec<String>, String> {
        let path = self.files.get(name).ok_or_else(|| {
            format!("missing: neither {name}.jsonl nor {name}.jsonl.gz in {}", self.directory.display())
        })?;
        let told = |error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(told)?;
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let bytes: Box<dyn Read> = if compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
        BufReader::new(bytes).lines().collect::<Result<_, _>>().map_err(told)
    }
}
