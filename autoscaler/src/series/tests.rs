use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_000_000 + millis)
}

fn demand(requests: u64, in_flight: u32, durations: &[u64]) -> wire::Demand {
    let answered = durations.iter().sum();
    let outcomes = wire::Outcomes { answered, durations: durations.to_vec(), ..wire::Outcomes::default() };
    wire::Demand { requests, in_flight, outcomes: Some(outcomes), ..wire::Demand::default() }
}

fn requests(series: &Series) -> Vec<Option<f64>> {
    series.points().iter().map(|point| point.rates.map(|rates| (rates.requests * 100.0).round() / 100.0)).collect()
}

const FIRST: Incarnation = Incarnation(1);

#[test]
fn a_second_in_which_nobody_was_heard_has_no_rates_and_an_idle_one_has_none_of_each() {
    let mut series = Series::default();
    let activator = "a".into();
    series.counted(at(0), &activator, FIRST, &demand(0, 0, &[]));
    for millis in [1_000, 2_000, 3_000, 7_000, 8_000, 9_000] {
        series.heard(at(millis));
    }
    let zero = Some(0.0);
    assert_eq!(requests(&series), [zero, zero, zero, zero, None, None, None, zero, zero]);
}

#[test]
fn what_a_frame_counted_is_spread_over_the_time_since_the_frame_before() {
    let mut series = Series::default();
    let activator = "a".into();
    series.counted(at(400), &activator, FIRST, &demand(0, 0, &[]));
    series.counted(at(1_400), &activator, FIRST, &demand(10, 0, &[]));
    series.counted(at(2_400), &activator, FIRST, &demand(20, 0, &[]));
    series.heard(at(3_400));
    assert_eq!(requests(&series), [Some(6.0), Some(10.0), Some(4.0)]);
}

#[test]
fn frames_that_come_a_little_late_leave_no_gap() {
    let mut series = Series::default();
    let activator = "a".into();
    for (number, millis) in [(0, 999), (1, 2_001), (2, 3_003), (3, 4_005)] {
        series.counted(at(millis), &activator, FIRST, &demand(number * 100, 0, &[]));
    }
    assert!(requests(&series).iter().all(Option::is_some), "{:?}", requests(&series));
}

#[test]
fn an_activator_that_begins_anew_counts_from_there_and_never_backwards() {
    let mut series = Series::default();
    let activator = "a".into();
    series.counted(at(500), &activator, FIRST, &demand(500, 0, &[]));
    series.counted(at(1_500), &activator, FIRST, &demand(520, 0, &[]));
    series.counted(at(2_500), &activator, Incarnation(2), &demand(3, 3, &[]));
    series.counted(at(3_500), &activator, Incarnation(2), &demand(7, 0, &[]));
    series.heard(at(5_000));
    let sum: f64 = requests(&series).into_iter().flatten().sum();
    assert_eq!(sum, 27.0);
}

#[test]
fn the_first_request_ever_is_counted_although_it_was_answered_between_two_frames() {
    let mut series = Series::default();
    let activator = "a".into();
    series.heard_nothing(at(0), &activator);
    series.heard_nothing(at(1_000), &activator);
    let mut durations = [0; durations::BUCKETS];
    durations[durations::bucket(Duration::from_millis(200))] = 1;
    series.counted(at(2_000), &activator, FIRST, &demand(1, 0, &durations));
    series.heard_nothing(at(4_000), &activator);
    let sum: f64 = requests(&series).into_iter().flatten().sum();
    assert_eq!(sum, 1.0);
    assert_eq!(series.points().iter().filter(|point| point.p50.is_some()).count(), 1);
}

#[test]
fn several_activators_add_up_and_one_that_is_gone_holds_nothing() {
    let mut series = Series::default();
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    series.counted(at(0), &a, FIRST, &demand(2, 2, &[]));
    series.counted(at(100), &b, FIRST, &demand(3, 3, &[]));
    series.heard(at(1_000));
    assert_eq!(series.points().last().unwrap().levels.in_flight, 5);
    series.forget(at(1_500), "a");
    series.heard(at(2_000));
    assert_eq!(series.points().last().unwrap().levels.in_flight, 3);
}

#[test]
fn the_latency_of_a_second_is_that_of_what_ended_in_it() {
    let mut series = Series::default();
    let activator = "a".into();
    let mut fast = [0; durations::BUCKETS];
    series.counted(at(100), &activator, FIRST, &demand(0, 0, &fast));
    fast[durations::bucket(Duration::from_millis(200))] += 100;
    series.counted(at(1_000), &activator, FIRST, &demand(100, 0, &fast));
    let mut slow = fast;
    slow[durations::bucket(Duration::from_secs(3))] += 10;
    series.counted(at(2_000), &activator, FIRST, &demand(110, 0, &slow));
    series.heard(at(4_000));
    let p50: Vec<Option<f64>> = series.points().iter().map(|point| point.p50.map(|p50| p50.as_secs_f64())).collect();
    assert!(p50[0].is_some_and(|p50| (0.17..0.26).contains(&p50)), "{p50:?}");
    assert!(p50[1].is_some_and(|p50| (2.5..3.7).contains(&p50)), "{p50:?}");
    assert_eq!(p50[2], None);
}

#[test]
fn a_start_that_is_over_within_its_second_is_seen() {
    let mut series = Series::default();
    for (millis, ready, starting) in [(0, 1, 0), (1_050, 1, 8), (1_400, 4, 5), (1_800, 9, 0), (3_100, 9, 2)] {
        series.replicas(at(millis), ready, starting);
    }
    series.heard(at(6_000));
    let replicas: Vec<_> = series.points().iter().map(|point| (point.levels.ready, point.levels.starting)).collect();
    assert_eq!(replicas, [(1, 0), (9, 8), (9, 0), (9, 2), (9, 2), (9, 2)]);
}

#[test]
fn an_idle_hour_takes_no_room_and_levels_hold_all_the_same() {
    let mut series = Series::default();
    series.replicas(at(0), 3, 1);
    for second in 0..3_600 {
        series.heard(at(second * 1_000));
    }
    assert_eq!((series.bins.len(), series.heard.len()), (1, 1));
    let points = series.points();
    assert_eq!(points.len() as u64, SECONDS);
    assert!(points.iter().all(|point| (point.levels.ready, point.levels.starting) == (3, 1) && point.rates.is_some()));
}
