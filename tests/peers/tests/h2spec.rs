//! h2spec, a conformance client of HTTP/2, against the sidecar.

use std::net::SocketAddr;

use peers::{Model, Sidecar, Taken, fetched, whole};

fn hello(_: &Taken) -> Vec<u8> {
    whole("hello")
}

/// What is not as h2spec wants it. `docs/http.md` says why.
const KNOWN: [&str; 1] = ["Sends invalid connection preface"];

async fn conforms(address: SocketAddr) {
    let Some(mut command) = fetched("h2spec", "the conformance tests of HTTP/2") else { return };
    command.args(["--host", "127.0.0.1", "--port", &address.port().to_string(), "--timeout", "5", "--strict"]);
    let ended = tokio::time::timeout(wired::secs(60), command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let failures = said.split_once("Failures:").map_or("", |(_, failures)| failures);
    let failures = failures.lines().filter_map(|line| line.trim_start().strip_prefix("× ")?.split_once(": "));
    let failures: Vec<&str> = failures.map(|(_, title)| title.trim()).collect();
    assert_eq!(failures, KNOWN, "{said}");
    let summary = said.lines().find(|line| line.contains(" tests, ")).unwrap_or_default();
    println!("h2spec: {summary}");
    let row = format!("| h2spec 2.2.1, with its strict cases | {} |", summary.trim());
    assert!(include_str!("../../../docs/http.md").contains(&row), "docs/http.md has the row {row}");
}

#[tokio::test]
async fn http2_is_as_h2spec_wants_it_but_for_what_is_known() {
    let model = Model::start(hello).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    conforms(sidecar.direct()).await;
}
