//! YAML as a tree in which every value knows its place.
//!
//! Plain serde stops at the first fault; this keeps what can be read, so that all faults of a file are found in one
//! go. A document that is not YAML is left out with one fault, and reading goes on with the next one. What the values
//! mean is not known here; that is `read.rs` and the kinds.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::fault::{Fault, Place, shorten};

/// Longest file that is read: a thousand times what a large one has.
const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting: Kubernetes' deepest objects stay below 30. Bounds recursion.
const MAX_DEPTH: usize = 64;
/// Most values in a document once aliases are followed; a file that expands further is a bomb.
const MAX_VALUES: usize = 100_000;

/// Where a value begins. Both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mark {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    pub(crate) fn in_file(self, file: &Arc<str>) -> Place {
        Place { file: Arc::clone(file), line: self.line, column: self.column }
    }
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Mark,
    pub(crate) what: What,
    /// Values in it, itself included, aliases followed.
    values: usize,
    depth: usize,
}

#[derive(Debug)]
pub(crate) enum What {
    /// `plain`: written without quotes, so it may stand for a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) at: Mark,
    pub(crate) node: Arc<Node>,
}

impl Node {
    /// The same tree from JSON, as an API server has it: there are no places in it, and what is no text has no quotes.
    ///
    /// Recursion is bounded by what made the value: serde_json reads nothing that is nested deeper than 128.
    pub(crate) fn of_json(value: &serde_json::Value) -> Arc<Self> {
        use serde_json::Value;

        let at = Mark::START;
        let what = match value {
            Value::Null => return Arc::new(Self::scalar(at, String::new(), true)),
            Value::Bool(value) => return Arc::new(Self::scalar(at, value.to_string(), true)),
            Value::Number(number) => return Arc::new(Self::scalar(at, number.to_string(), true)),
            Value::String(text) => return Arc::new(Self::scalar(at, text.clone(), false)),
            Value::Array(items) => What::List(items.iter().map(Self::of_json).collect()),
            Value::Object(fields) => {
                let entry = |(name, value): (&String, _)| Entry { name: name.clone(), at, node: Self::of_json(value) };
                What::Map(fields.iter().map(entry).collect())
            }
        };
        // Only what aliases could blow up is counted.
        Arc::new(Self { at, what, values: 1, depth: 1 })
    }

    fn scalar(at: Mark, text: String, plain: bool) -> Self {
        Self { at, what: What::Scalar { text, plain }, values: 1, depth: 1 }
    }

    /// YAML's null: nothing at all, `~`, or the word.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.what, What::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// In one short line, as a person would write it.
    pub(crate) fn show(&self) -> String {
        let mut out = String::new();
        self.show_into(&mut out);
        shorten(&out)
    }

    fn show_into(&self, out: &mut String) {
        // What is cut off afterwards need not be written; that keeps this short for any document.
        if 80 < out.len() {
            return;
        }
        match &self.what {
            What::Scalar { text, plain: true } if text.is_empty() => out.push_str("null"),
            What::Scalar { text, plain: false } if text.is_empty() => out.push_str("\"\""),
            What::Scalar { text, .. } => out.extend(text.chars().take(80)),
            What::List(items) => {
                out.push('[');
                for (i, item) in items.iter().take(40).enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    item.show_into(out);
                }
                out.push(']');
            }
            What::Map(entries) => {
                out.push('{');
                for (i, entry) in entries.iter().take(40).enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    out.extend(entry.name.chars().take(80));
                    out.push_str(": ");
                    entry.node.show_into(out);
                }
                out.push('}');
            }
        }
    }
}

/// The documents of a file, empty ones left out. What cannot be read is told to `faults`.
pub(crate) fn documents(file: &Arc<str>, bytes: &[u8], faults: &mut Vec<Fault>) -> Vec<Arc<Node>> {
    let mut refuse = |at: Mark, value: &str, why: String| {
        faults.push(Fault { place: Some(at.in_file(file)), path: String::new(), value: shorten(value), allowed: why });
    };
    if MAX_BYTES < bytes.len() {
        refuse(Mark::START, "", format!("{} bytes: a file of at most {MAX_BYTES} bytes", bytes.len()));
        return Vec::new();
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            let good = String::from_utf8_lossy(good);
            let line = 1 + good.matches('\n').count();
            let column = 1 + good.rsplit('\n').next().unwrap_or_default().chars().count();
            let byte = bad.first().copied().unwrap_or_default();
            refuse(
                Mark { line, column },
                &format!("byte 0x{byte:02x}"),
                "not UTF-8; save the file as UTF-8".to_owned(),
            );
            return Vec::new();
        }
    };
    let options = granit_parser::options! {
        emit_comments: false,
        // So that one slip does not hide the rest of the document.
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    loop {
        match (Builder { parser: &mut parser, anchors: HashMap::new(), refuse: &mut refuse }).next_document() {
            Ok(Some(root)) if root.is_null() => {}
            Ok(Some(root)) => documents.push(root),
            Ok(None) => return documents,
            Err(error) => {
                refuse(mark(error.marker()), "", format!("not YAML: {}", error.info()));
                match parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return documents,
                }
            }
        }
    }
}

