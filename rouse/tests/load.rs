//! `rouse load` against a real stand-in model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;
use serde_json::Value;

/// A running `rouse predictor` that writes down what it begins; killed when dropped.
struct Model {
    process: Child,
    url: String,
}

impl Model {
    fn start(log: &Path) -> Self {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_rouse"))
            .args(["predictor", "--port", "0", "--log"])
            .arg(log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { process, url }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn load(arguments: &[&str]) -> Output {
    Command::cargo_bin("rouse").unwrap().arg("load").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const SHORT: &str = "about: Half a second\narrivals: uniform\nphases:\n- { rate: 100, for: 500ms }\n";

#[test]
fn a_load_of_ones_own_is_answered_and_begun_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("begun"), folder.path().join("short.yaml"));
    std::fs::write(&file, SHORT).unwrap();
    let model = Model::start(&log);
    let (log, file) = (log.to_str().unwrap(), file.to_str().unwrap());
    let page = folder.path().join("page.html");
    let ended = load(&[file, &model.url, "--log", log, "-o", "json", "--report", page.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    let results: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(results["byStatus"], serde_json::json!({ "200": 50 }));
    assert_eq!(results["executed"]["once"], 50);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<title>Half a second</title>") && !page.contains("src=\"http"), "it stands alone");

    // The same ids are looked for in a log in which they cannot be.
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let ended = load(&[file, &model.url, "--log", empty.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        text(&ended.stderr).ends_with("rouse: 50 lost and 0 duplicated of 50 requests\n"),
        "{}",
        text(&ended.stderr)
    );
}

#[test]
fn a_wrong_file_and_wrong_flags_are_told_together_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    std::fs::write(&file, "about: x\nphases:\n- { rate: -1, for: 3s }\n- { rate: 1 }\n").unwrap();
    let flags = ["--faster", "0", "-o", "xml", "--timeout", "0s", "--max-in-flight", "0", "--seed", "-1"];
    let ended = load(&[&[file.to_str().unwrap(), "127.0.0.1:1"], &flags[..]].concat());
    assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(64), String::new()));
    let told = text(&ended.stderr);
    assert_eq!(told.lines().count(), 8, "{told}");
    assert!(told.contains("wrong.yaml:3:11: phases[0].rate: -1: requests a second: 0 or more"), "{told}");
}

#[test]
fn a_url_that_is_none_is_bad_input_and_one_where_nobody_is_is_unavailable() {
    assert_eq!(load(&["step", "127.0.0.1:8080"]).status.code(), Some(64));
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    assert_eq!(load(&["step", &format!("http://{free}")]).status.code(), Some(69));
}

#[test]
fn an_admin_port_where_nobody_is_is_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("begun");
    let model = Model::start(&log);
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let page = folder.path().join("page.html");
    let admin = format!("http://{free}");
    let ended = load(&["step", &model.url, "--report", page.to_str().unwrap(), "--admin", &admin]);
    assert_eq!(ended.status.code(), Some(69), "{}", text(&ended.stderr));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "");
}

#[test]
fn a_load_that_is_interrupted_tells_and_writes_what_came_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("begun"), folder.path().join("long.yaml"));
    std::fs::write(&file, "about: Ten minutes\nphases:\n- { rate: 100, for: 10m }\n").unwrap();
    let (model, page) = (Model::start(&log), folder.path().join("page.html"));
    let mut load = std::process::Command::new(env!("CARGO_BIN_EXE_rouse"));
    load.arg("load").arg(&file).args([&model.url, "-o", "json", "--report"]).arg(&page);
    let load = load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let arrived = (0..2_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        20 <= std::fs::read_to_string(&log).unwrap().lines().count()
    });
    assert!(arrived, "nothing arrives within 20 s");
    let pid = nix::unistd::Pid::from_raw(load.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let ended = load.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    let results: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(results["interrupted"], true);
    assert!(10 <= results["byStatus"]["200"].as_u64().unwrap(), "{results}");
    assert!(std::fs::read_to_string(page).unwrap().contains("<title>Ten minutes</title>"));
}

#[test]
fn the_list_names_every_scenario_with_what_it_shows() {
    let list = text(&load(&["--list"]).stdout);
    let names: Vec<&str> = list.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["step", "spike", "ramp", "on-off", "streaming", "trace"]);
}
