//! What is said of two revisions, in a sentence with its numbers.

use traffic::outcome::{Compared, LEAST, Moments, Sums, Verdict};

pub(super) fn too_few((mine, theirs): (u64, u64)) -> String {
    format!("too few to tell: {} against {}, and it takes {LEAST} of each", whole(mine), whole(theirs))
}

pub(super) fn failures(found: &Compared, candidate: &Sums, base: &Sums) -> String {
    let share = |sums: &Sums| {
        let tried = sums.tried();
        format!("{} % of {}", number(100.0 * sums.failed() as f64 / tried.max(1) as f64), whole(tried))
    };
    let seen = format!("{} failed against {}", share(candidate), share(base));
    tell(found, ["fails less", "fails more"], &seen, |off| number(100.0 * off), " points")
}

pub(super) fn slower(found: &Compared, candidate: &Moments, base: &Moments) -> String {
    let seen = format!("{} on average against {}", time(candidate.mean), time(base.mean));
    tell(found, ["faster", "slower"], &seen, time, "")
}

pub(super) fn outcome(found: &Compared, candidate: &Moments, base: &Moments) -> String {
    let mean = |of: &Moments| format!("{} of {}", number(of.mean), whole(of.count));
    let seen = format!("on average {} against {}", mean(candidate), mean(base));
    tell(found, ["better", "worse"], &seen, number, "")
}

/// `words`: if it is better, if it is worse. `off`: how much, without a sign, in `unit`s.
fn tell(found: &Compared, words: [&str; 2], seen: &str, off: impl Fn(f64) -> String, unit: &str) -> String {
    let Compared { low, high, verdict, .. } = *found;
    let (least, most) = (low.abs().min(high.abs()), low.abs().max(high.abs()));
    match verdict {
        Verdict::Better => format!("{}: {seen}, by {} to {}{unit}", words[0], off(least), off(most)),
        Verdict::Worse => format!("{}: {seen}, by {} to {}{unit}", words[1], off(least), off(most)),
        Verdict::NoDifferenceSeen => {
            format!(
                "no difference can be seen yet: {seen}; it may be {}{unit} less to {}{unit} more",
                off(low.abs()),
                off(high.abs())
            )
        }
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let before = value.abs().log10().floor();
    // So small or so large that nobody reads the digits.
    if !(-6.0..=9.0).contains(&before) {
        return format!("{value:.2e}");
    }
    let digits = (2.0 - before).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.001 => format!("{} µs", number(1e6 * seconds)),
        seconds if seconds < 1.0 => format!("{} ms", number(1e3 * seconds)),
        seconds => format!("{} s", number(seconds)),
    }
}

/// With a comma at each thousand.
fn whole(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position != 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let numbers = [(0.0, "0"), (0.93, "0.93"), (0.123_456, "0.123"), (12.345, "12.3"), (1_234.6, "1235")];
        for (value, text) in numbers {
            assert_eq!(number(value), text);
        }
        assert_eq!((number(-0.05), number(1e-9)), ("-0.05".to_owned(), "1.00e-9".to_owned()));
        assert_eq!([time(0.000_25), time(0.084), time(1.5)], ["250 µs", "84 ms", "1.5 s"]);
        assert_eq!([whole(0), whole(999), whole(1_000), whole(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
    }
}
