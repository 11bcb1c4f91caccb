//! The demonstration, as somebody sees it who pipes it somewhere.

use std::process::Command;

#[test]
fn the_demonstration_goes_well_in_lines_of_eighty_columns_and_leaves_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let told = Command::new(wired::rouse()).arg("demo").current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{}\n{text}\n{errors}", told.status);
    assert!(!text.contains('\u{1b}'), "no terminal, no colours: {text:?}");
    let wide: Vec<&str> = text.lines().filter(|line| 80 < line.chars().count()).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    for word in ["quiet:", "first requests:", "burst:", "steady:", "asleep:", "waking", "→ 0"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let report = std::fs::read_to_string(folder.path().join("rouse-demo.html")).unwrap();
    assert!(report.contains("waking, wants 1") && report.contains("</html>"));
}
