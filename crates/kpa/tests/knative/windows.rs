//! Averages and maxima: `aggregation/bucketing_test.go` and `aggregation/max`.

use kpa::{Aggregation, DelayWindow, Window};

use crate::{at, seconds};

/// Moments here are multiples of 5 s, so that those of every granularity in use are aligned.
fn linear(width: u64, granularity: u64) -> Window {
    Window::new(Aggregation::Linear, seconds(width), seconds(granularity))
}

fn weighted(width: u64) -> Window {
    Window::new(Aggregation::WeightedExponential, seconds(width), seconds(1))
}

/// Five seconds, and 1 to 5 in them.
fn one_to_five() -> Window {
    let mut window = linear(5, 1);
    for second in 0..5 {
        window.record(at(second), second as f64 + 1.0);
    }
    window
}

#[test]
fn values_of_one_bucket_add_up() {
    for granularity in [1, 5] {
        let mut window = linear(10, granularity);
        window.record(at(0), 1.0);
        window.record(at(granularity - 1), 2.0);
        assert_eq!(window.average(at(0)), 3.0, "granularity {granularity}");
    }
}

#[test]
fn the_order_of_what_comes_within_the_window_does_not_matter() {
    let values = [(0, 1.0), (1, 2.0), (2, 3.0), (3, 5.0), (4, 8.0)];
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [0, 4, 1, 3, 2]] {
        let mut window = linear(5, 1);
        for index in order {
            let (second, value) = values[index];
            window.record(at(second), value);
        }
        assert_eq!(window.average(at(4)), 19.0 / 5.0, "{order:?}");
    }
}

#[test]
fn a_young_window_averages_over_its_own_age() {
    let mut window = linear(5, 1);
    window.record(at(0), 1.0);
    assert_eq!(window.average(at(0)), 1.0);
    assert_eq!(one_to_five().average(at(4)), 3.0);
}

#[test]
fn a_time_before_the_last_write_is_that_of_the_last_write() {
    assert_eq!(one_to_five().average(at(1)), 3.0);
}

#[test]
fn silence_at_the_end_counts_only_once_it_is_whole() {
    let window = one_to_five();
    assert_eq!(window.average(at(6)), (15.0 - 1.0 - 2.0) / 3.0);
    assert_eq!(window.average(at(10)), 0.0);
}

#[test]
fn a_hole_in_the_middle_counts_as_zero() {
    let mut window = one_to_five();
    window.record(at(6), 91.0);
    assert_eq!(window.average(at(6)), (15.0 - 1.0 - 2.0 + 91.0) / 5.0);
}

#[test]
fn after_a_silent_window_it_is_young_again() {
    for silence in [5, 8] {
        let mut window = one_to_five();
        window.record(at(4 + silence), 1984.0);
        assert_eq!(window.average(at(4 + silence)), 1984.0, "after {silence} s");
    }
}

#[test]
fn what_comes_late_makes_it_older() {
    let mut window = linear(5, 1);
    window.record(at(10), 1984.0);
    window.record(at(7), 4.0);
    assert_eq!(window.average(at(10)), (4.0 + 1984.0) / 4.0);
}

#[test]
fn what_is_a_window_old_is_dropped() {
    let mut window = one_to_five();
    for late in [at(4).minus(seconds(5)), at(4).minus(seconds(9))] {
        window.record(late, 1000.0);
        assert_eq!(window.average(at(4)), 3.0);
    }
}

#[test]
fn what_is_told_backwards_averages_alike() {
    let mut window = linear(5, 1);
    for second in (1..=9).rev() {
        window.record(at(second), 5.0);
    }
    assert_eq!(window.average(at(9)), 5.0);
}

#[test]
fn a_jump_empties_what_it_passes() {
    let mut window = one_to_five();
    window.record(at(7), 10.0);
    // 4 and 5 are left.
    assert_eq!(window.average(at(7)), (4.0 + 5.0 + 10.0) / 5.0);
}

