use super::*;

fn split(percents: &[u8]) -> Split {
    let target = |percent: &u8| Target { revision: "r".into(), percent: Percent::new(*percent).unwrap(), tag: None };
    Split::new(percents.iter().map(target).collect()).unwrap()
}

#[test]
fn a_tenth_comes_every_tenth_time() {
    let split = split(&[90, 10]);
    let of_the_tenth: Vec<u64> = (0..100).filter(|count| split.pick(*count) == 1).collect();
    let gaps: Vec<u64> = of_the_tenth.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [10; 9]);
}
