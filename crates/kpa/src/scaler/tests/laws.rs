//! What holds whatever happens.

use proptest::prelude::*;

use super::*;

/// What may happen in a second, besides time.
#[derive(Clone, Copy, Debug)]
enum Event {
    Load(u32),
    /// The second activator falls silent.
    Silence,
    /// And is heard again.
    Return,
    Held(u32),
    Crash,
    Nothing,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0_u32..200).prop_map(Event::Load),
        1 => Just(Event::Load(0)),
        1 => Just(Event::Silence),
        1 => Just(Event::Return),
        1 => (1_u32..50).prop_map(Event::Held),
        1 => Just(Event::Crash),
        20 => Just(Event::Nothing),
    ];
    prop::collection::vec(event, 1..200)
}

impl Toy {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Load(load) => self.activators.iter_mut().for_each(|activator| activator.1 = load),
            Event::Silence => self.activators.truncate(1),
            Event::Return if self.activators.len() == 1 => self.activators.push(("b", self.activators[0].1)),
            Event::Held(held) => self.world.held = held,
            Event::Crash => self.world.ready = ReplicaCount(self.world.ready.0 / 2),
            Event::Return | Event::Nothing => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn never_outside_the_bounds(events in events(), min in 0_u32..4, room in 0_u32..8, scale in 0_u32..12) {
        let max = min.max(1) + room;
        let bounded = Policy { min: ReplicaCount(min), max: Some(ReplicaCount(max)), ..policy() };
        let mut toy = Toy::at_scale(bounded, scale.clamp(min, max));
        for event in events {
            toy.happen(event);
            if let Some(want) = toy.second().decision.want {
                prop_assert!(min <= want.0 && want.0 <= max, "{want} is not in {min}..={max}");
            }
        }
    }

    #[test]
    fn silence_of_an_activator_never_lowers(events in events()) {
        let mut toy = Toy::settled(policy(), 1, 50);
        toy.activators.push(("b", 50));
        toy.run(20);
        let mut silent_for = 0;
        for event in events {
            toy.happen(event);
            silent_for = if toy.activators.len() == 1 { silent_for + 1 } else { 0 };
            let scale = toy.world.scale;
            let want = toy.second().decision.want;
            if 2 < silent_for {
                prop_assert!(want.is_none_or(|want| scale <= want), "{want:?} from {scale}, silent for {silent_for}");
            }
        }
    }

    #[test]
    fn losing_readings_never_lowers(load in 1_u32..100, lost in prop::collection::vec(any::<[bool; 3]>(), 1..60)) {
        let mut toy = Toy::settled(policy(), 1, load);
        toy.sidecars = vec![("r", load, load / 2), ("s", load, 0)];
        toy.run(30);
        let all = (toy.activators.clone(), toy.sidecars.clone());
        let needed = toy.world.scale;
        for [activator, r, s] in lost {
            toy.activators = if activator { Vec::new() } else { all.0.clone() };
            toy.sidecars = [(r, all.1[0]), (s, all.1[1])].into_iter().filter(|(lost, _)| !lost).map(|(_, one)| one).collect();
            // What is not sent is counted all the same.
            for (name, load, proxied) in all.1.iter().copied().chain([("a", load, 0)]) {
                let sent = toy.sidecars.iter().any(|one| one.0 == name) || toy.activators.iter().any(|one| one.0 == name);
                if !sent {
                    let counted = toy.counted.get_mut(name).unwrap();
                    counted.0 += u64::from(load);
                    counted.1 += u64::from(load) * 1_000_000;
                    if name != "a" {
                        counted.2 += u64::from(proxied) * 1_000_000;
                    }
                }
            }
            let want = toy.second().decision.want;
            prop_assert!(want.is_none_or(|want| needed <= want), "{want:?}, needed are {needed}");
        }
    }

    #[test]
    fn nothing_that_is_in_use_is_sealed(events in events()) {
        let mut toy = Toy::settled(policy(), 1, 50);
        for event in events {
            toy.happen(event);
            let load: u32 = toy.activators.iter().map(|activator| activator.1).sum();
            if toy.second().step == Step::Seal {
                prop_assert_eq!(load, 0);
            }
        }
    }

    #[test]
    fn the_same_history_gives_the_same_answer(events in events()) {
        let play = || {
            let mut toy = Toy::at_scale(policy(), 1);
            events.iter().map(|event| { toy.happen(*event); toy.second() }).collect::<Vec<_>>()
        };
        prop_assert_eq!(play(), play());
    }

    #[test]
    fn more_load_never_means_fewer(events in events(), more in 1_u32..500, held in 0_u32..100) {
        let mut toys = [0, more].map(|more| {
            let mut toy = Toy::at_scale(policy(), 1);
            for event in &events {
                toy.happen(*event);
                let _ = toy.second();
            }
            toy.activators[0].1 += more;
            toy.world.held = if more == 0 { 0 } else { held };
            toy
        });
        let [less, more] = toys.each_mut().map(|toy| toy.second().decision.want);
        prop_assert!(less <= more, "{less:?} and then {more:?}");
    }
}
