use super::*;
use crate::shape::Piece;

fn read(text: &str) -> Result<Scenario, Faults> {
    written::read("mine", text, &|named| Opened {
        name: named.to_owned(),
        text: Ok("time,value\n0,1\n1,3\n2,2\n".to_owned()),
    })
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

fn faults_of(text: &str) -> Vec<String> {
    read(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn all_faults_of_a_file_are_told_at_once_each_with_its_place() {
    let told = faults_of(
        "abuot: wrong
request: { path: here, method: 'A B' }
seed: -1
phases:
- { rate: -1, for: 3s }
- { rate: [1], for: soon, rates: 2 }
- { rate: 1, peak: 2 }
- 7
",
    );
    let expected = [
        "mine:1:1: about: is missing: a sentence that says what it shows",
        "mine:1:8: abuot: unknown field; the nearest known one is about",
        "mine:2:18: request.path: here: a path such as /v1/models/any:predict",
        "mine:2:32: request.method: A B: a method such as GET or POST",
        "mine:3:7: seed: -1: a whole number",
        "mine:5:11: phases[0].rate: -1: requests a second: 0 or more",
        "mine:6:11: phases[1].rate: a list: requests a second: 0 or more",
        "mine:6:21: phases[1].for: soon: a time such as 30s or 2m: from 100ms to a day",
        "mine:6:34: phases[1].rates: unknown field; the nearest known one is rate",
        "mine:7:3: phases[2].for: is missing: a time such as 30s",
        "mine:7:3: phases[2]: rate, peak: one of: rate; from and to; rate, on and off; trace and peak",
        "mine:8:3: phases[3]: 7: fields: name, for, rate, from, to, on, off, trace, peak",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    assert_eq!(faults_of("about: x\nphases: ["), ["mine:2:9: unclosed bracket '['"]);
    assert_eq!(faults_of("7"), ["mine:1:1: 7: fields: about, arrivals, seed, request, phases"]);
    assert_eq!(faults_of("").len(), 1);
}

#[test]
fn a_load_that_is_too_much_or_too_long_is_refused() {
    assert_eq!(
        faults_of("about: x\nphases:\n- { rate: 1e9, for: 3s }\n- { rate: 0, for: 24h }\n"),
        [
            "mine:3:3: phases: 3000000000 requests: at most 10 million",
            "mine:3:3: phases: 1day 3s: a day at most, all together"
        ]
    );
    assert_eq!(faults_of("about: x\nphases:\n- { rate: 1, on: 1ns, off: 1ns, for: 24h }\n").len(), 2);
}

#[test]
fn a_trace_is_stretched_to_its_time_and_scaled_to_its_peak() {
    let scenario = read("about: x\nphases:\n- { trace: any.csv, peak: 30, for: 10s }\n").unwrap();
    let second = Duration::from_secs(5);
    let expected = [Piece { lasts: second, from: 10.0, to: 30.0 }, Piece { lasts: second, from: 30.0, to: 20.0 }];
    assert_eq!(scenario.shape().0, expected);
}

#[test]
fn a_file_of_several_documents_is_told_what_a_file_may_hold() {
    assert_eq!(
        faults_of("about: x\nphases:\n- { rate: 1, for: 1s }\n---\nabout: y\n"),
        ["mine:5:1: one document in a file"]
    );
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

#[test]
fn a_trace_of_ones_own_is_named_where_it_is_wrong() {
    let nowhere = Path::new("nowhere/mine.csv");
    let faults = Scenario::named("trace", Some(nowhere)).unwrap().unwrap_err().to_string();
    assert!(faults.contains("phases[0].trace: nowhere/mine.csv: a file that can be read"), "{faults}");
}
