//! A report: one HTML file with everything in it.

use serde::Serialize;

pub(crate) const UPLOT: &str = include_str!("../vendor/uplot/uPlot.iife.min.js");
pub(crate) const UPLOT_STYLE: &str = include_str!("../vendor/uplot/uPlot.min.css");
pub(crate) const STYLE: &str = include_str!("../assets/style.css");
pub(crate) const PLOTS: &str = include_str!("../assets/plots.js");
const SCRIPT: &str = include_str!("../assets/report.js");

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// A sentence below it.
    pub subtitle: String,
    /// Its most important figures.
    pub facts: Vec<Fact>,
    /// Seconds since the beginning: the axis that all plots share. Ascending.
    pub seconds: Vec<f64>,
    /// One below the other.
    pub plots: Vec<Plot>,
    /// What happened at which second.
    pub marks: Vec<Mark>,
    /// Below the plots.
    pub tables: Vec<Table>,
    /// How it was made, in a line at the end.
    pub made: String,
}

/// A figure with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fact {
    /// Its name.
    pub label: String,
    /// The figure with its unit.
    pub value: String,
    /// What is to be known about it; may be empty.
    pub note: String,
}

/// Lines over the same axes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plot {
    /// What is drawn.
    pub title: String,
    /// Of the vertical axis, such as `ms`; may be empty.
    pub unit: String,
    /// Its lines; an area comes before the lines that are to be seen on it.
    pub lines: Vec<Line>,
}

/// One line of a plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// How it is drawn.
    pub kind: Kind,
    /// In which colour.
    pub tone: Tone,
    /// One for each of `seconds`; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
}

impl Fact {
    /// One of these.
    pub fn new(label: &str, value: String, note: &str) -> Self {
        Self { label: label.to_owned(), value, note: note.to_owned() }
    }
}

impl Plot {
    /// One of these.
    pub fn new(title: &str, unit: &str, lines: Vec<Line>) -> Self {
        Self { title: title.to_owned(), unit: unit.to_owned(), lines }
    }
}

impl Line {
    /// One of these. `values`: one for each second of the report.
    pub fn new(label: &str, kind: Kind, tone: Tone, values: Vec<Option<f64>>) -> Self {
        Self { label: label.to_owned(), kind, tone, values }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// From point to point.
    Line,
    /// From point to point, filled below.
    Area,
    /// In steps: what holds until the next.
    Step,
    /// In steps, filled below.
    Steparea,
    /// In steps, dashed.
    Dashed,
}

/// A colour by what it means; the page knows how it looks in light and dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// What is asked.
    Load,
    /// What waits.
    Held,
    /// What is there.
    Ready,
    /// What is wanted.
    Wanted,
    /// How long most take.
    Median,
    /// How long the slowest take.
    Slow,
    /// What went wrong.
    Error,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When, in seconds since the beginning.
    pub at: f64,
    /// A word.
    pub label: String,
    /// Why, in a sentence or two.
    pub text: String,
    /// In which colour.
    pub tone: Tone,
}

/// Rows of text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// What is in it.
    pub title: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// The report as one HTML file.
pub fn report(report: &Report) -> String {
    // Only strings and numbers are in it, so it can always be written. A `<` could end the script; as an escape it means
    // the same to who reads JSON.
    let data = serde_json::to_string(report).unwrap_or_default().replace('<', "\\u003c");
    let title = escaped(&report.title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{UPLOT_STYLE}\n{STYLE}\n</style>\n</head>\n<body>\n\
         <main id=\"report\"></main>\n<noscript>This report is drawn by a script that stands in it.</noscript>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{UPLOT}\n{PLOTS}\n{SCRIPT}\n</script>\n\
         </body>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let evil = "</script><img src=x onerror=alert(1)>";
        let mark = Mark { at: 0.0, label: evil.into(), text: evil.into(), tone: Tone::Error };
        let html = report(&Report { title: evil.into(), marks: vec![mark], ..Report::default() });
        assert!(!html.contains("<img"), "it is in the page as it was written");
        assert_eq!(html.matches("</script>").count(), 2, "its own two scripts end, and nothing else");
    }

    #[test]
    fn nothing_is_fetched_from_anywhere() {
        let html = report(&Report::default());
        let ours = html.replace("https://github.com/leeoniya/uPlot", "");
        for word in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!ours.contains(word), "{word}");
        }
    }
}
