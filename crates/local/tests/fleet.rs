//! As many replicas as the scale says: orders, crashes, ports, changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use platform::{Actuator as _, Catalogue as _, Event, ReplicaState, Revision, ScaleError, ScaleOrder, Workload};
use support::{Bench, DEADLINE, PROGRAM, described, eventually, kill, ready};
use tokio::io::AsyncWriteExt as _;
use units::ReplicaCount;

fn generation(revision: &Revision) -> u64 {
    match &revision.workload {
        Workload::Present { generation, .. } => *generation,
        Workload::Missing => panic!("it is there"),
    }
}

#[tokio::test]
async fn there_are_as_many_as_ordered_and_the_named_victims_go_first() {
    let mut bench = Bench::running(&[PROGRAM, "serve"], 0).await;
    assert!(bench.revision.borrow().replicas.is_empty());
    let scale = bench.scale(3).await;
    assert_eq!(bench.revision.borrow().scale(), Some(&scale), "the catalogue knows before the answer comes");
    let revision = bench.until_ready(3).await;
    assert!(revision.replicas.iter().all(|replica| replica.address.is_some()));
    bench.order(2, &["m-2"]).await.unwrap();
    let revision = bench.until_ready(2).await;
    assert_eq!(ready(&revision), ["m-1", "m-3"]);
    bench.scale(0).await;
    bench.until(|revision| revision.replicas.is_empty()).await;
    bench.end().await;
}

#[tokio::test]
async fn an_order_for_another_version_changes_nothing() {
    let bench = Bench::running(&[PROGRAM, "serve"], 0).await;
    let seen = bench.platform.read_scale(&described::key()).await.unwrap();
    let now = bench.scale(1).await;
    let order = ScaleOrder {
        revision: described::key(),
        to: ReplicaCount::ZERO,
        epoch: 1,
        expect: Some(seen.version),
        victims: Vec::new(),
    };
    assert_eq!(bench.platform.scale(order.clone()).await, Err(ScaleError::Conflict { now: now.clone() }));
    let now = bench.platform.scale(ScaleOrder { expect: Some(now.version), ..order.clone() }).await.unwrap();
    assert_eq!(now.replicas, ReplicaCount::ZERO);
    bench.platform.scale(ScaleOrder { epoch: 2, expect: None, ..order.clone() }).await.unwrap();
    assert_eq!(bench.platform.scale(order).await, Err(ScaleError::NotLeading));
    bench.end().await;
}

#[tokio::test]
async fn a_killed_replica_is_replaced_at_once() {
    let mut bench = Bench::running(&[PROGRAM, "serve"], 1).await;
    bench.until_ready(1).await;
    kill(bench.tag.server().unwrap(), "-KILL");
    let revision = bench.until(|revision| ready(revision) == ["m-2"]).await;
    assert_eq!(revision.trouble, None, "one became ready");
    bench.end().await;
}

#[tokio::test]
async fn starts_that_fail_are_counted_with_their_last_words_and_forgotten_with_the_command() {
    let mut bench = Bench::running(&["sh", "-c", "echo no such model; exit 3"], 1).await;
    let revision =
        bench.until(|revision| revision.trouble.as_ref().is_some_and(|trouble| 3 <= trouble.crashes_in_a_row)).await;
    let words = revision.trouble.as_ref().unwrap().last_words.to_string();
    assert_eq!(words, "exited with status 3; its last lines:\nno such model");
    bench.apply(described::workload(&[PROGRAM, "serve"], 0));
    let revision = bench.until_ready(1).await;
    assert_eq!(revision.trouble, None);
    bench.end().await;
}

#[tokio::test]
async fn the_next_start_waits_longer_each_time() {
    let mut bench = Bench::running(&["sh", "-c", "exit 1"], 1).await;
    let crashed = |count: u32| {
        move |revision: &Revision| revision.trouble.as_ref().is_some_and(|trouble| count <= trouble.crashes_in_a_row)
    };
    bench.until(crashed(1)).await;
    let revision = bench.until(crashed(5)).await;
    // 0, 100, 200 and 400 ms lie between five starts, so the last was made 700 ms after the first.
    let fifth = bench.until(|revision| revision.replicas.last().is_some_and(|last| &*last.name == "m-6")).await;
    drop(revision);
    let first_made = fifth.replicas.last().unwrap().created;
    assert_eq!(&*fifth.replicas.last().unwrap().name, "m-6");
    let next = bench.until(|revision| revision.replicas.last().is_some_and(|last| &*last.name == "m-7")).await;
    let apart = next.replicas.last().unwrap().created.since(first_made);
    assert!(Duration::from_millis(1_600) <= apart, "{apart:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let mut bench = Bench::running(&["no-such-program"], 1).await;
    let revision = bench.until(|revision| revision.trouble.is_some()).await;
    let words = revision.trouble.as_ref().unwrap().last_words.to_string();
    assert_eq!(words, "cannot run `no-such-program`: no such program");
    bench.end().await;
}

#[tokio::test]
async fn a_server_that_listens_elsewhere_is_told_so() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut bench =
        Bench::running(&["sh", "-c", "echo port $PORT; exec \"$0\" serve \"$1\"", PROGRAM, &elsewhere], 1).await;
    let revision = bench.until(|revision| revision.trouble.is_some()).await;
    let trouble = revision.trouble.clone().unwrap();
    assert_eq!(trouble.crashes_in_a_row, 0);
    let port = bench.shown.read().lines().find_map(|line| line.strip_prefix("m-1 | port ").map(str::to_owned)).unwrap();
    assert!(trouble.last_words.starts_with(&format!("listens on {elsewhere}, not on {port}")), "{trouble:?}");
    bench.end().await;
}

