//! Sizes in bytes, as Kubernetes writes them.

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

/// A number of bytes: `1024`, `256Mi`, `1.5Gi`, `2G`. `None` for anything else, and for fractions of a byte.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    // Without floating point, which would make 1.00000001G something that is no whole number.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(u128::from(*scale))?;
    scaled.is_multiple_of(parts).then(|| u64::try_from(scaled / parts).ok())?
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
    fn sizes_are_written_as_in_kubernetes() {
        let cases = [
            ("1024", 1024),
            ("256Mi", 256 << 20),
            ("1.5Gi", 3 << 29),
            ("2k", 2000),
            ("0", 0),
            ("1.00000001G", 1_000_000_010),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "Mi", "-1", "1mi", "1KB", "0.5", "99999999Ti", "1..5Mi", ".", "1.0000000001Gi", "+1"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_read_back(bytes in 0..1u64 << 50) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
    }
}
