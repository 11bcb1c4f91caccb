//! Words for numbers and names.

use api::admin::{Revision, Setting};

/// `10.0 requests at once`.
pub(super) fn load(revision: &Revision, value: f64) -> String {
    let amount = amount(value);
    match revision.demand.metric.as_str() {
        "rps" => format!("{amount} requests a second"),
        _ => format!("{amount} requests at once"),
    }
}

/// With one digit behind the point. A little is not nothing: it asks for a replica.
pub(super) fn amount(value: f64) -> String {
    if 0.0 < value && value < 0.05 { "less than 0.1".to_owned() } else { format!("{value:.1}") }
}

/// Who set it, where that is worth a word.
pub(super) fn from(setting: &Setting) -> String {
    match setting.source.as_str() {
        "built-in" => String::new(),
        source => format!(" ({source})"),
    }
}

/// Who set it, by its name.
pub(super) fn source(revision: &Revision, name: &str) -> String {
    revision.settings.get(name).map_or(String::new(), from)
}

/// `1 replica`, `2 replicas`.
pub(super) fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A while, in the unit that suits.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 && seconds.fract() != 0.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}