/// The ports that were given, in order, as a script wrote them.
fn ports_in(file: &std::path::Path) -> Vec<u16> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (ports, go) = (dir.path().join("ports"), dir.path().join("go"));
    let script = format!(
        "echo $PORT >> {}; while ! test -e {}; do sleep 0.02; done; exec {PROGRAM} serve",
        ports.display(),
        go.display()
    );
    let mut bench = Bench::running(&["sh", "-c", &script], 1).await;
    eventually("a port was given", DEADLINE, || ports_in(&ports).len() == 1).await;
    // Bound but not yet listening, so that it answers nobody and only the model's own start can fail on it.
    let thief = TcpListener::bind(("127.0.0.1", ports_in(&ports)[0])).unwrap();
    std::fs::write(&go, "").unwrap();
    bench.until(|revision| ready(revision).contains(&"m-2".to_owned())).await;
    let given = ports_in(&ports);
    assert!(given.len() == 2 && given[0] != given[1], "{given:?}");
    drop(thief);
    bench.end().await;
}

#[tokio::test]
async fn another_program_that_answers_on_the_port_is_not_taken_for_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let ports = dir.path().join("ports");
    let script = format!("echo $PORT >> {}; exec sleep 3600", ports.display());
    let mut bench = Bench::running(&["sh", "-c", &script], 1).await;
    eventually("a port was given", DEADLINE, || ports_in(&ports).len() == 1).await;
    let _thief = TcpListener::bind(("127.0.0.1", ports_in(&ports)[0])).unwrap();
    eventually("another port was given", DEADLINE, || ports_in(&ports).len() == 2).await;
    bench.until(|revision| revision.replicas.iter().any(|replica| &*replica.name == "m-2")).await;
    bench.end().await;
}

#[tokio::test]
async fn a_changed_command_replaces_the_replicas_and_changed_settings_do_not() {
    let mut bench = Bench::running(&[PROGRAM, "serve"], 2).await;
    let before = bench.until_ready(2).await;
    let mut settings = described::workload(&[PROGRAM, "serve"], 2);
    settings.progress_deadline = Duration::from_secs(7);
    bench.apply(settings);
    let after = bench.until(|revision| revision.progress_deadline == Duration::from_secs(7)).await;
    assert_eq!((ready(&after), generation(&after)), (ready(&before), generation(&before)));

    let script = format!("exec {PROGRAM} serve");
    bench.apply(described::workload(&["sh", "-c", &script], 2));
    let after = bench.until(|revision| ready(revision) == ["m-3", "m-4"] && revision.replicas.len() == 2).await;
    assert_eq!(generation(&after), generation(&before) + 1);
    bench.end().await;
}

