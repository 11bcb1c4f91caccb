//! Numbers over time, drawn with characters.

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// So many lines, the topmost first, each as many characters wide as asked for; the newest value is the last. The highest
/// value fills a column. Nothing known is blank, zero a dot at the bottom, and whatever is above zero can be seen.
pub(super) fn chart(values: &[Option<f64>], width: usize, height: usize) -> Vec<String> {
    let newest = &values[values.len().saturating_sub(width)..];
    let most = most(newest).unwrap_or(0.0);
    let steps = (height * 8) as f64;
    let filled = |value: f64| if 0.0 < most { (value / most * steps).round().clamp(1.0, steps) as usize } else { 1 };
    (0..height)
        .rev()
        .map(|line| {
            let sign = |value: &Option<f64>| match value {
                Some(value) if 0.0 < *value => EIGHTHS[filled(*value).saturating_sub(line * 8).min(8)],
                Some(_) if line == 0 => '.',
                Some(_) | None => ' ',
            };
            let blank = width.saturating_sub(newest.len());
            std::iter::repeat_n(' ', blank).chain(newest.iter().map(sign)).collect()
        })
        .collect()
}

/// The highest that is known.
pub(super) fn most(values: &[Option<f64>]) -> Option<f64> {
    values.iter().flatten().copied().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_known_is_blank_and_nothing_is_a_dot_and_a_little_can_be_seen() {
        assert_eq!(chart(&[None, Some(0.0), Some(0.01), Some(4.0), Some(8.0)], 6, 1), ["  .▁▄█"]);
        assert_eq!(chart(&[Some(0.0), None], 2, 1), [". "]);
    }

    #[test]
    fn the_highest_fills_all_lines() {
        assert_eq!(chart(&[Some(1.0), Some(8.0), Some(16.0)], 3, 2), ["  █", "▁██"]);
    }

    #[test]
    fn only_the_newest_are_shown_and_scaled_by_what_is_shown() {
        assert_eq!(chart(&[Some(99.0), Some(1.0), Some(2.0)], 2, 1), ["▄█"]);
    }
}
