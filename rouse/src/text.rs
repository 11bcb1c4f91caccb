//! Text for people, in lines.

use std::io::IsTerminal as _;

use ratatui::crossterm::terminal;

/// Lines are easier to read if they end here at the latest; and what is not shown on a terminal ends here.
const COLUMNS: usize = 80;

/// How wide text may be on standard output.
pub(crate) fn columns() -> usize {
    let terminal = if std::io::stdout().is_terminal() { terminal::size().ok() } else { None };
    terminal.map_or(COLUMNS, |(columns, _)| usize::from(columns).clamp(40, COLUMNS))
}

/// As many words a line as fit into `width` characters. A word that is longer has a line for itself, and is left whole: it
/// may be something to copy.
pub(crate) fn wrapped(said: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in said.split_whitespace() {
        let line = lines.last_mut().expect("there is one from the beginning");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A part of all, from 0 to 1, for people: rounded, but never to all or none while it is not.
pub(crate) fn share(part: f64) -> String {
    let rounded = format!("{:.1}", part * 100.0);
    match rounded.as_str() {
        "100.0" if part < 1.0 => "> 99.9 %".to_owned(),
        "0.0" if 0.0 < part => "< 0.1 %".to_owned(),
        rounded => format!("{} %", rounded.strip_suffix(".0").unwrap_or(rounded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_is_rounded_to_all_or_none() {
        let shares = [1.0, 0.9999, 0.5, 0.025, 0.0001, 0.0].map(share);
        assert_eq!(shares, ["100 %", "> 99.9 %", "50 %", "2.5 %", "< 0.1 %", "0 %"]);
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("as many words as fit", 10), ["as many", "words as", "fit"]);
        assert_eq!(wrapped("a longer-than-that word", 6), ["a", "longer-than-that", "word"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
