//! The bench of proxies, small: whoever is here forwards, is measured, and is gone afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What `loadtest proxy` says as JSON, and the rows that it added to a page.
fn measured(flags: &[&str], page: &str) -> (Value, String) {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    // Beside it once the workspace was built; by itself this package does not build it.
    let queue_proxy = loadtest.with_file_name("queue-proxy");
    if !queue_proxy.is_file() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "queue-proxy"]).status();
        assert!(built.unwrap().success());
    }
    let folder = tempfile::tempdir().unwrap();
    let row = folder.path().join("performance.md");
    std::fs::write(&row, page).unwrap();
    let mut command = Command::new(loadtest);
    command.args(["proxy", "--requests", "300", "--paced", "1", "-o", "json"]).args(flags);
    let output = command.arg("--queue-proxy").arg(&queue_proxy).arg("--row").arg(&row).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), std::fs::read_to_string(&row).unwrap())
}

fn names(peers: &Value) -> Vec<&String> {
    peers.as_object().unwrap().keys().collect()
}

/// What is asked for is measured, and nothing else.
#[test]
fn our_sidecar_and_a_bare_proxy_are_measured_in_turns() {
    let page = "## The sidecar on every request\n\n| date |\n|---|\n";
    let (report, text) = measured(&["--rounds", "2", "--only", "sidecar", "--peers", "queue-proxy,bare"], page);
    let [scene] = &report["scenes"].as_array().unwrap()[..] else { panic!("one scene, not {report}") };
    assert_eq!(names(&scene["peers"]), ["bare", "queueProxy"]);
    for peer in ["queueProxy", "bare"] {
        let figures = &scene["peers"][peer];
        for name in ["requestsPerSecond", "idleBytes", "loadedBytes"] {
            assert!(0.0 < figures[name].as_f64().unwrap(), "{peer}'s {name} in {report}");
        }
        assert!(0.0 < figures["cpuSeconds"]["min"].as_f64().unwrap(), "{peer} in {report}");
    }
    assert_eq!(text.lines().filter(|line| line.contains(" cores, Linux ")).count(), 1, "{text}");
}

#[test]
fn our_activator_forwards_alone_and_to_a_sidecar() {
    let page = "## The activator on every request\n\n| date |\n|---|\n";
    let peers = "activator,activator-and-sidecar";
    let (report, text) = measured(&["--rounds", "1", "--only", "activator", "--peers", peers], page);
    assert_eq!(names(&report["scenes"][0]["peers"]), ["activator", "activatorAndSidecar"]);
    assert_eq!(text.lines().filter(|line| line.contains(" cores, Linux ")).count(), 1, "{text}");
}

#[test]
fn bodies_of_all_sizes_pass_and_a_burst_is_held() {
    let page = "### With other loads\n\n| date |\n|---|\n\n### Memory\n\n| date |\n|---|\n";
    let flags = ["--rounds", "1", "--only", "bodies,memory", "--peers", "queue-proxy"];
    let (report, text) = measured(&flags, page);
    assert_eq!(report["scenes"].as_array().unwrap().len(), 4, "{report}");
    let memory = &report["memory"]["queueProxy"];
    let bytes = |what: &str| memory[what].as_f64().unwrap();
    // A thousand bodies of 64 KiB, of which it has read what it may while they wait.
    assert!(f64::from(32 << 20) < bytes("holdingBytes"), "{memory}");
    assert!(bytes("laterBytes") < bytes("holdingBytes") / 2.0, "{memory}");
    assert_eq!(text.lines().filter(|line| line.contains(" cores, Linux ")).count(), 2, "{text}");
}
