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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("as many words as fit", 10), ["as many", "words as", "fit"]);
        assert_eq!(wrapped("a longer-than-that word", 6), ["a", "longer-than-that", "word"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
