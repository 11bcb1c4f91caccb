//! The rule, played over years with a leader that comes and goes and readers that lag.

use proptest::prelude::*;

use super::*;

const TIMING: Timing = Timing { renewal: Duration::from_secs(10_000), step: Duration::from_secs(100) };
const START: u64 = 1_700_000_000;

fn at(seconds: u64) -> Moment {
    Moment::from_unix_millis((START + seconds) * 1_000)
}

/// An authority that is nothing but its number.
fn made(number: &mut u32, now: Moment, before: Option<&Entry>) -> Entry {
    *number += 1;
    let crossed = before.map(|before| format!("{number} by {};", before.name));
    Entry {
        name: number.to_string(),
        made: now,
        expires: now.plus(TIMING.lifetime()),
        certificate: format!("{number};"),
        key: Some(number.to_string()),
        crossed: crossed.into_iter().chain(before.into_iter().flat_map(|before| before.crossed.clone())).collect(),
    }
}

/// What was written and when, and when it was where its readers look.
#[derive(Debug, Clone)]
struct Written {
    ledger: Ledger,
    at: Moment,
    published: Option<Moment>,
}

/// A Secret, and a leader that looks at it now and then.
#[derive(Debug, Default)]
struct Play {
    number: u32,
    history: Vec<Written>,
}

impl Play {
    fn ledger(&self) -> Ledger {
        self.history.last().map_or_else(Ledger::default, |written| written.ledger.clone())
    }

    /// One look of a leader; `publishes`: whether what it tells arrives.
    fn look(&mut self, asked: Option<&str>, now: Moment, publishes: bool) -> Step {
        let ledger = self.ledger();
        let step = ledger.next(asked, now, TIMING);
        if step == Step::Publish && !publishes {
            return step;
        }
        let next = ledger.after(step, asked, now, |before| Ok(made(&mut self.number, now, before))).unwrap();
        match step {
            Step::Wait(_) => {}
            Step::Publish => {
                let last = self.history.last_mut().unwrap();
                (last.ledger, last.published) = (next, Some(now));
            }
            Step::Found | Step::Introduce | Step::Sign | Step::Forget => {
                self.history.push(Written { ledger: next, at: now, published: None });
            }
        }
        step
    }

    /// Every state that somebody who lags by less than a step may act by at that moment.
    fn views(&self, now: Moment) -> Vec<&Ledger> {
        let outdated = |later: &Written| later.published.is_some_and(|published| published.plus(TIMING.step) <= now);
        let newest = self.history.iter().rposition(outdated).unwrap_or(0);
        let seen = self.history[newest..].iter().filter(|written| written.at <= now);
        seen.map(|written| &written.ledger).collect()
    }

    /// Whoever shows a certificate is believed by whoever looks at it.
    fn everyone_believes_everyone(&self, now: Moment) {
        for shows in self.views(now) {
            // One whose time is over is believed by nobody, whatever the order of steps.
            let Some(signer) = shows.signer(now) else { continue };
            for looks in self.views(now).into_iter().filter(|looks| looks.signer(now).is_some()) {
                let (chain, believed) = (&signer.certificate, looks.bundle());
                assert!(believed.contains(chain.as_str()), "{chain} is shown to one who believes {believed}");
            }
        }
    }
}

#[test]
fn the_first_one_signs_at_once_and_is_followed_after_its_time() {
    let mut play = Play::default();
    assert_eq!(play.look(None, at(0), true), Step::Found);
    assert_eq!(play.look(None, at(0), true), Step::Publish);
    assert_eq!(play.look(None, at(1), true), Step::Wait(at(10_000)));
    assert_eq!(play.look(None, at(10_000), true), Step::Introduce);
    assert_eq!((play.ledger().bundle().as_str(), play.ledger().signer), ("1;2;", 0));
    assert_eq!(play.look(None, at(10_001), true), Step::Publish);
    assert_eq!(play.look(None, at(10_002), true), Step::Wait(at(10_101)));
    assert_eq!(play.look(None, at(10_101), true), Step::Sign);
    assert_eq!((play.ledger().bundle().as_str(), play.ledger().signer), ("1;2;", 1));
    assert_eq!(play.look(None, at(10_101), true), Step::Publish);
    assert_eq!(play.look(None, at(10_201), true), Step::Forget);
    assert_eq!((play.ledger().bundle().as_str(), play.ledger().signer), ("2;", 0));
}