#[test]
fn another_width_keeps_the_newest_and_an_old_past_begins_anew() {
    let mut window = one_to_five();
    window.resize(at(4), seconds(3), false);
    assert_eq!(window.average(at(4)), 4.0);
    window.resize(at(4), seconds(10), false);
    window.record(at(5), 6.0);
    assert_eq!(window.average(at(5)), (3.0 + 4.0 + 5.0 + 6.0) / 4.0);

    let mut idle = one_to_five();
    idle.resize(at(60), seconds(10), false);
    assert_eq!(idle.average(at(60)), 0.0);
    idle.record(at(61), 7.0);
    assert_eq!(idle.average(at(61)), 7.0);
}

#[test]
fn a_width_that_the_granularity_does_not_divide_is_rounded_up() {
    let mut window = linear(10, 3);
    for second in [0, 3, 6, 9] {
        window.record(at(second + 1), 3.0);
    }
    assert_eq!(window.average(at(10)), 3.0);
    window.resize(at(10), seconds(8), false);
    window.record(at(13), 9.0);
    assert_eq!(window.average(at(13)), (3.0 + 3.0 + 9.0) / 3.0);
}

#[test]
fn the_same_width_changes_nothing() {
    let mut window = one_to_five();
    window.resize(at(4), seconds(5), false);
    assert_eq!(window, one_to_five());
}

#[test]
fn averages_have_six_decimals() {
    let mut window = linear(3, 1);
    for (second, value) in [(0, 0.0), (1, 0.0), (2, 2.0)] {
        window.record(at(second), value);
    }
    assert_eq!(window.average(at(2)), 0.666_667);
}

#[test]
fn the_newest_of_a_weighted_window_weighs_the_more_the_shorter_it_is() {
    for (width, weight) in [(6, 0.78456), (40, 0.20567), (42, 0.2), (600, 0.2)] {
        let mut window = weighted(width);
        window.record(at(0), 1.0);
        assert!((window.average(at(0)) - weight).abs() < 1e-5, "{width} s: {}", window.average(at(0)));
    }
}

#[test]
fn a_lone_value_of_a_weighted_window_fades() {
    let mut window = weighted(40);
    assert_eq!(window.average(at(0)), 0.0);
    window.record(at(0), 10.0);
    let first = window.average(at(0));
    let weight = first / 10.0;
    for silent in 1..10 {
        let expected = first * (1.0 - weight).powi(silent as i32);
        assert!((window.average(at(silent)) - expected).abs() < 1e-9);
    }
}

#[test]
fn a_weighted_window_of_another_width_weighs_anew() {
    let mut window = weighted(5);
    for second in 0..5 {
        window.record(at(second), second as f64 + 2.0);
    }
    assert!((window.average(at(4)) - 5.812).abs() < 1e-3, "{}", window.average(at(4)));
    window.resize(at(4), seconds(50), false);
    let expected: f64 = (0..5).map(|back| 0.2 * 0.8_f64.powi(back) * f64::from(6 - back)).sum();
    assert!((window.average(at(4)) - expected).abs() < 1e-9, "{}", window.average(at(4)));
}

/// Slots of one second, five of them.
fn maxima(values: &[(u64, i64)]) -> Vec<i64> {
    let mut window = DelayWindow::new(seconds(5), seconds(1));
    values.iter().map(|(second, value)| window.record(at(*second), *value)).collect()
}

#[test]
fn a_maximum_slides_out_and_gaps_count() {
    let falling = [(0, 8), (1, 2), (2, 6), (3, 2), (4, 1), (5, 1), (6, 1), (7, 1)];
    assert_eq!(maxima(&falling), [8, 8, 8, 8, 8, 6, 6, 2]);
    assert_eq!(maxima(&[(0, 6), (1, 5), (2, 2), (6, 1)]), [6, 6, 6, 2]);
}

#[test]
fn one_slot_keeps_its_larger_value() {
    assert_eq!(maxima(&[(0, 9), (0, 6), (0, 7), (4, 1), (5, 1)]), [9, 9, 9, 9, 1]);
}

#[test]
fn after_a_gap_longer_than_the_delay_the_old_maximum_is_gone() {
    assert_eq!(maxima(&[(0, 9), (60, 1)]), [9, 1]);
}
