//! Text for people, in lines.

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