#[test]
fn a_step_counts_from_when_it_is_where_its_readers_look() {
    let mut play = Play::default();
    for (asked, now) in [(None, 0), (None, 0), (Some("now"), 10)] {
        play.look(asked, at(now), true);
    }
    for now in [11, 500, 3_000] {
        assert_eq!(play.look(Some("now"), at(now), false), Step::Publish);
    }
    assert_eq!(play.look(Some("now"), at(3_001), true), Step::Publish);
    assert_eq!(play.look(Some("now"), at(3_002), true), Step::Wait(at(3_101)));
}

#[test]
fn what_a_person_asks_for_is_done_once() {
    let mut play = Play::default();
    let mut steps = Vec::new();
    for now in (0..2_000).step_by(10) {
        let step = play.look((500 <= now).then_some("please"), at(now), true);
        if matches!(step, Step::Introduce | Step::Sign | Step::Forget) {
            steps.push((step, now));
        }
    }
    assert_eq!(steps, [(Step::Introduce, 500), (Step::Sign, 610), (Step::Forget, 720)]);
}

#[test]
fn a_key_is_kept_only_by_who_signs_or_will() {
    let mut play = Play::default();
    for now in (0..40_000).step_by(37) {
        play.look(None, at(now), true);
        let ledger = play.ledger();
        let keys: Vec<bool> = ledger.entries.iter().map(|entry| entry.key.is_some()).collect();
        assert!(keys[ledger.signer..].iter().all(|has| *has) && !keys[..ledger.signer].contains(&true), "{keys:?}");
    }
}

#[test]
fn one_that_expired_while_nobody_led_is_begun_anew_with_a_higher_generation() {
    let mut play = Play::default();
    play.look(None, at(0), true);
    play.look(None, at(0), true);
    let before = play.ledger().generation;
    let much_later = at(50_000);
    assert_eq!(play.look(None, much_later, true), Step::Found);
    assert!(before < play.ledger().generation);
    // Likewise where the Secret was taken away.
    let anew = Ledger::default().after(Step::Found, None, at(60_000), |_| Ok(made(&mut 7, at(60_000), None))).unwrap();
    assert!(play.ledger().generation < anew.generation);
}

#[test]
fn who_believes_an_older_one_alone_is_led_to_the_one_that_signs() {
    let mut play = Play::default();
    for now in (0..28_000).step_by(10) {
        play.look(None, at(now), true);
    }
    let ledger = play.ledger();
    assert_eq!(ledger.bundle(), "3;");
    assert_eq!(ledger.entries[0].crossed, ["3 by 2;", "2 by 1;"]);
    for now in (28_000..200_000).step_by(10) {
        play.look(None, at(now), true);
    }
    assert_eq!(play.ledger().entries[0].crossed.len(), CROSSED);
}

proptest! {
    #[test]
    fn whoever_lags_by_up_to_a_step_believes_whatever_certificate_it_meets(
        looks in proptest::collection::vec((0_u64..200, any::<bool>(), 0_u8..12), 1..300),
    ) {
        let (mut play, mut now, mut asked) = (Play::default(), 0, None);
        for (index, (pause, publishes, what)) in looks.into_iter().enumerate() {
            // Mostly steady; sometimes nobody leads for long, and sometimes somebody asks for a rotation.
            now += if what == 0 { pause * 100 } else { pause };
            if what == 1 {
                asked = Some(index.to_string());
            }
            play.look(asked.as_deref(), at(now), publishes);
            for later in [0, 1, 50, 99, 100, 101, 150] {
                play.everyone_believes_everyone(at(now + later));
            }
            prop_assert!(play.ledger().entries.len() <= 2);
        }
    }

    #[test]
    fn whatever_came_before_a_leader_that_stays_ends_with_one_that_signs(
        looks in proptest::collection::vec((0_u64..20_000, any::<bool>()), 0..60),
    ) {
        let (mut play, mut now) = (Play::default(), 0);
        for (pause, publishes) in looks {
            now += pause;
            play.look(None, at(now), publishes);
        }
        let ends = (0..20).any(|_| {
            now += 101;
            let is_quiet = matches!(play.look(None, at(now), true), Step::Wait(_));
            is_quiet && play.ledger().entries.len() == 1
        });
        prop_assert!(ends, "{:?}", play.ledger());
    }
}
