//! Durations as Go and Kubernetes write them (`300s`, `1h30m`, `1.5h`), and sizes (`256Mi`, `1G`).

use std::time::Duration;

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

/// Largest first, so that a size is written with the largest unit that divides it.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
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

/// A number of bytes: `1024`, `256Mi`, `1.5Gi`, `2G`. `None` for anything else, and for fractions of a byte.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*scale),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * *scale as f64;
            // 2^53: up to there every whole number is exact.
            (bytes.fract() == 0.0 && bytes < 9e15).then_some(bytes as u64)
        }
    }
}

/// The same with the largest unit of 1024s that divides it.
pub fn show_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().find(|(name, scale)| name.ends_with('i') && bytes.is_multiple_of(*scale));
    match binary {
        Some((unit, scale)) if bytes != 0 => format!("{}{unit}", bytes / scale),
        Some(_) | None => bytes.to_string(),
    }
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

    #[test]
    fn sizes_are_written_as_in_kubernetes() {
        let cases = [("1024", 1024), ("256Mi", 256 << 20), ("1.5Gi", 3 << 29), ("2k", 2000), ("0", 0)];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "Mi", "-1", "1mi", "1KB", "0.5", "99999999Ti", "1..5Mi"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_read_back(bytes in 0..1u64 << 50) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn durations_of_microseconds_read_back(microseconds in 0..1u64 << 46) {
            let duration = Duration::from_micros(microseconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }
}
