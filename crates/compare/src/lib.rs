//! Two answers to one request: alike or not, and where they differ.
//!
//! A candidate is asked what the model in use is asked, and what it answers is thrown away; this says what there was in it.
//! What is looked at depends on what the answers are:
//!
//! | answers | compared |
//! |---|---|
//! | of the Open Inference Protocol (V2), as JSON or with binary tensors | output by output, by name: type, shape, each element |
//! | of KServe's V1 protocol | `predictions`, element by element |
//! | any other JSON | value by value, by path |
//! | `text/event-stream` | the text that the events make up together, however it is cut into events |
//! | other text, and anything else | as it is |
//!
//! Numbers with a fraction may differ by a tolerance; whole numbers are labels, counts and identifiers, and may not. Rows of
//! scores also tell whether their largest is in the same place, which is what a classifier's user sees.
//!
//! What is told of a difference names its place and its size, and never the values: an answer may hold what is nobody
//! else's business. No clock and no IO; answers that were cut at a limit are not to be brought here.

mod binary;
mod events;
mod found;
mod json;
mod number;
mod tensor;

pub use found::{Comparison, Difference, Labels, Numbers, What};

use found::Found;

/// How many differences of one comparison are told; of more it is told how many.
pub const MOST_DIFFERENCES: usize = 16;

/// An answer, whole, with its body as it was before any content coding.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status code.
    pub status: u16,
    /// Its `content-type`; empty if it has none.
    pub content_type: &'a str,
    /// `inference-header-content-length`: so many bytes of the body are JSON, and the rest is binary tensors.
    pub json_bytes: Option<usize>,
    /// Its body.
    pub body: &'a [u8],
}

/// What counts as alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// How far two numbers with a fraction may differ, as a part of the larger. 0 to 1.
    pub tolerance: f64,
    /// JSON pointers ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)) of what is not compared, with all beneath it.
    pub ignore: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { tolerance: 1e-5, ignore: Vec::new() }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Tensors,
    Events,
    Other,
}

/// Compares what the candidate answered with what the model in use did.
pub fn compare(used: Answer<'_>, candidate: Answer<'_>, rules: &Rules) -> Comparison {
    let mut found = Found::default();
    if used.status != candidate.status {
        found.note("", What::Status { used: used.status, candidate: candidate.status });
        // One of them tells of a fault: there is nothing to compare in what it says.
        return found.end();
    }
    match (kind(&used), kind(&candidate)) {
        (Kind::Json, Kind::Json) => match (parsed(used.body), parsed(candidate.body)) {
            (Some(one), Some(other)) => json::compare(&one, &other, rules, &mut found),
            (None, None) => as_it_is(used.body, candidate.body, &mut found),
            (one, _) => found.note("", What::NotJson { candidate: one.is_some() }),
        },
        (Kind::Json | Kind::Tensors, Kind::Json | Kind::Tensors) => {
            match (binary::read(&used), binary::read(&candidate)) {
                (Some(one), Some(other)) => json::compare_tensors(&one, &other, rules, &mut found),
                (one, _) => found.note("", What::NotTensors { candidate: one.is_some() }),
            }
        }
        (Kind::Events, Kind::Events) => {
            found.compare_text("", &events::text_of(used.body), &events::text_of(candidate.body));
        }
        (Kind::Other, Kind::Other) => as_it_is(used.body, candidate.body, &mut found),
        _ => found.note("", What::Kind),
    }
    found.end()
}

fn kind(answer: &Answer<'_>) -> Kind {
    let essence = answer.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match (answer.json_bytes, essence.as_str()) {
        (Some(_), _) => Kind::Tensors,
        (None, "text/event-stream") => Kind::Events,
        (None, "application/json") => Kind::Json,
        (None, essence) if essence.ends_with("+json") => Kind::Json,
        (None, _) => Kind::Other,
    }
}

fn parsed(body: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(body).ok()
}

fn as_it_is(one: &[u8], other: &[u8], found: &mut Found) {
    match (std::str::from_utf8(one), std::str::from_utf8(other)) {
        (Ok(one), Ok(other)) => found.compare_text("", one, other),
        _ if one == other => {}
        _ => found.note("", What::Bytes { used: one.len(), candidate: other.len() }),
    }
}

#[cfg(test)]
mod tests;
