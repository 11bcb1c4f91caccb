//! Server-sent events: the text that they make up together. A model that streams cuts its answer as it comes, so where it is
//! cut says nothing.

use std::borrow::Cow;

use serde_json::Value;

/// What all events of a stream say, one after the other. Of an event that is JSON in the shapes in which language models
/// stream, its piece of text; of any other, its data.
pub(crate) fn text_of(stream: &[u8]) -> String {
    let stream = String::from_utf8_lossy(stream);
    let mut text = String::new();
    let mut data: Option<Cow<'_, str>> = None;
    // A stream may end without the empty line that ends its last event, and is taken at its word all the same.
    for line in lines(&stream).chain([""]) {
        if line.is_empty() {
            if let Some(event) = data.take() {
                append(&mut text, &event);
            }
        } else if let Some(value) = field(line, "data") {
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(before) => {
                    let before = before.to_mut();
                    before.push('\n');
                    before.push_str(value);
                }
            }
        }
    }
    text
}

/// Lines end with CR, LF, or both.
fn lines(stream: &str) -> impl Iterator<Item = &str> {
    stream.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?;
    match value.strip_prefix(':') {
        Some(value) => Some(value.strip_prefix(' ').unwrap_or(value)),
        None => value.is_empty().then_some(""),
    }
}

fn append(text: &mut String, event: &str) {
    // How OpenAI's streams end.
    if event == "[DONE]" {
        return;
    }
    match serde_json::from_str::<Value>(event).ok().as_ref().and_then(piece) {
        Some(piece) => text.push_str(&piece),
        None => text.push_str(event),
    }
}

/// The text of an event, as OpenAI's chat and completions, text-generation servers and V2's `generate_stream` write it.
fn piece(event: &Value) -> Option<String> {
    if let Some(choices) = event.get("choices").and_then(Value::as_array) {
        let of = |choice: &Value| {
            let delta = choice.get("delta").and_then(|delta| delta.get("content"));
            delta.or_else(|| choice.get("text")).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        return Some(choices.iter().map(of).collect());
    }
    let token = event.get("token").and_then(|token| token.get("text"));
    token.or_else(|| event.get("text_output")).and_then(Value::as_str).map(str::to_owned)
}
