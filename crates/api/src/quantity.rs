//! Durations as Go and Kubernetes write them (`300s`, `1h30m`, `1.5h`), and sizes (`256Mi`, `1G`).

use std::time::Duration;

pub use units::{parse_size, show_size};

/// Nanoseconds in each unit that a duration may be written in.
const DURATION_UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3), // the micro sign
    ("μs", 1e3), // the Greek letter
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Numbers with units, added up: `1h30m`, `1.5h`, `300ms`, `0`. `None` for anything else, for negatives, and for more
/// than a century.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const CENTURY_NS: f64 = 100.0 * 365.0 * 24.0 * 3600e9;
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanoseconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let word = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(word);
        let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds += number.parse::<f64>().ok()? * scale;
        rest = behind;
    }
    let in_range = !text.is_empty() && nanoseconds <= CENTURY_NS;
    // Below a century this is far inside u64; what a f64 cannot hold exactly there is less than a microsecond.
    in_range.then(|| Duration::from_nanos(nanoseconds.round() as u64))
}

/// The shortest way to write a duration with one unit, so that it reads back the same.
pub fn show_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    for (unit, scale) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if nanoseconds.is_multiple_of(scale) {
            return format!("{}{unit}", nanoseconds / scale);
        }
    }
    format!("{nanoseconds}ns")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let cases = [("300s", 300_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000), ("2m0.25s", 120_250), ("0", 0)];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-1s", "+1s", "1 s", "1d", "1.2.3s", "10000000h", "1s ", "ms1", ".s", "1e3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_of_microseconds_read_back(microseconds in 0..1u64 << 46) {
            let duration = Duration::from_micros(microseconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }
}
