//! What is said in each situation, whole. The situations are those of the real autoscaler (`autoscaler/src/admin`).

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Situation {
    revision: Revision,
    decisions: Vec<Decision>,
    wakes: Vec<Wake>,
}

/// The head of a kept file ends with its second line of dashes.
fn situation(kept: &str) -> Situation {
    let json = kept.splitn(3, "---\n").nth(2).unwrap();
    serde_json::from_str(json).unwrap()
}

fn said(kept: &str) -> String {
    let Situation { revision, decisions, wakes } = situation(kept);
    tell(&revision, &decisions, &wakes, Beside::default(), 80)
}

macro_rules! situations {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!(said(include_str!(concat!("../situations/", $file, ".snap"))));
            }
        )*
    };
}

situations! {
    asleep_at_zero: "zero",
    waking: "waking",
    stable: "stable",
    in_panic: "panic",
    after_a_panic_that_is_not_over: "panic-ends",
    held_by_a_delay: "delay",
    bounded_by_the_maximum: "maximum",
    kept_by_the_minimum: "minimum",
    idle_until_the_window_ends: "idle",
    waiting_for_grace: "grace",
    sealed: "sealed",
    an_activator_is_not_heard: "unheard",
    failed_to_start: "failed",
    a_setting_is_refused: "refused",
}

const STABLE: &str = include_str!("../situations/stable.snap");

#[test]
fn no_line_is_wider_than_a_narrow_terminal() {
    let Situation { revision, decisions, wakes } = situation(STABLE);
    let text = tell(&revision, &decisions, &wakes, Beside::default(), 50);
    assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&text), words(&tell(&revision, &decisions, &wakes, Beside::default(), 80)));
}

#[test]
fn a_little_that_asks_for_a_replica_is_not_told_as_nothing() {
    let Situation { revision, mut decisions, wakes } = situation(STABLE);
    let last = decisions.last_mut().unwrap();
    (last.stable, last.panic) = (Some(0.014), Some(0.0));
    let text = tell(&revision, &decisions, &wakes, Beside::default(), 80);
    assert!(text.contains("2 replicas: less than 0.1 requests at once on average"), "{text}");
    assert!(text.contains("sees       less than 0.1 requests at once over the last 60 s, 0.0 over"), "{text}");
}

#[test]
fn nothing_was_decided_yet() {
    let Situation { revision, .. } = situation(STABLE);
    assert!(tell(&revision, &[], &[], Beside::default(), 80).contains("no decision has been made"));
}

#[test]
fn each_rule_has_its_sentence_and_fits_into_eighty_columns() {
    let Situation { revision, decisions, wakes } = situation(STABLE);
    for because in kpa::Because::ALL {
        let last = Decision {
            because: because.word().to_owned(),
            sentence: because.sentence().to_owned(),
            ..decisions[0].clone()
        };
        let text = tell(&revision, &[last], &wakes, Beside::default(), 80);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{text}");
        assert!(!text.contains('?'), "{text}");
    }
}

#[test]
fn each_turn_and_each_obstacle_has_its_words() {
    use kpa::{By, What};
    let Situation { mut revision, decisions, wakes } = situation(STABLE);
    let more = [By::Demand, By::LearnedDemand, By::FirstRequest, By::Growth, By::NextStart, By::Maximum];
    let fewer = [By::Demand, By::LearnedDemand, By::Shrinking, By::PanicEnd, By::DelayEnd, By::WayToZero]
        .into_iter()
        .chain([By::Minimum, By::InitialScale, By::NothingThere]);
    let mut said = Vec::new();
    for (is_more, by) in more.map(|by| (true, by)).into_iter().chain(fewer.map(|by| (false, by))) {
        let outlook = revision.outlook.as_mut().unwrap();
        let turn = if is_more { &mut outlook.more } else { &mut outlook.fewer };
        turn.by = by.word().to_owned();
        let text = tell(&revision, &decisions, &wakes, Beside::default(), 80);
        let label = if is_more { "  one more" } else { "  one fewer" };
        let line = text.lines().find(|line| line.starts_with(label)).unwrap().to_owned();
        assert!(!line.contains("while that is so"), "{by:?}: {line}");
        said.push(line);
    }
    for what in [What::Start, What::Window, What::Delay, What::Activators, What::Retention, What::Grace, What::Promise]
    {
        let outlook = revision.outlook.as_mut().unwrap();
        outlook.before_zero = vec![api::admin::Obstacle { what: what.word().to_owned(), wait_seconds: Some(3.0) }];
        let text = tell(&revision, &decisions, &wakes, Beside::default(), 80);
        assert!(!text.contains(&format!("- {}\n", what.word())), "{what:?} has no words: {text}");
    }
}

#[test]
fn what_comes_over_a_socket_does_not_steer_the_terminal() {
    let Situation { mut revision, decisions, wakes } = situation(STABLE);
    revision.reason = Some("\u{1b}[31mred\u{7}".to_owned());
    assert!(!tell(&revision, &decisions, &wakes, Beside::default(), 80).contains(['\u{1b}', '\u{7}']));
}

#[test]
fn who_is_silent_before_zero_is_named() {
    let Situation { mut revision, decisions, wakes } = situation(include_str!("../situations/sealed.snap"));
    revision.zero_blocked_by = vec!["activator-7f9c".to_owned()];
    assert!(
        tell(&revision, &decisions, &wakes, Beside::default(), 80).contains("in the way activator-7f9c: asked whether")
    );
}
