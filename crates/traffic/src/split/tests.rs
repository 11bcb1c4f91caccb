use proptest::prelude::*;

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

fn target(percent: u8, tag: Option<&str>) -> Target {
    Target { revision: "r".into(), percent: Percent::new(percent).unwrap(), tag: tag.map(Into::into) }
}

#[test]
fn a_tag_leads_where_the_weights_do_not() {
    let split = Split::new(vec![target(100, None), target(0, Some("candidate"))]).unwrap();
    assert_eq!((split.by_tag("candidate"), split.by_tag("other"), split.by_tag("")), (Some(1), None, None));
    assert!((0..200).all(|count| split.pick(count) == 0));
}

#[test]
fn a_person_is_told_all_that_is_wrong_at_once() {
    let mut targets = vec![target(5, Some("a")); 2];
    targets.push(target(20, Some("")));
    targets.resize(17, target(0, None));
    let error = Split::new(targets).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are 17 targets; at most 16 are allowed; the percents add up to 30; they must add up to 100; \
         [1]: the tag \"a\" is used before; each tag must name one target; \
         [2]: the tag is empty; give it a name or leave it out"
    );
    assert_eq!(Split::new(Vec::new()).unwrap_err().faults, [Fault::NoTargets]);
}

#[test]
fn sixteen_targets_are_allowed() {
    let percents: Vec<u8> = (0..16).map(|position| if position == 0 { 85 } else { 1 }).collect();
    assert_eq!(split(&percents).targets().len(), 16);
}

/// Percents that add up to 100: the gaps between cuts.
fn percents() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..=100, 0..MAX_TARGETS).prop_map(|mut cuts| {
        cuts.extend([0, 100]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

fn picked(split: &Split, from: u64, count: u64, target: usize) -> u64 {
    (from..from + count).filter(|number| split.pick(*number) == target).count() as u64
}

/// Who is asked after one another when nobody can serve.
fn fallbacks(split: &Split, first: usize) -> Vec<usize> {
    let mut tried = vec![first];
    while let Some(next) = split.fallback(|position| tried.contains(&position)) {
        tried.push(next);
    }
    tried.split_off(1)
}

#[test]
fn what_one_cannot_serve_the_next_heaviest_takes_and_of_equals_the_first() {
    let split = split(&[30, 5, 30, 0, 35]);
    assert_eq!(fallbacks(&split, 1), [4, 0, 2]);
    assert_eq!(fallbacks(&split, 4), [0, 2, 1]);
    assert_eq!(fallbacks(&split, 3), [4, 0, 2, 1], "what a match led to a revision without a share falls back too");
}

proptest! {
    #[test]
    fn all_with_a_share_are_asked_once_by_share_and_nobody_else(percents in percents(), first: prop::sample::Index) {
        let split = split(&percents);
        let first = first.index(percents.len());
        let asked = fallbacks(&split, first);
        let mut expected: Vec<usize> = (0..percents.len()).filter(|at| *at != first && percents[*at] != 0).collect();
        expected.sort_by_key(|at| (100 - percents[*at], *at));
        prop_assert_eq!(asked, expected);
    }

    #[test]
    fn any_hundred_in_a_row_are_exact(percents in percents(), from in 0_u64..u64::MAX / 2) {
        let split = split(&percents);
        for (target, percent) in percents.iter().enumerate() {
            prop_assert_eq!(picked(&split, from, 100, target), u64::from(*percent));
        }
    }

    #[test]
    fn of_the_first_few_nobody_is_a_whole_request_from_its_share(percents in percents()) {
        prop_assert!(hundredths_off(&percents) < 100);
    }
}

/// How far a target is from its share at most, over all first stretches, in hundredths of a request.
fn hundredths_off(percents: &[u8]) -> u64 {
    let split = split(percents);
    let off = |target, count, percent| (picked(&split, 0, count, target) * 100).abs_diff(count * u64::from(percent));
    let targets = percents.iter().enumerate();
    targets.flat_map(|(target, percent)| (0..=100).map(move |count| off(target, count, *percent))).max().unwrap()
}

#[test]
fn a_large_share_is_overrun_sooner_than_a_small_one() {
    // A place given to whoever is furthest behind, whatever its share, would leave one of these 1.03 requests away.
    assert!(hundredths_off(&[8, 8, 1, 47, 35, 1]) < 100);
}

#[test]
fn of_two_revisions_neither_is_more_than_one_request_from_its_share_in_any_stretch() {
    for percent in 0..=100 {
        let split = split(&[percent, 100 - percent]);
        for from in 0..100 {
            for count in 0..=100 {
                let off = (picked(&split, from, count, 0) * 100).abs_diff(count * u64::from(percent));
                assert!(off <= 100, "{percent} %: {off} % of a request off in {count} from {from}");
            }
        }
    }
}
