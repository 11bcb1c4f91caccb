use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_700_000_000_000 + millis)
}

#[test]
fn two_halves_of_a_second_are_a_demand_of_one() {
    let mut meter = Meter::new(at(0));
    let before = meter.read(at(0));
    for start in [0, 500] {
        meter.arrive(at(start), Via::Direct);
        meter.leave(at(start + 500), Via::Direct);
    }
    let stretch = meter.read(at(1_000)).since(&before);
    assert_eq!((stretch.requests, stretch.mean_concurrency), (2, 1.0));
}

#[test]
fn a_reading_takes_nothing_away() {
    let mut meter = Meter::new(at(0));
    meter.arrive(at(0), Via::Activator);
    let readings = [1_000, 1_000, 3_000].map(|millis| meter.read(at(millis)));
    assert_eq!(readings.map(|reading| reading.concurrency_us()), [1_000_000, 1_000_000, 3_000_000]);
    assert_eq!(readings.map(|reading| reading.requests), [1; 3]);
    assert_eq!(readings[1].since(&readings[0]).mean_concurrency, 0.0, "a stretch without length");
    assert_eq!(readings[2].since(&readings[1]).mean_proxied_concurrency, 1.0);
}

#[test]
fn an_event_from_the_past_counts_but_takes_no_time() {
    let mut meter = Meter::new(at(0));
    meter.arrive(at(1_000), Via::Direct);
    meter.arrive(at(400), Via::Direct);
    meter.leave(at(400), Via::Direct);
    let reading = meter.read(at(1_500));
    assert_eq!((reading.requests, reading.in_flight), (2, 1));
    assert_eq!((reading.elapsed_us, reading.concurrency_us()), (1_500_000, 500_000));
}

#[test]
fn an_upgraded_connection_stays_in_flight() {
    let mut meter = Meter::new(at(0));
    meter.arrive(at(0), Via::Direct);
    meter.upgrade();
    let reading = meter.read(at(10));
    assert_eq!((reading.in_flight, reading.upgraded), (1, 1));
    meter.end_upgrade();
    meter.leave(at(20), Via::Direct);
    let reading = meter.read(at(20));
    assert_eq!((reading.in_flight, reading.upgraded), (0, 0));
}

#[test]
fn many_short_steps_lose_nothing_to_rounding() {
    let start = at(0);
    let mut meter = Meter::new(start);
    meter.arrive(start, Via::Direct);
    for step in 1..=10_000 {
        meter.read(start.plus(Duration::from_nanos(700 * step)));
    }
    assert_eq!(meter.read(start.plus(Duration::from_millis(7))).concurrency_us(), 7_000);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Leave,
    Read,
}

proptest! {
    #[test]
    fn the_integral_is_the_sum_of_all_durations(
        requests in prop::collection::vec((0_u64..5_000_000, 0_u64..3_000_000, any::<bool>()), 0..40),
        reads_us in prop::collection::vec(0_u64..8_000_000, 0..10),
    ) {
        let mut events: Vec<(u64, Event, Via)> = reads_us.iter().map(|us| (*us, Event::Read, Via::Direct)).collect();
        let (mut all_us, mut proxied_us) = (0, 0);
        for (start_us, duration_us, is_proxied) in &requests {
            let via = if *is_proxied { Via::Activator } else { Via::Direct };
            events.push((*start_us, Event::Arrive, via));
            events.push((start_us + duration_us, Event::Leave, via));
            all_us += duration_us;
            proxied_us += if *is_proxied { *duration_us } else { 0 };
        }
        events.sort_by_key(|(us, event, _)| (*us, *event));
        let moment = |us: u64| at(0).plus(Duration::from_micros(us));

        let mut meter = Meter::new(at(0));
        let mut last = meter.read(at(0));
        for (us, event, via) in events {
            match event {
                Event::Arrive => meter.arrive(moment(us), via),
                Event::Leave => meter.leave(moment(us), via),
                Event::Read => {
                    let reading = meter.read(moment(us));
                    prop_assert!(last.concurrency_us() <= reading.concurrency_us());
                    prop_assert!(reading.proxied_concurrency_us() <= reading.concurrency_us());
                    prop_assert!(reading.proxied_in_flight <= reading.in_flight);
                    last = reading;
                }
            }
        }
        let reading = meter.read(moment(8_000_000));
        prop_assert_eq!((reading.concurrency_us(), reading.proxied_concurrency_us()), (all_us, proxied_us));
        prop_assert_eq!((reading.requests, reading.in_flight), (requests.len() as u64, 0));
        prop_assert_eq!(reading.elapsed_us, 8_000_000);
    }
}
