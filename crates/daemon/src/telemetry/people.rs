//! Log lines for a person at a terminal: the time of day, whom it is about, what happened, the values.
//!
//! ```text
//! 01:10:55.552 default/iris-v1 decided to=1 because=waking was=zero
//! 01:10:57.121 WARN iris-v1-1 crashed, starting it again crashes_in_a_row=1 again_in=1s
//! ```
//!
//! Whom it is about comes first, since that is what an eye looks for in the lines of several replicas. Spans are left
//! out of what is in order: there they repeat what the line says.

use std::fmt::{self, Debug, Write as _};

use anstyle::{AnsiColor, Style};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields that say whom a line is about, the closest first.
const SUBJECTS: [&str; 3] = ["replica", "revision", "endpoint"];
const FAINT: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Writes events as this module says.
#[derive(Debug)]
pub(crate) struct ForPeople;

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        let colour = out.has_ansi_escapes();
        let styled = |style: Style, text: &str| {
            if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
        };
        write!(out, "{}", styled(FAINT, &time_of_day()?))?;
        if level != Level::INFO {
            write!(out, " {}", styled(style_of(level), level.as_str()))?;
        }
        let subject = SUBJECTS.iter().find_map(|name| line.fields.iter().position(|(field, _)| field == name));
        if let Some(at) = subject {
            let (_, who) = line.fields.remove(at);
            write!(out, " {}", styled(BOLD, &who))?;
        }
        write!(out, " {}", line.message)?;
        // What has several lines would tear the others apart.
        line.fields.sort_by_key(|(_, value)| value.contains('\n'));
        for (name, value) in &line.fields {
            write!(out, " {}{value}", styled(FAINT, &format!("{name}=")))?;
        }
        if level != Level::INFO {
            for span in context.event_scope().into_iter().flatten() {
                // `revision{revision=..}` around a line about that revision says nothing new, and which task of the program
                // it was says nothing to who runs it.
                let known = span.name() == "task" || SUBJECTS.contains(&span.name()) && subject.is_some();
                let extensions = span.extensions();
                if let Some(fields) = extensions.get::<FormattedFields<N>>().filter(|_| !known) {
                    // Their values were made harmless, and coloured, when the span was opened.
                    write!(out, " {}{{{}}}", span.name(), fields.fields)?;
                }
            }
        }
        writeln!(out)
    }
}

fn style_of(level: Level) -> Style {
    match level {
        Level::ERROR => AnsiColor::Red.on_default().bold(),
        Level::WARN => AnsiColor::Yellow.on_default().bold(),
        _ => FAINT,
    }
}

/// `01:10:55.552`, UTC as everywhere else; the day is left out, and what is below a millisecond.
fn time_of_day() -> Result<String, fmt::Error> {
    let mut whole = String::new();
    SystemTime.format_time(&mut Writer::new(&mut whole))?;
    Ok(whole.get("2026-11-21T".len().."2026-11-21T01:10:55.552".len()).unwrap_or(&whole).to_owned())
}

/// What an event says.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, plain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.keep(field, plain(&format!("{value:?}")));
    }
}

impl Line {
    fn keep(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

/// Some of what is told comes from replicas, and is not allowed to steer a terminal. Further lines stand back.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push(' '),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What was written meanwhile, without the time.
    fn written(tell: impl FnOnce()) -> String {
        let sink = Sink::default();
        let lines = sink.clone();
        let lines = layer().with_writer(move || lines.clone()).with_ansi(false).event_format(ForPeople);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), tell);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()["01:10:55.552 ".len()..].to_owned()
    }

    #[test]
    fn a_line_begins_with_whom_it_is_about() {
        let line = written(|| info!(to = 1, revision = "iris-v1", because = "waking", "decided"));
        assert_eq!(line, "iris-v1 decided to=1 because=waking\n");
    }

    #[test]
    fn what_has_several_lines_stands_last() {
        let line = written(|| info!(reason = "no file\nno model", again_in = 1, "its start failed"));
        assert_eq!(line, "its start failed again_in=1 reason=no file\n    no model\n");
    }

    #[test]
    fn what_a_line_says_already_is_not_said_again_by_its_span() {
        let told = || {
            let _task = info_span!("task", name = "autoscaler").entered();
            let _stream = info_span!("stream", role = "sidecar").entered();
            let _revision = info_span!("revision", revision = "iris-v1").entered();
            warn!(revision = "iris-v1", "its start failed");
        };
        assert_eq!(written(told), "WARN iris-v1 its start failed stream{role=\"sidecar\"}\n");
    }

    #[test]
    fn what_a_replica_says_cannot_steer_the_terminal() {
        let line = written(|| info!(replica = "a\u{1b}[2J", "first\nsecond\u{7}"));
        assert_eq!(line, "a\\u{1b}[2J first\n    second\\u{7}\n");
    }
}