fn mark(marker: &granit_parser::Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

/// What a list or map holds so far.
struct Size {
    values: usize,
    depth: usize,
    full: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self { values: 1, depth: 1, full: false }
    }
}

/// Builds one document's tree from the parser's events.
struct Builder<'a, 'input> {
    parser: &'a mut Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Arc<Node>>,
    refuse: &'a mut dyn FnMut(Mark, &str, String),
}

impl<'input> Builder<'_, 'input> {
    /// `None` at the end of the file.
    fn next_document(&mut self) -> Result<Option<Arc<Node>>, ScanError> {
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                first => return self.node(first, span).map(Some),
            }
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<(Event<'input>, Span), ScanError> {
        match self.parser.next_event() {
            Some(event) => event,
            // The parser closes what it opened, so there is always a next one inside a node.
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span) -> Result<Arc<Node>, ScanError> {
        let at = mark(&span.start);
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), at);
                (Node::scalar(at, text.into_owned(), plain), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), at);
                (self.list(at)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), at);
                (self.map(at)?, anchor)
            }
            Event::Alias(id) => return Ok(self.alias(id, at)),
            Event::UnresolvedAlias(name) => {
                let why =
                    "an alias of an anchor that stands before it in the same document; there is none of this name";
                (self.refuse)(at, &format!("*{name}"), why.to_owned());
                (Node::scalar(at, String::new(), true), 0)
            }
            _ => (Node::scalar(at, String::new(), true), 0),
        };
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: Mark) -> Arc<Node> {
        match self.anchors.get(&id) {
            Some(node) => Arc::clone(node),
            None => {
                (self.refuse)(at, "", "an alias may not stand inside what it stands for".to_owned());
                Arc::new(Node::scalar(at, String::new(), true))
            }
        }
    }

    fn list(&mut self, at: Mark) -> Result<Node, ScanError> {
        let mut items = Vec::new();
        let mut size = Size::default();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Node { at, what: What::List(items), values: size.values, depth: size.depth });
            }
            let item = self.node(event, span)?;
            if let Some(item) = self.grow(&mut size, item, at) {
                items.push(item);
            }
        }
    }

    fn map(&mut self, at: Mark) -> Result<Node, ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        let mut size = Size::default();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let key_at = mark(&span.start);
            let key = self.node(event, span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            let What::Scalar { text, plain } = &key.what else {
                (self.refuse)(key_at, &key.show(), "the name of a field is a plain word".to_owned());
                continue;
            };
            let Some(node) = self.grow(&mut size, value, at) else { continue };
            if *plain && text == "<<" {
                merged.push(node);
            } else if let Some(first) = lines.get(text) {
                (self.refuse)(key_at, text, format!("a field stands once; this one is in line {first} already"));
            } else {
                lines.insert(text.clone(), key_at.line);
                entries.push(Entry { name: text.clone(), at: key_at, node });
            }
        }
        // `<<: *base`: what is written out wins over what is merged, and an earlier merge over a later one.
        for source in merged.iter().flat_map(|node| match &node.what {
            What::List(items) => items.clone(),
            What::Map(_) | What::Scalar { .. } => vec![Arc::clone(node)],
        }) {
            let What::Map(more) = &source.what else {
                (self.refuse)(source.at, &source.show(), "`<<` takes a map, or a list of maps".to_owned());
                continue;
            };
            for entry in more {
                if lines.insert(entry.name.clone(), entry.at.line).is_none() {
                    entries.push(entry.clone());
                }
            }
        }
        Ok(Node { at, what: What::Map(entries), values: size.values, depth: size.depth })
    }

    /// Adds a child's size to its parent's; `None` if that makes the parent too large, which is told once.
    fn grow(&mut self, size: &mut Size, child: Arc<Node>, parent: Mark) -> Option<Arc<Node>> {
        let (values, depth) = (size.values.saturating_add(child.values), size.depth.max(child.depth + 1));
        if MAX_VALUES < values || 2 * MAX_DEPTH < depth {
            if !std::mem::replace(&mut size.full, true) {
                let limits = format!("at most {MAX_VALUES} values, nested at most {MAX_DEPTH} deep, aliases followed");
                (self.refuse)(parent, "", limits);
            }
            return None;
        }
        (size.values, size.depth) = (values, depth);
        Some(child)
    }

    /// Does a tag say that a scalar is text, whatever it looks like? YAML's own other tags change nothing.
    fn is_text(&mut self, tag: Option<&Tag>, at: Mark) -> bool {
        match tag.map(|tag| (tag, tag.core_suffix())) {
            None | Some((_, Some("int" | "float" | "bool" | "null" | "seq" | "map"))) => false,
            Some((_, Some("str"))) => true,
            Some((tag, _)) => {
                (self.refuse)(at, &tag.original(), "tags of one's own mean nothing here; leave it out".to_owned());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
