//! Readers that collect faults instead of stopping at the first: `None` means that a fault has been noted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{Fault, NOT_YET_SUPPORTED, shorten};
use crate::quantity::{parse_duration, parse_size, show_duration, show_size};
use crate::yaml::{Entry, Mark, Node, What};

/// Where the faults of a file, or of an object, are noted.
#[derive(Debug)]
pub(crate) struct Report {
    /// `None` for what stands in no file.
    pub(crate) file: Option<Arc<str>>,
    pub(crate) faults: RefCell<Vec<Fault>>,
    /// The fields that each map was asked for, so that a test can hold them to the schema.
    #[cfg(test)]
    pub(crate) known: RefCell<BTreeMap<String, std::collections::BTreeSet<&'static str>>>,
}

impl Report {
    pub(crate) fn new(file: Option<Arc<str>>) -> Self {
        Self {
            file,
            faults: RefCell::new(Vec::new()),
            #[cfg(test)]
            known: RefCell::default(),
        }
    }

    #[cfg(test)]
    fn note_known(&self, path: &str, names: &[&'static str]) {
        // Entries of a list are all alike.
        let path: String =
            path.split_inclusive('[').map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
        self.known.borrow_mut().entry(path).or_default().extend(names);
    }

    fn note(&self, at: Mark, path: &str, value: &str, allowed: impl Into<String>) {
        self.faults.borrow_mut().push(Fault {
            place: self.file.as_ref().map(|file| at.in_file(file)),
            path: path.to_owned(),
            value: shorten(value),
            allowed: allowed.into(),
        });
    }
}

/// A value of the file, with its path.
#[derive(Clone, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) node: &'a Arc<Node>,
    pub(crate) path: String,
    report: &'a Report,
}

impl<'a> Spot<'a> {
    pub(crate) fn root(node: &'a Arc<Node>, report: &'a Report) -> Self {
        Self { node, path: String::new(), report }
    }

    /// Notes that this value is wrong.
    pub(crate) fn refuse(&self, allowed: impl Into<String>) {
        self.report.note(self.node.at, &self.path, &self.node.show(), allowed);
    }

    /// Notes that this is a field whose time has not come.
    pub(crate) fn not_yet(&self, what: impl fmt::Display) {
        self.refuse(format!("{NOT_YET_SUPPORTED}: {what}; leave it out"));
    }

