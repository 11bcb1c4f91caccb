//! The demonstration, as somebody sees it who pipes it somewhere.

use std::process::{Command, Output};

use wired::{eventually, secs};

/// What it wrote, as it ended well: no colours, no wide lines.
fn plainly_told(told: &Output) -> String {
    let (text, errors) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{}\n{text}\n{errors}", told.status);
    assert!(!text.contains('\u{1b}'), "no terminal, no colours: {text:?}");
    let wide: Vec<&str> = text.lines().filter(|line| 80 < line.chars().count()).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    text.into_owned()
}

#[test]
fn the_demonstration_goes_well_in_lines_of_eighty_columns_and_leaves_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let told = Command::new(wired::rouse()).arg("demo").current_dir(folder.path()).output().unwrap();
    let text = plainly_told(&told);
    for word in ["quiet:", "first requests:", "burst:", "steady:", "asleep:", "waking", "→ 0"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let report = std::fs::read_to_string(folder.path().join("rouse-demo.html")).unwrap();
    assert!(report.contains("waking, wants 1") && report.contains("</html>"));
}

#[tokio::test]
async fn a_canarys_shares_are_moved_by_the_demonstration_until_a_person_moves_them_and_each_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let output = std::fs::File::create(path("output")).unwrap();
    let mut demo = Command::new(wired::rouse())
        .args(["demo", "--canary"])
        .current_dir(folder.path())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(path("output")).unwrap();
    eventually(secs(90), "the demonstration has moved everything to v2", async || match said() {
        said if said.contains("0 / 100:") => Ok(()),
        said => Err(said),
    })
    .await;
    let file = std::fs::read_to_string(path("rouse-canary.yaml")).unwrap();
    let moved = file.replace("percent: 100", "percent: 30").replace("percent: 0\n", "percent: 70\n");
    std::fs::write(path("rouse-canary.yaml"), moved).unwrap();
    let status = eventually(secs(90), "it has ended", async || match demo.try_wait().unwrap() {
        Some(status) => Ok(status),
        None => Err(said()),
    })
    .await;
    let text = said();
    assert!(status.success(), "{status}\n{text}");
    assert!(!text.contains('\u{1b}'), "no terminal, no colours: {text:?}");
    for words in
        ["100 / 0:", "95 / 5:", "50 / 50:", "you have moved the shares", "70 / 30:", "by you", "answers,  0 ready"]
    {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let told = text.lines().skip_while(|line| !line.contains("answered 200: "));
    let wide: Vec<&str> = told.filter(|line| 80 < line.chars().count()).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    let report = std::fs::read_to_string(path("rouse-demo.html")).unwrap();
    assert!(report.contains("95 / 5") && report.contains("70 / 30") && report.contains("</html>"));
}

#[test]
fn with_shadows_it_tells_the_good_candidate_from_the_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(wired::rouse());
    let told = demo.args(["demo", "--shadow", "--brief"]).current_dir(folder.path()).output().unwrap();
    let text = plainly_told(&told);
    let errors = String::from_utf8_lossy(&told.stderr);
    for word in
        ["demo-v2 is awake", "demo-v3 says something else", "demo-v2 says what demo-v1 says", "99 of 100 within"]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    // Only the program's own three lines: what is served is told to who serves it.
    assert_eq!(errors.lines().count(), 3, "{errors}");
    let report = std::fs::read_to_string(folder.path().join("rouse-demo-shadow.html")).unwrap();
    assert!(report.contains("Answers alike, so far") && report.contains("/predictions/0/"));
    // What was served stands there, to go on from.
    let served = std::fs::read_to_string(folder.path().join("rouse-shadow.yaml")).unwrap();
    assert!(served.contains("shadow:"), "{served}");
}
