//! The bench of proxies, small: whoever is here forwards, is measured, and is gone afterwards.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Nothing is left when one that is needed is not there; what is asked for is measured, and nothing else.
#[test]
fn our_sidecar_and_a_bare_proxy_are_measured_in_turns() {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    // Beside it once the workspace was built; by itself this package does not build it.
    let queue_proxy = loadtest.with_file_name("queue-proxy");
    if !queue_proxy.is_file() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "queue-proxy"]).status();
        assert!(built.unwrap().success());
    }
    let folder = tempfile::tempdir().unwrap();
    let row = folder.path().join("performance.md");
    std::fs::write(&row, "## The sidecar on every request\n\n| date |\n|---|\n").unwrap();
    let measured = Command::new(loadtest)
        .args(["proxy", "--rounds", "2", "--requests", "300", "--paced", "1", "--only", "queue-proxy,bare"])
        .args(["-o", "json", "--queue-proxy"])
        .arg(&queue_proxy)
        .arg("--row")
        .arg(&row)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stderr);
    assert!(measured.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&measured.stdout).unwrap();
    let peers: Vec<&String> = report["peers"].as_object().unwrap().keys().collect();
    assert_eq!(peers, ["bare", "queueProxy"]);
    for peer in ["queueProxy", "bare"] {
        let figures = &report["peers"][peer];
        for name in ["requestsPerSecond", "idleBytes", "loadedBytes", "binaryBytes"] {
            assert!(0.0 < figures[name].as_f64().unwrap(), "{peer}'s {name} in {report}");
        }
    }
    let text = std::fs::read_to_string(&row).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains(" cores, Linux ")).count(), 1, "{text}");
}
