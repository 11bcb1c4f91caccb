//! What is said in each situation, whole.

use kpa::Because;

use super::*;
use crate::fixture::{decision, revision};

/// A revision without replicas.
fn asleep() -> Revision {
    Revision { state: State::Zero, desired_replicas: Some(0), ready_replicas: 0, replicas: Vec::new(), ..revision() }
}

fn idle(because: Because, wait: Option<f64>) -> Decision {
    let want = u32::from(because != Because::Sealed);
    Decision { stable: Some(0.0), panic: Some(0.0), wait_seconds: wait, ready_replicas: 1, ..decision(because, want) }
}

fn one(desired: u32) -> Revision {
    Revision { desired_replicas: Some(desired), ready_replicas: 1, ..revision() }
}

#[test]
fn asleep_at_zero() {
    let last = Decision { stable: Some(0.0), panic: Some(0.0), ..decision(Because::Zero, 0) };
    insta::assert_snapshot!(tell(&asleep(), Some(&last)));
}

#[test]
fn waking() {
    let waking = Revision { state: State::Waking, desired_replicas: Some(1), starting_replicas: 1, ..asleep() };
    let last = Decision { held_requests: 3, stable: None, panic: None, ..decision(Because::Waking, 1) };
    insta::assert_snapshot!(tell(&waking, Some(&last)));
}

#[test]
fn stable() {
    insta::assert_snapshot!(tell(&revision(), Some(&decision(Because::Steady, 2))));
}

#[test]
fn in_panic() {
    let many = Revision { mode: Mode::Panic, desired_replicas: Some(6), starting_replicas: 4, ..revision() };
    let last = Decision { mode: Mode::Panic, panic: Some(19.4), ..decision(Because::Panicking, 6) };
    insta::assert_snapshot!(tell(&many, Some(&last)));
}

#[test]
fn held_by_a_delay() {
    let mut delayed = Revision { desired_replicas: Some(4), ready_replicas: 4, ..revision() };
    let delay = Setting { value: "5m".to_owned(), source: "deployment".to_owned() };
    delayed.settings.insert("scaleDownDelay".to_owned(), delay);
    insta::assert_snapshot!(tell(&delayed, Some(&decision(Because::ScaleDownDelay, 4))));
}

#[test]
fn bounded_by_the_maximum() {
    let full = Revision { desired_replicas: Some(8), ready_replicas: 8, ..revision() };
    let last = Decision { stable: Some(90.0), panic: Some(91.5), held_requests: 41, ..decision(Because::Maximum, 8) };
    insta::assert_snapshot!(tell(&full, Some(&last)));
}

#[test]
fn waiting_for_grace() {
    insta::assert_snapshot!(tell(&one(1), Some(&idle(Because::Grace, Some(17.5)))));
}

#[test]
fn sealed() {
    let mut going = one(0);
    going.state = State::Draining;
    going.zero_blocked_by = vec!["activator-7f9c".to_owned()];
    insta::assert_snapshot!(tell(&going, Some(&idle(Because::Sealed, None))));
}

#[test]
fn an_activator_is_not_heard() {
    insta::assert_snapshot!(tell(&revision(), Some(&decision(Because::ActivatorUnheard, 2))));
}

#[test]
fn failed_to_start() {
    let failed = Revision {
        state: State::Failed,
        reason: Some(
            "it exited with status 1, five times in a row; its last words: no such file: model.joblib".to_owned(),
        ),
        ..asleep()
    };
    let last = Decision { wait_seconds: Some(20.0), stable: None, panic: None, ..decision(Because::StartFailed, 0) };
    insta::assert_snapshot!(tell(&failed, Some(&last)));
}

#[test]
fn a_setting_is_refused() {
    let mut minded = revision();
    minded.settings.insert("minReplicas".to_owned(), Setting { value: "2".to_owned(), source: "endpoint".to_owned() });
    minded.refused_settings = vec!["window: 1s: 6s to 1h in whole seconds (deployment)".to_owned()];
    let last = Decision { min_replicas: 2, stable: Some(1.0), ..decision(Because::Minimum, 2) };
    insta::assert_snapshot!(tell(&minded, Some(&last)));
}

#[test]
fn nothing_was_decided_yet() {
    assert!(tell(&asleep(), None).contains("no decision has been made"));
}
