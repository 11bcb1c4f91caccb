//! What is wrong, where, and what is allowed.

use std::fmt;
use std::sync::Arc;

/// A place in a file. Lines and columns count from 1; a column is a character, not a byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named to us.
    pub file: Arc<str>,
    /// Its line.
    pub line: usize,
    /// The character in that line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What the fault of a field begins with that exists and is not served.
pub(crate) const NOT_YET_SUPPORTED: &str = "NotYetSupported";

/// One thing that is wrong. Shown as `file:line:column: path: value: what is allowed`; parts that there are none of (a
/// flag has no place, a syntax error no path) are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands; `None` for what came from the command line or from an API server.
    pub place: Option<Place>,
    /// The field, as `spec.traffic[1].percent`, or the flag.
    pub path: String,
    /// What stands there, shortened to a line.
    pub value: String,
    /// What is allowed instead, for a person.
    pub allowed: String,
}

impl Fault {
    /// A fault of the command line: the flag, what was given, and what is allowed.
    pub fn of_flag(flag: impl Into<String>, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { place: None, path: flag.into(), value: shorten(&value.into()), allowed: allowed.into() }
    }

    /// Is it a field that exists, and whose time has not come?
    pub fn is_not_yet_supported(&self) -> bool {
        self.allowed.starts_with(NOT_YET_SUPPORTED)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        for part in [&self.path, &self.value] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.allowed)
    }
}

/// Everything that is wrong, in the order of the files. Never empty where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `Ok` if there are none.
    ///
    /// # Errors
    /// These faults, if there are any, each place's together and in the order of the file.
    pub fn into_result(mut self) -> Result<(), Self> {
        if self.0.is_empty() {
            return Ok(());
        }
        // Files stay in the order in which they were given; within a file lines and columns decide.
        let mut files: Vec<Arc<str>> = Vec::new();
        for place in self.0.iter().filter_map(|fault| fault.place.as_ref()) {
            if !files.contains(&place.file) {
                files.push(Arc::clone(&place.file));
            }
        }
        self.0.sort_by_key(|fault| {
            fault.place.as_ref().map(|place| {
                let file = files.iter().position(|file| *file == place.file);
                (file, place.line, place.column)
            })
        });
        Err(self)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if 0 < i {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A value in one line of at most 60 characters, with what a terminal would act on made visible.
pub(crate) fn shorten(text: &str) -> String {
    let mut line: String = text.chars().take(61).flat_map(visible).collect();
    if 60 < line.chars().count() {
        line = line.chars().take(59).collect();
        line.push('…');
    }
    line
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}
