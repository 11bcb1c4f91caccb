//! Settings: strings in, values or every fault out.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use crate::Exit;

/// Named settings as strings: the environment, read once, or what a test writes down.
#[derive(Clone, Debug, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// The environment of this process. Variables that are not UTF-8 are passed over: none of ours can be.
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        Self(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect())
    }

    /// What is set for `name`. An empty value counts as not set, as a template leaves it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Sets one, as a flag does over the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Vars {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// One fault: which setting, what it says, what is wrong, what it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the setting: a variable, a flag, a field.
    pub name: String,
    /// What it says; `None` if it is not set at all.
    pub value: Option<String>,
    /// What is wrong with that.
    pub fault: String,
    /// What is allowed, with an example.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value:?}: {}; allowed: {}", self.name, self.fault, self.allowed),
            None => write!(f, "{}: {}; allowed: {}", self.name, self.fault, self.allowed),
        }
    }
}

/// Every fault of a configuration, so that a person mends them in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a fault that nobody reads is a setting that nobody can mend"]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Reads a setting that has a default. `None` only if it is set and faulty; the fault is noted.
    pub fn or_default<T, E: fmt::Display>(
        &mut self,
        vars: &Vars,
        name: &str,
        default: T,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match vars.get(name) {
            None => Some(default),
            Some(value) => self.parse(name, value, allowed, parse),
        }
    }

    /// Reads a setting that may be absent: `Some(None)` if it is, `None` if it is faulty; the fault is noted.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        vars: &Vars,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        match vars.get(name) {
            None => Some(None),
            Some(value) => self.parse(name, value, allowed, parse).map(Some),
        }
    }

    /// Reads a setting that must be there. `None` if it is absent or faulty; the fault is noted.
    pub fn needed<T, E: fmt::Display>(
        &mut self,
        vars: &Vars,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Some(value) = vars.get(name) else {
            let (name, allowed) = (name.to_owned(), allowed.to_owned());
            self.add(Problem { name, value: None, fault: "is not set, and is needed".into(), allowed });
            return None;
        };
        self.parse(name, value, allowed, parse)
    }

    fn parse<T, E: fmt::Display>(
        &mut self,
        name: &str,
        value: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let note = |error: E| Problem {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            fault: error.to_string(),
            allowed: allowed.to_owned(),
        };
        parse(value).map_err(|error| self.add(note(error))).ok()
    }

    /// The value if it could be made and nothing was wrong; else the faults.
    ///
    /// # Errors
    /// If there is at least one fault.
    ///
    /// # Panics
    /// If there is neither a value nor a fault: whoever could not make the value has to say why.
    pub fn or_value<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ if self.0.is_empty() => unreachable!("a configuration that cannot be made has a fault noted"),
            _ => Err(self),
        }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One by one, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Prints them on standard error and gives the exit code for bad input (64).
    pub fn report(&self, program: &str) -> ExitCode {
        eprint!("{program}: nothing was started.\n{self}");
        Exit::BadInput.into()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            match &problem.value {
                Some(value) => writeln!(f, "  {} = {value:?}", problem.name)?,
                None => writeln!(f, "  {}", problem.name)?,
            }
            writeln!(f, "      {}", problem.fault)?;
            writeln!(f, "      allowed: {}", problem.allowed)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn every_fault_is_told_at_once_with_name_value_and_what_is_allowed() {
        let vars = Vars::from([("LISTEN", "8012x"), ("DEPTH", "-1"), ("GOOD", "7")]);
        let mut problems = Problems::none();
        let listen = problems.or_default(&vars, "LISTEN", ([0; 4], 1).into(), "HOST:PORT", str::parse::<SocketAddr>);
        let depth = problems.optional(&vars, "DEPTH", "a number from 0", str::parse::<u32>);
        let good = problems.needed(&vars, "GOOD", "a number from 0", str::parse::<u32>);
        let upstream = problems.needed(&vars, "UPSTREAM", "HOST:PORT", str::parse::<SocketAddr>);
        assert_eq!((listen, depth, good, upstream), (None, None, Some(7), None));
        assert_eq!(
            problems.to_string(),
            "  LISTEN = \"8012x\"\n      invalid socket address syntax\n      allowed: HOST:PORT\n  \
             DEPTH = \"-1\"\n      invalid digit found in string\n      allowed: a number from 0\n  \
             UPSTREAM\n      is not set, and is needed\n      allowed: HOST:PORT\n"
        );
    }

    #[test]
    fn an_empty_value_is_not_set() {
        let vars = Vars::from([("DEPTH", "  ")]);
        let mut problems = Problems::none();
        assert_eq!(problems.or_default(&vars, "DEPTH", 5, "a number", str::parse::<u32>), Some(5));
        assert_eq!(problems.or_value(Some(5)), Ok(5));
    }
}
