//! Nothing outlives the program, and nothing dies without a reason.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Bench, DEADLINE, PROGRAM, Tag, described, eventually, kill, parent_of};

/// A server with four forked workers, one behind another shell, one forked twice, one in a session of its own, and one
/// that also has cleared its environment.
fn runaways(tag: &Tag) -> String {
    let tag = &tag.0;
    format!(
        "sleep 3601 & sleep 3602 & sleep 3603 & sleep 3604 & \
         sh -c 'sleep 3605 & sleep 3606' & \
         (sh -c 'sleep 3607 &' &) ; \
         (setsid sleep 3608 &) ; \
         (setsid env -i TAG={tag} sleep 3609 &) ; \
         exec {PROGRAM} serve"
    )
}

/// A program of its own with one replica, so that it can be killed; it is, at the latest when the test ends.
struct Host(Child);

impl Host {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host(tag: &Tag) -> Host {
    host_of("host", tag)
}

fn host_of(kind: &str, tag: &Tag) -> Host {
    let mut host = Command::new(PROGRAM)
        .args([kind, "sh", "-c", &runaways(tag)])
        .env("TAG", &tag.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Host(host)
}

#[tokio::test]
async fn nothing_outlives_a_program_that_was_killed() {
    let tag = Tag::new();
    let mut host = host(&tag);
    eventually("all runaways run", DEADLINE, || (1..=9).all(|n| tag.pid_of(&format!("sleep 360{n}")).is_some())).await;
    host.kill();
    eventually("nothing is left", DEADLINE, || tag.alive().is_empty()).await;
}

/// The numbers that probes have written down.
fn noted(file: &std::path::Path) -> Vec<i32> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_probe_that_does_not_answer_in_time_goes_with_all_that_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = format!("setsid sleep 3611 & echo $! >> {}; wait", file.display());
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let mut workload = described::workload(&[PROGRAM, "serve"], 1);
    let check = api::Check::Exec { command };
    workload.container.readiness = Some(api::Probe { timeout: Duration::from_millis(300), ..api::Probe::new(check) });
    let bench = Bench::with(workload).await;
    eventually("it is asked twice", DEADLINE, || 2 <= noted(&file).len()).await;
    let first = noted(&file)[0];
    let is_left = || bench.tag.alive().iter().any(|(pid, _)| *pid == first);
    eventually("nothing is left of the first", DEADLINE, || !is_left()).await;
    bench.end().await;
}

#[tokio::test]
async fn no_probe_outlives_a_program_that_was_killed() {
    let tag = Tag::new();
    let mut host = host_of("asked-host", &tag);
    eventually("the probe runs", DEADLINE, || tag.pid_of("sleep 3612").is_some()).await;
    host.kill();
    eventually("nothing is left", DEADLINE, || tag.alive().is_empty()).await;
}

#[tokio::test]
async fn the_command_dies_even_if_program_and_keeper_are_killed_together() {
    let tag = Tag::new();
    let mut host = host(&tag);
    let server = tag.server().unwrap();
    // The keeper cannot see the program's end: it is stopped first.
    let keeper = parent_of(server);
    kill(keeper, "-STOP");
    host.kill();
    kill(keeper, "-KILL");
    eventually("the command is gone", DEADLINE, || tag.server().is_none()).await;
    for (pid, _) in tag.alive() {
        kill(pid, "-KILL"); // Nobody was left who could.
    }
}

#[tokio::test]
async fn what_a_killed_keeper_left_is_swept_up_and_its_replica_replaced() {
    let tag = Tag::new();
    let script = format!("(setsid sleep 3601 &); exec {PROGRAM} serve");
    let mut bench = Bench::running(&["sh", "-c", &script], 1).await;
    bench.until_ready(1).await;
    eventually("the runaway runs", DEADLINE, || bench.tag.pid_of("sleep 3601").is_some()).await;
    let runaway = bench.tag.pid_of("sleep 3601").unwrap();
    kill(parent_of(bench.tag.server().unwrap()), "-KILL");
    let revision = bench.until(|revision| support::ready(revision) == ["m-2"]).await;
    assert_eq!(revision.trouble, None);
    assert!(bench.tag.alive().iter().all(|(pid, _)| *pid != runaway));
    bench.end().await;
    drop(tag);
}

#[tokio::test]
async fn a_replica_that_goes_leaves_nothing_behind() {
    let tag = Tag::new();
    let mut bench = Bench::running(&["sh", "-c", &runaways(&tag)], 1).await;
    bench.until_ready(1).await;
    bench.scale(0).await;
    bench.until(|revision| revision.replicas.is_empty()).await;
    assert_eq!(bench.tag.alive(), []);
    assert_eq!(tag.alive(), []);
    bench.end().await;
}

/// A parent-death signal hangs on the thread that forked; a replica's is not to be one of ours, which come and go.
#[test]
fn a_replica_lives_on_when_the_thread_that_started_it_has_ended() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_name("starter")
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut bench = Bench::running(&[PROGRAM, "serve"], 1).await;
        bench.until_ready(1).await;
        eventually("the thread that started it has ended", DEADLINE, || !threads().contains(&"starter".to_owned()))
            .await;
        // Killed replicas are replaced, so a second one would tell.
        let pid = bench.tag.server().unwrap();
        bench.scale(2).await;
        let revision = bench.until_ready(2).await;
        assert_eq!(support::ready(&revision), ["m-1", "m-2"]);
        assert!(bench.tag.alive().iter().any(|(alive, _)| *alive == pid));
        bench.end().await;
    });
}

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn who_is_asked_to_end_may_finish_and_who_does_not_is_killed() {
    let finishes = format!("trap 'echo finished; exit 0' TERM; {PROGRAM} serve & wait");
    let mut polite = Bench::running(&["sh", "-c", &finishes], 1).await;
    polite.until_ready(1).await;
    polite.scale(0).await;
    polite.until(|revision| revision.replicas.is_empty()).await;
    eventually("its last line is shown", DEADLINE, || polite.shown.ends_about("m-1 | finished\n")).await;
    polite.end().await;

    let ignores = format!("trap '' TERM; {PROGRAM} serve");
    let mut workload = support::described::workload(&["sh", "-c", &ignores], 1);
    workload.termination_grace = Duration::from_millis(50);
    let mut stubborn = Bench::with(workload).await;
    stubborn.until_ready(1).await;
    stubborn.scale(0).await;
    stubborn.until(|revision| revision.replicas.is_empty()).await;
    stubborn.end().await;
}

#[tokio::test]
async fn ten_megabytes_of_output_hold_nobody_up() {
    let script =
        format!("head -c 10000000 /dev/zero | tr '\\0' 'x' | fold -w 100; echo; echo the end; exec {PROGRAM} serve");
    let mut bench = Bench::running(&["sh", "-c", &script], 1).await;
    bench.until_ready(1).await;
    eventually("the last line is shown", DEADLINE, || bench.shown.ends_about("m-1 | the end\n")).await;
    bench.end().await;
}
