//! `rouse up` before anything runs: faults, what would be served, and the YAML that a command stands for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;

fn rouse(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("rouse").unwrap();
    command.args(arguments).env("LOG_FORMAT", "text").output().unwrap()
}

/// Flags that take no fixed port.
fn up(arguments: &[&str]) -> Output {
    rouse(&[&["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[test]
fn nine_faults_in_one_file_are_nine_faults_told() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nine.yaml");
    let faults = std::fs::read_to_string(example("nine-faults.yaml")).unwrap();
    std::fs::write(&file, faults.replace("port: 8090", &format!("port: {port}"))).unwrap();

    let output = up(&["--check", "-f", file.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(64));
    assert_eq!(text(&output.stdout), "");
    let told =
        text(&output.stderr).replace(&format!("{}/", folder.path().display()), "").replace(&port.to_string(), "PORT");
    let told: Vec<&str> = told.lines().collect();
    let expected = [
        "nine.yaml:10:13: spec.ports[0].port: PORT: a free port; this one is in use, likely by ",
        "nine.yaml:11:3: spec.containerConcurency: 10: unknown field; the nearest known one is containerConcurrency",
        "nine.yaml:14:19: spec.traffic[1].revision: recommender-v3: the name of a Deployment in namespace default; \
         the nearest one is recommender-v1",
        "nine.yaml:14:44: spec.traffic[1].percent: 30: percents add up to 100, these add up to 120",
        "nine.yaml:15:25: spec.queue.maxRequests: 20000000: a whole number from 1 to 1000000",
        "nine.yaml:16:26: spec.autoscaling.target: -1: a number, at least 0.01",
        "nine.yaml:27:21: spec.template.spec.containers[0].command[0]: no-such-model-server: a program on PATH, or a \
         path with `/` in it",
        "nine.yaml:31:46: spec.template.spec.containers[0].readinessProbe.httpGet.port: 9000: 8000 or http1: the \
         container's own port is the only one that a replica has here",
        "nine.yaml:36:9: metadata.name: recommender-v1: each Deployment once in its namespace; this name is taken in \
         nine.yaml:21:9",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "told:     {told}\nexpected: {expected}");
    }
}

#[test]
fn a_taken_port_is_not_touched_and_nothing_runs() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = rouse(&[
        "up",
        "--listen",
        &address,
        "--admin",
        "127.0.0.1:0",
        "-f",
        example("recommender.yaml").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(64));
    let told = text(&output.stderr);
    assert!(told.starts_with(&format!("--listen: {address}: a free port; this one is in use")), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_file_can_be_checked_while_it_is_served() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = example("recommender.yaml");
    let file = file.to_str().unwrap();
    let output = rouse(&["up", "--check", "--listen", &address, "--admin", "127.0.0.1:0", "-f", file]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.starts_with(&format!("warning: --listen: {address}: a free port; this one is in use")), "{told}");
}

#[test]
fn the_recommender_is_fine_and_is_described() {
    let output = up(&["--check", "-f", example("recommender.yaml").to_str().unwrap()]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let told = text(&output.stdout);
    assert!(told.starts_with("recommender  http://127.0.0.1:"), "{told}");
    assert!(told.contains("100% recommender-v1: rouse predictor --service-time 200ms --port $(PORT)"), "{told}");
    assert!(told.contains("recommender.default or recommender.localhost"), "{told}");
}

#[test]
fn a_command_stands_for_a_file_that_serves_the_same() {
    let command = ["--max", "8", "--concurrency", "2", "--", "rouse", "predictor", "--port", "$(PORT)"];
    let printed = up(&[&["--print"][..], &command].concat());
    assert_eq!(printed.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictor.yaml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let again = up(&["--print", "-f", file.to_str().unwrap()]);
    assert_eq!(text(&again.stdout), text(&printed.stdout));
    let printed = text(&printed.stdout);
    assert!(printed.starts_with('#') && printed.contains("image: "), "what a cluster lacks is said: {printed}");
    assert!(printed.contains("maxReplicas: 8") && printed.contains("containerConcurrency: 2"), "{printed}");
}

#[test]
fn faults_of_flags_are_told_together() {
    let output = rouse(&["up", "--listen", "here", "--admin", "8090", "--max", "0", "--", "no-such-model-server"]);
    assert_eq!(output.status.code(), Some(64));
    let told = text(&output.stderr);
    for start in ["--listen: here: ", "--admin: 8090: ", "--max: 0: ", "COMMAND: no-such-model-server: "] {
        assert!(told.lines().any(|line| line.starts_with(start)), "{start} in {told}");
    }
}

#[test]
fn flags_that_do_not_exist_and_nothing_at_all_are_bad_input_too() {
    for arguments in [
        &["up", "--no-such-flag"][..],
        &["no-such-command"],
        &[],
        &["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        &["get", "pods", "-o", "yaml"],
    ] {
        let output = rouse(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output.stderr));
        assert_ne!(text(&output.stderr), "");
    }
}

#[test]
fn a_command_without_dashes_before_it_is_told_about_them() {
    let told = up(&["python3", "serve.py"]);
    assert_eq!(told.status.code(), Some(64));
    assert!(text(&told.stderr).contains("rouse up -- python3"), "{}", text(&told.stderr));
}

#[test]
fn help_teaches_and_is_no_fault() {
    let output = rouse(&["up", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("rouse up -- python serve.py --port '$(PORT)'"));
    assert_eq!(rouse(&["--version"]).status.code(), Some(0));
}
