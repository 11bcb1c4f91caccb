//! `rouse demo` where it cannot begin; how it goes when it can is `tests/wired`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::net::TcpListener;

use assert_cmd::Command;

#[test]
fn a_taken_port_is_told_in_one_line_and_an_earlier_report_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("rouse-demo.html");
    std::fs::write(&report, "of an earlier run").unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let mut demo = Command::cargo_bin("rouse").unwrap();
    let ended = demo.current_dir(folder.path()).args(["demo", "--admin", &admin]).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(64), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with(&format!("--admin: {admin}: a free port; this one is in use")), "{told}");
    assert_eq!(std::fs::read_to_string(report).unwrap(), "of an earlier run");
}
