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
