use super::*;

fn read(text: &str) -> Result<Scenario, Faults> {
    Scenario::read("mine", text, &|_| Ok("time,value\n0,1\n1,3\n2,2\n".to_owned()))
}

#[test]
fn every_scenario_that_is_carried_along_is_right_and_says_what_it_shows() {
    for (name, _) in KNOWN {
        let scenario = Scenario::named(name, None).unwrap().unwrap();
        assert!(!scenario.about.is_empty(), "{name}");
        assert!(scenario.lasts() <= Duration::from_secs(300), "{name} takes {:?}", scenario.lasts());
        assert!(100.0 <= scenario.requests(), "{name}");
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let faults = read(
        "about: wrong\nrequest: { path: here, method: 'A B' }\nphases:\n- { rate: -1, for: 3s }\n- { rate: 1, for: soon }\n- { rate: 1, peak: 2, for: 1s }\n",
    )
    .unwrap_err();
    let told: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(told[0].starts_with("mine: phases[0].rate: -1: requests a second"), "{}", told[0]);
    assert!(told[1].starts_with("mine: phases[1].for: soon"), "{}", told[1]);
}

#[test]
fn a_field_that_nobody_knows_is_refused() {
    let faults = read("about: x\nphases:\n- { rates: 1, for: 3s }\n").unwrap_err();
    assert!(faults.to_string().contains("rates"), "{faults}");
}

#[test]
fn a_trace_is_stretched_to_its_time_and_scaled_to_its_peak() {
    let scenario = read("about: x\nphases:\n- { trace: any.csv, peak: 30, for: 10s }\n").unwrap();
    let second = Duration::from_secs(5);
    let expected = [Piece { lasts: second, from: 10.0, to: 30.0 }, Piece { lasts: second, from: 30.0, to: 20.0 }];
    assert_eq!(scenario.shape().0, expected);
}

#[test]
fn on_and_off_end_with_the_phase() {
    let scenario = read("about: x\nphases:\n- { rate: 4, on: 2s, off: 3s, for: 8s }\n").unwrap();
    let lengths: Vec<u64> = scenario.shape().0.iter().map(|piece| piece.lasts.as_secs()).collect();
    assert_eq!(lengths, [2, 3, 2, 1]);
    assert_eq!(scenario.requests(), 16.0);
}

#[test]
fn a_phase_is_known_by_its_moment() {
    let scenario =
        read("about: x\nphases:\n- { name: quiet, rate: 0, for: 3s }\n- { name: busy, rate: 1, for: 2s }\n").unwrap();
    let name = |second| {
        scenario.phase_at(Duration::from_secs(second)).map(|(phase, ends)| (phase.name.as_str(), ends.as_secs()))
    };
    assert_eq!([name(0), name(3), name(5)], [Some(("quiet", 3)), Some(("busy", 5)), None]);
}
