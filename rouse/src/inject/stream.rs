//! Documents in a stream of YAML: apart, so that those which are not changed pass as they were written, to the byte.
//!
//! It is read and written as kubectl reads it, which is YAML 1.1: `0644` is octal, and `on` is a truth unless it is quoted.

use serde_json::Value;
use serde_saphyr::from_multiple_with_options;

/// The documents of a text, each with the line `---` before it. Together they are the text again.
pub(super) fn documents(text: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // At the first column that is a separator wherever it stands.
        if 0 < at && is_separator(line) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// What a document says; `None` if there is nothing in it.
///
/// # Errors
/// If it is no YAML.
pub(super) fn read(document: &str) -> Result<Option<Value>, String> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut all: Vec<Value> = from_multiple_with_options(document, options).map_err(|error| error.to_string())?;
    let first = if all.is_empty() { None } else { Some(all.swap_remove(0)) };
    Ok(first.filter(|value| !value.is_null()))
}

/// The document with what it says now: the separator and the comments at its head stay, those within are lost.
///
/// # Errors
/// If the library for YAML refuses, which is a fault of this program.
pub(super) fn write(before: &str, value: &Value) -> Result<String, String> {
    let is_head = |line: &&str| is_separator(line) || line.starts_with('#') || line.trim().is_empty();
    let mut written = String::new();
    for line in before.split_inclusive('\n').take_while(is_head) {
        // Behind a separator the document may begin on the same line.
        let behind =
            line.strip_prefix("---").map(str::trim_start).filter(|rest| !rest.is_empty() && !rest.starts_with('#'));
        written.push_str(if behind.is_some() { "---\n" } else { line });
    }
    written.push_str(&serde_saphyr::to_string(value).map_err(|error| error.to_string())?);
    if !written.ends_with('\n') {
        written.push('\n');
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_the_text_again() {
        let text = "# one\na: 1\n---\nb: |\n  text\n  ---\n--- # three\nc: 3\n---\n";
        let documents = documents(text);
        assert_eq!(documents, ["# one\na: 1\n", "---\nb: |\n  text\n  ---\n", "--- # three\nc: 3\n", "---\n"]);
        assert_eq!(documents.concat(), text);
        let said: Vec<_> = documents.iter().map(|document| read(document).unwrap()).collect();
        let b = json!({ "b": "text\n---\n" });
        assert_eq!(said, [Some(json!({ "a": 1 })), Some(b), Some(json!({ "c": 3 })), None]);
    }

    #[test]
    fn it_is_read_as_kubectl_reads_it() {
        let said = read("mode: 0644\non: [yes, \"yes\", 'no', 1.5, ~]\n").unwrap().unwrap();
        assert_eq!(said["mode"], 420);
        assert_eq!(said["on"], json!([true, "yes", "no", 1.5, null]));
    }

    #[test]
    fn what_looks_like_something_else_is_written_so_that_it_is_read_as_text() {
        let mut texts: Vec<Value> = [
            "",
            "yes",
            "no",
            "on",
            "off",
            "y",
            "N",
            "true",
            "~",
            "null",
            "0644",
            "0x10",
            "0b1",
            "0o7",
            "1_000",
            "1e3",
            ".5",
            "1:30",
            "2001-12-14",
            "2001-12-14 21:59:43",
            ".inf",
            "NaN",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a\nb\n",
            " a ",
            "\ta",
            "a\r\n",
            "\"a\"",
            "'a'",
            "<<",
            "=",
            "?",
            "|",
            ">",
            "---",
            "...",
            "a\u{85}b",
            "\u{feff}",
            "{\"httpGet\":{\"path\":\"/\"}}",
        ]
        .map(Value::from)
        .into();
        texts.push("long ".repeat(60).trim().into());
        let value = json!({ "texts": texts, "nested": { "0644": "on" } });
        let written = write("", &value).unwrap();
        assert_eq!(read(&written).unwrap().unwrap(), value, "{written}");
        // As YAML 1.1 has it these are no texts, which the library that reads it back here need not know.
        for bare in ["yes", "no", "on", "off", "y", "N", "0644", "1_000", "0b1", "0x10", "0o7", "1:30", "2001-12-14"] {
            assert!(!written.lines().any(|line| line.trim() == format!("- {bare}")), "{bare}");
        }
    }

    #[test]
    fn the_head_of_a_document_stays() {
        let before = "---\n# kept\n\na: 1 # lost\n";
        assert_eq!(write(before, &json!({ "a": 2 })).unwrap(), "---\n# kept\n\na: 2\n");
        assert_eq!(write("--- {a: 1}\n", &json!({ "a": 2 })).unwrap(), "---\na: 2\n");
    }
}