    /// As a map.
    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        let node: &'a Node = self.node;
        match &node.what {
            What::Map(entries) => Some(Fields { spot: self, entries, known: Vec::new() }),
            What::List(_) | What::Scalar { .. } => {
                self.refuse("a map of fields");
                None
            }
        }
    }

    /// As a map of text to text, as annotations are: those of which that is true.
    pub(crate) fn texts(self) -> BTreeMap<String, String> {
        let Some(fields) = self.fields() else { return BTreeMap::new() };
        let all = fields.entries.iter().filter_map(|entry| Some((entry.name.clone(), fields.spot_of(entry).text()?)));
        all.collect()
    }

    /// As a list.
    pub(crate) fn items(&self) -> Option<Vec<Spot<'a>>> {
        let node: &'a Node = self.node;
        let What::List(items) = &node.what else {
            self.refuse("a list");
            return None;
        };
        let item = |(i, node)| Spot { node, path: format!("{}[{i}]", self.path), report: self.report };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// As a list of so many.
    pub(crate) fn entries(&self, sizes: RangeInclusive<u64>) -> Option<Vec<Spot<'a>>> {
        let items = self.items()?;
        if !sizes.contains(&(items.len() as u64)) {
            self.refuse(format!("{} to {} entries, these are {}", sizes.start(), sizes.end(), items.len()));
            return None;
        }
        Some(items)
    }

    /// As a list of text.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        let words: Vec<Option<String>> = self.items()?.iter().map(Spot::text).collect();
        words.into_iter().collect()
    }

    /// As text. A number or a boolean without quotes is not text, as in Kubernetes: this file would be refused there.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.node.what {
            What::Scalar { text, plain } if !plain || !(self.node.is_null() || stands_for_something_else(text)) => {
                Some(text.clone())
            }
            What::Scalar { text, .. } if !self.node.is_null() => {
                self.refuse(format!("text; put it in quotes: \"{text}\""));
                None
            }
            What::Scalar { .. } | What::List(_) | What::Map(_) => {
                self.refuse("text");
                None
            }
        }
    }

    /// As one of these words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = self.plain().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(all.join(" or "));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// As a whole number within bounds.
    pub(crate) fn whole(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = self.unquoted().and_then(|text| text.parse().ok()).filter(|number| bounds.contains(number));
        if number.is_none() {
            self.refuse(match (bounds.start(), bounds.end()) {
                (least, most) if least == most => format!("{least} is the only one allowed"),
                (least, most) => format!("a whole number from {least} to {most}"),
            });
        }
        number
    }

    /// The same, for the small numbers that most are.
    pub(crate) fn small<T: TryFrom<u64>>(&self, bounds: RangeInclusive<u64>) -> Option<T> {
        self.whole(bounds).and_then(|number| T::try_from(number).ok())
    }

    /// As any number, in its shortest form.
    pub(crate) fn number(&self) -> Option<String> {
        let shortest = self.unquoted().and_then(|text| match text.parse::<i64>() {
            Ok(whole) => Some(whole.to_string()),
            Err(_) => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string()),
        });
        if shortest.is_none() {
            self.refuse("a number");
        }
        shortest
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let meaning = self.unquoted().and_then(|text| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        });
        if meaning.is_none() {
            self.refuse("true or false");
        }
        meaning
    }

    /// As a duration within bounds.
    pub(crate) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.duration_text().and_then(short_duration).filter(|duration| bounds.contains(duration));
        if duration.is_none() {
            let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
            self.refuse(format!("a duration such as 90s or 1h30m, from {least} to {most}"));
        }
        duration
    }

    /// As a number of bytes within bounds.
    pub(crate) fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let bytes = self.plain().and_then(parse_size).filter(|bytes| bounds.contains(bytes));
        if bytes.is_none() {
            let (least, most) = (show_size(*bounds.start()), show_size(*bounds.end()));
            self.refuse(format!("a size such as 256Mi or 2Gi, from {least} to {most}"));
        }
        bytes
    }

    /// As text that follows a rule about names.
    pub(crate) fn name(&self, rule: NameRule) -> Option<String> {
        let text = self.text()?;
        if !rule.allows(&text) {
            self.refuse(rule.words());
            return None;
        }
        Some(text)
    }

    /// What may be a duration: text, quotes or not. A `0` without them is a number, which Kubernetes takes for no text.
    pub(crate) fn duration_text(&self) -> Option<&'a str> {
        self.plain().filter(|text| *text != "0" || self.unquoted().is_none())
    }

    /// The characters of a scalar, quoted or not.
    pub(crate) fn plain(&self) -> Option<&'a str> {
        let node: &'a Node = self.node;
        match &node.what {
            What::Scalar { text, .. } => Some(text),
            What::List(_) | What::Map(_) => None,
        }
    }

    fn unquoted(&self) -> Option<&'a str> {
        let node: &'a Node = self.node;
        match &node.what {
            What::Scalar { text, plain: true } => Some(text),
            What::Scalar { .. } | What::List(_) | What::Map(_) => None,
        }
    }
}

/// A longer one is not written by people; an API server is told the same, since it has to know how long a text can be.
pub(crate) const LONGEST_DURATION: usize = 32;

/// A duration that is not written at undue length.
pub(crate) fn short_duration(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|_| text.chars().count() <= LONGEST_DURATION)
}

/// Would `kubectl` read this as a number or a boolean? It reads YAML 1.1, where `yes`, `no`, `on` and `off` are booleans.
fn stands_for_something_else(text: &str) -> bool {
    let boolean = ["true", "false", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
        || matches!(text, "y" | "n" | "Y" | "N");
    let looks_numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let based = ["0x", "0o", "0b"].iter().any(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit()))
    });
    let special = matches!(text.to_ascii_lowercase().as_str(), ".nan" | ".inf" | "-.inf" | "+.inf");
    // YAML 1.1 allows `1_000`.
    boolean || special || looks_numeric && (based || text.replace('_', "").parse::<f64>().is_ok())
}

