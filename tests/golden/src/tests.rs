use super::*;

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn set(name: &str) -> &'static Set {
    SETS.iter().find(|set| set.name == name).unwrap()
}

fn doubles(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let (given, out): (f64, f64) = (case(&line["in"])?, case(&line["out"])?);
    marks.at(0);
    marks.close("out", out, 2.0 * given, Tolerance::USUAL)
}

#[test]
fn a_finding_names_set_line_case_op_and_both_values() {
    let report = play_set(
        Owner::Kpa,
        set("windows"),
        Some(doubles),
        &lines(&[r#"{"in":1,"out":2}"#, "", r#"{"name":"odd","in":1,"out":3}"#]),
    );
    assert_eq!(report.findings.len(), 1);
    let finding = &report.findings[0];
    for part in ["windows line 3", "odd", "op 0", "expected 3.0", "got 2.0"] {
        assert!(finding.contains(part), "{part} is not in {finding}");
    }
}

#[test]
fn lines_of_siblings_and_non_finite_ones_are_counted_apart() {
    let all = lines(&[
        r#"{"kind":"notify","in":1,"out":2}"#,
        r#"{"kind":"throttler"}"#,
        r#"{"kind":"notify","non_finite":true}"#,
    ]);
    let report = play_set(Owner::Kpa, set("capacity"), Some(doubles), &all);
    assert_eq!((report.lines, report.compared, report.of_siblings, report.non_finite), (1, 1, 1, 1));
    assert_eq!(report.findings, Vec::<String>::new());
}

#[test]
fn a_kind_that_nobody_plays_is_a_finding() {
    let report = play_set(Owner::Balance, set("capacity"), Some(doubles), &lines(&[r#"{"kind":"news"}"#]));
    assert!(report.findings[0].contains("`news`"), "{report:?}");
}

#[test]
fn every_set_is_in_the_copy_and_none_besides() {
    let found = files::find(&files::directory(None)).unwrap();
    for set in SETS {
        assert!(!found.lines(set.name).unwrap().is_empty(), "{} is empty", set.name);
    }
}

#[test]
fn floats_are_close_in_the_sense_that_was_asked_for() {
    let marks = Marks::default();
    assert!(marks.close_part("x", 1e6, 1e6 + 1e-4, Tolerance::USUAL).is_ok());
    assert!(marks.close_part("x", 1e6, 1e6 + 1e-4, Tolerance::Absolute(1e-6)).is_err());
    assert!(marks.close_part("x", 1e-3, 1e-3 + 1e-10, Tolerance::USUAL).is_err());
    assert!(marks.close_part("x", 1e-3, 1e-3 + 1e-10, Tolerance::Either(1e-9)).is_ok());
    assert!(marks.close_part("x", 0.0, -0.0, Tolerance::USUAL).is_ok());
    assert!(marks.close_part("x", 0.0, f64::NAN, Tolerance::Either(1e-9)).is_err());
}