#[tokio::test]
async fn a_revision_without_workload_is_missing_and_one_without_endpoint_drains_away() {
    let mut bench = Bench::running(&[PROGRAM, "serve"], 1).await;
    bench.until_ready(1).await;
    let mut only_endpoint = described::one(described::workload(&[PROGRAM, "serve"], 1));
    only_endpoint.workloads.clear();
    bench.apply_all(only_endpoint);
    let revision = bench.until(|revision| revision.replicas.is_empty()).await;
    assert_eq!(revision.workload, Workload::Missing);
    assert_eq!(bench.order(1, &[]).await, Err(ScaleError::Gone));

    let mut revisions = bench.platform.catalogue().revisions();
    bench.apply_all(local::Described::default());
    let removed = async {
        while let Some(event) = revisions.recv().await {
            if matches!(event, Event::Removed(_)) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, removed).await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn shutdown_lets_everybody_leave() {
    let mut bench =
        Bench::running(&["sh", "-c", &format!("trap 'echo bye; exit' TERM; {PROGRAM} serve & wait")], 2).await;
    bench.until_ready(2).await;
    let tag = Arc::new(bench.tag.0.clone());
    tokio::time::timeout(DEADLINE, bench.platform.shutdown()).await.unwrap();
    assert_eq!(bench.shown.read().matches("bye").count(), 2);
    assert_eq!(support::Tag((*tag).clone()).alive(), []);
}

#[tokio::test]
async fn a_replica_that_leaves_says_so_first() {
    let mut bench = Bench::running(&["sh", "-c", &format!("trap '' TERM; exec {PROGRAM} serve")], 1).await;
    bench.until_ready(1).await;
    bench.scale(0).await;
    assert_eq!(bench.revision.borrow().replicas[0].state, ReplicaState::Leaving);
    bench.end().await;
}

/// A probe that asks whether a file is there.
fn is_there(file: &std::path::Path) -> api::Probe {
    let command = ["test", "-e", file.to_str().unwrap()].map(str::to_owned).to_vec();
    api::Probe { period: Duration::from_millis(20), ..api::Probe::new(api::Check::Exec { command }) }
}

#[tokio::test]
async fn nobody_learns_where_a_replica_is_before_its_startup_probe_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let loaded = dir.path().join("loaded");
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    workload.container.startup = Some(api::Probe { failure_threshold: 100_000, ..is_there(&loaded) });
    let mut bench = Bench::with(workload).await;
    eventually("the server listens", DEADLINE, || bench.shown.ends_about("serving on")).await;
    assert_eq!(bench.revision.borrow().replicas[0].address, None);
    std::fs::write(&loaded, "").unwrap();
    let revision = bench.until_ready(1).await;
    assert!(revision.replicas[0].address.is_some());
    bench.end().await;
}

#[tokio::test]
async fn since_when_a_process_runs_is_known_before_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    let never = is_there(&dir.path().join("never"));
    workload.container.startup = Some(api::Probe { failure_threshold: 100_000, ..never });
    let mut bench = Bench::with(workload).await;
    let revision = bench.until(|revision| revision.replicas.iter().any(|replica| replica.spawned.is_some())).await;
    let replica = &revision.replicas[0];
    assert_eq!(replica.state, ReplicaState::Starting);
    assert!(Some(replica.created) <= replica.spawned, "{replica:?}");
    bench.end().await;
}

#[tokio::test]
async fn what_a_probe_printed_is_among_the_last_words() {
    let command = ["sh", "-c", "echo no weights at all; exit 3"].map(str::to_owned).to_vec();
    let probe = api::Probe { failure_threshold: 1, ..api::Probe::new(api::Check::Exec { command }) };
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    workload.container.startup = Some(probe);
    let mut bench = Bench::with(workload).await;
    let revision = bench.until(|revision| revision.trouble.is_some()).await;
    let words = revision.trouble.as_ref().unwrap().last_words.to_string();
    let expected = "its startup probe failed 1 times: it answered that it exited with status 3: no weights at all";
    assert!(words.starts_with(expected), "{words}");
    bench.end().await;
}

#[tokio::test]
async fn nobody_is_sent_to_a_replica_that_is_to_end_and_what_it_has_begun_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    std::fs::write(&alive, "").unwrap();
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    workload.container.liveness = Some(is_there(&alive));
    workload.termination_grace = Duration::from_secs(3600);
    let mut bench = Bench::with(workload).await;
    let address = bench.until_ready(1).await.replicas[0].address.unwrap();
    // The model takes it, and never answers.
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    eventually("it is at the model", DEADLINE, || bench.shown.ends_about("taken")).await;
    std::fs::remove_file(&alive).unwrap();
    let is_out = |revision: &Revision| revision.replicas.iter().all(|replica| replica.address.is_none());
    let revision = bench.until(is_out).await;
    assert_eq!(revision.replicas[0].state, ReplicaState::Unready);
    let mut followed = bench.revision.clone();
    let gone = followed.wait_for(|revision| revision.replicas.iter().all(|replica| &*replica.name != "m-1"));
    let gone = tokio::time::timeout(Duration::from_millis(500), gone).await.is_ok();
    assert!(!gone, "it is not asked to end while a request is there");
    drop(client);
    std::fs::write(&alive, "").unwrap();
    bench.until(|revision| ready(revision) == ["m-2"]).await;
    bench.end().await;
}

#[tokio::test]
async fn a_replica_whose_liveness_probe_fails_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    std::fs::write(&alive, "").unwrap();
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    workload.container.liveness = Some(is_there(&alive));
    let mut bench = Bench::with(workload).await;
    bench.until_ready(1).await;
    std::fs::remove_file(&alive).unwrap();
    let revision = bench.until(|revision| revision.trouble.is_some()).await;
    let words = revision.trouble.as_ref().unwrap().last_words.to_string();
    assert!(words.starts_with("its liveness probe failed 3 times"), "{words}");
    std::fs::write(&alive, "").unwrap();
    bench.until(|revision| !ready(revision).is_empty() && !ready(revision).contains(&"m-1".to_owned())).await;
    bench.end().await;
}