/// How a thing may be named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NameRule {
    /// A DNS label that begins with a letter: what a Service may be called.
    Service,
    /// A DNS label.
    Label,
    /// DNS labels with dots between them.
    Subdomain,
}

impl NameRule {
    fn allows(self, text: &str) -> bool {
        match self {
            Self::Service => is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()),
            Self::Label => is_label(text),
            Self::Subdomain => text.len() <= 253 && text.split('.').all(is_label),
        }
    }

    /// The same as a regular expression, for an API server.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Service => "^[a-z]([-a-z0-9]*[a-z0-9])?$",
            Self::Label => "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            Self::Subdomain => "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        }
    }

    /// In bytes; what is allowed is ASCII.
    pub(crate) fn longest(self) -> u64 {
        match self {
            Self::Service | Self::Label => 63,
            Self::Subdomain => 253,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Service => "lower-case letters, digits and `-`, beginning with a letter, at most 63",
            Self::Label => "lower-case letters, digits and `-` (not at either end), at most 63",
            Self::Subdomain => "lower-case letters, digits, `-` and `.`, at most 253, each part at most 63",
        }
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The fields of a map. Each is asked for by name; [`Fields::done`] refuses those that nobody asked for.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    spot: Spot<'a>,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// A field; `None` if it is not there, or null.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<Spot<'a>> {
        self.known.push(name);
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        (!entry.node.is_null()).then(|| self.spot_of(entry))
    }

    /// A field that has to be there; a fault that says what belongs there if it is not.
    pub(crate) fn need(&mut self, name: &'static str, allowed: &str) -> Option<Spot<'a>> {
        let spot = self.get(name);
        if spot.is_none() {
            self.refuse_field(name, "missing", allowed);
        }
        spot
    }

    /// Fields that exist but mean nothing here.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.known.extend_from_slice(names);
    }

    /// Notes a fault of a field that is not there.
    pub(crate) fn refuse_field(&self, name: &str, value: &str, allowed: &str) {
        self.spot.report.note(self.spot.node.at, &self.path_of(name), value, allowed);
    }

    /// Refuses every field that was not asked for, with the nearest one that was.
    pub(crate) fn done(self) {
        #[cfg(test)]
        self.spot.report.note_known(&self.spot.path, &self.known);
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.name.as_str())) {
            let hint = match nearest(&entry.name, self.known.iter().copied()) {
                Some(near) => format!("unknown field; the nearest known one is {near}"),
                None if self.known.len() <= 12 => format!("unknown field; known ones are {}", self.known.join(", ")),
                None => "unknown field".to_owned(),
            };
            self.spot.report.note(entry.at, &self.path_of(&entry.name), &entry.node.show(), hint);
        }
    }

    fn spot_of(&self, entry: &'a Entry) -> Spot<'a> {
        Spot { node: &entry.node, path: self.path_of(&entry.name), report: self.spot.report }
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.spot.path, name)
    }
}

/// The path of a field; names that are not plain words stand in quotes.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[\"{}\"]", shorten(name)),
    }
}

/// The name nearest to what was written, if it is near enough to have been meant: spelt nearly so, or the beginning of
/// it (`env` for `environment`).
pub fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Long texts are nobody's slip.
    if 100 < written.len() {
        return None;
    }
    let written = written.to_lowercase();
    // A third of the letters may be wrong: more than that is another word.
    let tolerance = (written.chars().count() / 3).clamp(1, 4);
    let cost = |name: &str| {
        let name = name.to_lowercase();
        let distance = strsim::damerau_levenshtein(&written, &name);
        let begins = 3 <= name.len().min(written.len()) && (name.starts_with(&written) || written.starts_with(&name));
        if distance <= tolerance { Some(distance) } else { begins.then_some(tolerance + distance) }
    };
    let costs = known.into_iter().filter_map(|name| Some((cost(name)?, name)));
    costs.min_by_key(|(cost, _)| *cost).map(|(_, name)| name)
}
