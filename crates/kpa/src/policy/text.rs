//! Numbers, durations and switches in Go's spellings, which is how people write them into annotations and ConfigMaps.
//!
//! Every function is total: any text gives a value or `None`. What range a value must lie in, and what to tell the
//! person who wrote it, is said where the setting is.

/// Nanoseconds; negative ones can be written, and most settings refuse them.
pub type Nanoseconds = i64;

/// A whole number in decimal digits with an optional sign, within 32 bits.
pub fn int32(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// The same within 64 bits.
pub fn int64(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `1 t T TRUE true True` and `0 f F FALSE false False`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A finite number: decimal with optional point and exponent, or hexadecimal with a `p` exponent; underscores between
/// digits. What is too large is refused, what is too small is 0.
///
/// Go also reads `inf` and `nan`; no setting means anything by them, so they are refused here, once.
pub fn number(text: &str) -> Option<f64> {
    let (negative, magnitude) = split_sign(text);
    let is_hex = magnitude.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    if !underscores_separate_digits(magnitude, is_hex) {
        return None;
    }
    let plain: String = magnitude.chars().filter(|&c| c != '_').collect();
    let value = if is_hex { hexadecimal(&plain[2..])? } else { decimal(&plain)? };
    value.is_finite().then_some(if negative { -value } else { value })
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// An underscore has a digit (or the base prefix) before it and a digit after it.
fn underscores_separate_digits(magnitude: &str, is_hex: bool) -> bool {
    let bytes = magnitude.as_bytes();
    let is_digit =
        |at: usize| bytes.get(at).is_some_and(|b| if is_hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() });
    let is_prefix = |at: usize| is_hex && at == 1;
    bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'_')
        .all(|(at, _)| 0 < at && (is_digit(at - 1) || is_prefix(at - 1)) && is_digit(at + 1))
}

fn decimal(plain: &str) -> Option<f64> {
    // The library also reads `inf` and `nan`, and a second sign must not slip in after ours.
    let is_number = |b: u8| b.is_ascii_digit() || b == b'.';
    plain.bytes().next().is_some_and(is_number).then(|| plain.parse().ok())?
}

/// What follows `0x`: digits with an optional point, then `p` and a decimal exponent, which may not be left out.
fn hexadecimal(plain: &str) -> Option<f64> {
    let (digits, exponent) = plain.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = binary_exponent(exponent)?;

    // 120 bits of digits, and one more for "there was something behind them": enough to round once and correctly.
    let mut mantissa: u128 = 0;
    let mut dropped_digits: i64 = 0;
    for c in whole.chars().chain(fraction.chars()) {
        let digit = u128::from(c.to_digit(16)?);
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            mantissa |= u128::from(digit != 0);
            dropped_digits = dropped_digits.saturating_add(1);
        }
    }
    let places = i64::try_from(fraction.len()).ok()?;
    Some(scaled(mantissa, exponent.saturating_add(4 * (dropped_digits - places))))
}

/// Optional sign and at least one digit. Beyond any use it saturates, so that `p99999999999` is too large, not unreadable.
fn binary_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for c in digits.chars() {
        value = value.saturating_mul(10).saturating_add(i64::from(c.to_digit(10)?));
    }
    let value = value.min(1 << 40);
    Some(if negative { -value } else { value })
}

/// `mantissa * 2^exponent`, rounded once, half to even; infinite if it is too large.
fn scaled(mantissa: u128, exponent: i64) -> f64 {
    const SMALLEST_EXPONENT: i64 = -1074;
    const LARGEST_EXPONENT: i64 = 1023;
    if mantissa == 0 {
        return 0.0;
    }
    let bits = i64::from(128 - mantissa.leading_zeros());
    let top = exponent.saturating_add(bits - 1);
    if LARGEST_EXPONENT < top {
        return f64::INFINITY;
    }
    // Fewer than 53 bits are kept where the last of them would lie below what a number can hold.
    let kept = (top - SMALLEST_EXPONENT + 1).min(53);
    if kept < 0 {
        return 0.0;
    }
    let cut = (bits - kept).max(0);
    let rounded = round_off(mantissa, cut as u32);
    (rounded as f64) * power_of_two(exponent + cut)
}

/// `mantissa / 2^cut`, half to even. `cut` is at most 128.
fn round_off(mantissa: u128, cut: u32) -> u128 {
    if cut == 0 {
        return mantissa;
    }
    let quotient = mantissa.checked_shr(cut).unwrap_or(0);
    let rest = mantissa - quotient.checked_shl(cut).unwrap_or(0);
    let half = 1_u128 << (cut - 1);
    let up = half < rest || (half == rest && quotient % 2 == 1);
    quotient + u128::from(up)
}

fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        ..-1074 => 0.0,
        -1074..-1022 => f64::from_bits(1 << (exponent + 1074)),
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => f64::INFINITY,
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// An optional sign, then `0`, or one or more numbers with units: `1h30m`, `1.5m`, `500ms`.
pub fn duration(text: &str) -> Option<Nanoseconds> {
    const LARGEST: u64 = 1 << 63;
    let (negative, mut rest) = split_sign(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (term, behind) = duration_term(rest)?;
        sum = sum.checked_add(term).filter(|sum| *sum <= LARGEST)?;
        rest = behind;
    }
    if negative { 0_i64.checked_sub_unsigned(sum) } else { i64::try_from(sum).ok() }
}

/// One number with its unit, in nanoseconds, and what stands behind it.
fn duration_term(text: &str) -> Option<(u64, &str)> {
    let (whole, behind) = text.split_at(digits_at_start(text));
    let (fraction, behind) = match behind.strip_prefix('.') {
        Some(behind) => behind.split_at(digits_at_start(behind)),
        None => ("", behind),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_length = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
    let (unit, behind) = behind.split_at(unit_length);
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some((whole.checked_mul(unit)?.checked_add(fraction_of(unit, fraction))?, behind))
}

fn digits_at_start(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// In floating point, as Go does it: exact integers would make `0.3333333333333333333h` one nanosecond less than 20 min,
/// and then it is not in whole seconds. Digits that no longer fit 63 bits are passed over.
fn fraction_of(unit: u64, digits: &str) -> u64 {
    let mut value: i64 = 0;
    let mut scale = 1.0;
    for digit in digits.bytes().map(|b| i64::from(b - b'0')) {
        let Some(longer) = value.checked_mul(10).and_then(|value| value.checked_add(digit)) else { break };
        value = longer;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_in_every_spelling_of_go() {
        for (text, value) in [
            ("10", 10.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1e2", 100.0),
            ("1_000", 1_000.0),
            ("0x1p4", 16.0),
            ("0X.8P+1", 1.0),
            ("0x_1_0p-1", 8.0),
            ("-0x1p-1074", -f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1074", f64::from_bits(2)),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.00000000000008000000000000000000000000p0", 1.0),
            ("0x1.00000000000008000000000000000000000001p0", 1.0 + f64::EPSILON),
            ("1e-400", 0.0),
            ("0x0p99999999999999999999", 0.0),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "+",
            ".",
            "1,5",
            "0x1",
            "0xp1",
            "0x1p",
            "1e",
            "_1",
            "1_",
            "1__0",
            "1_.5",
            "1e_5",
            "--1",
            "+-1",
            "1e400",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "inf",
            "-Infinity",
            "NaN",
            "0x",
            "\u{663}",
            "0x1p1_",
            "1f",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        const SECOND: i64 = 1_000_000_000;
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("1h30m", 5_400 * SECOND),
            ("1.5m", 90 * SECOND),
            (".5m", 30 * SECOND),
            ("1.s", SECOND),
            ("-10s10s", -20 * SECOND),
            ("1us1\u{b5}s1\u{3bc}s", 3_000),
            ("0.3333333333333333333h", 1_200 * SECOND),
            ("0.100000000000000000000h", 360 * SECOND),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(duration(text), Some(value), "{text}");
        }
        for text in
            ["", "-", "6", "00", "6 s", ".s", "1d", "1e1s", "s", "9223372036854775808ns", "2562048h", "1h-1s", "6S"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn switches_have_six_spellings_each() {
        assert_eq!(["1", "t", "True"].map(boolean), [Some(true); 3]);
        assert_eq!(["0", "F", "FALSE"].map(boolean), [Some(false); 3]);
        assert_eq!(["", "yes", "tRUE", " true"].map(boolean), [None; 4]);
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "[-+0-9a-fA-FxXpPeE._nsumh\u{b5}\u{3bc} \u{663}]{0,24}", any in ".*") {
            for text in [text, any] {
                let _ = (number(&text), duration(&text), boolean(&text), int32(&text), int64(&text));
            }
        }

        #[test]
        fn every_finite_number_survives_being_written_in_hex(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let exponent_bits = bits >> 52 & 0x7ff;
            let fraction = bits & ((1 << 52) - 1);
            let (lead, exponent) = if exponent_bits == 0 { (0, -1022) } else { (1, exponent_bits as i64 - 1023) };
            let sign = if value.is_sign_negative() { "-" } else { "" };
            let read = number(&format!("{sign}0x{lead}.{fraction:013x}p{exponent}"));
            prop_assert_eq!(read.map(f64::to_bits), Some(bits));
        }

        #[test]
        fn every_finite_number_survives_being_written_in_decimal(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            prop_assert_eq!(number(&format!("{value:e}")), Some(value));
        }
    }
}
