//! What the tests execute: a keeper when asked, else `serve [PORT]` (a model server that takes requests and answers none, on
//! `PORT` unless told another port), `host COMMAND…` (a program with one replica of that command, which says "ready"
//! once it is, and then waits to be killed) or `asked-host COMMAND…` (the same, with a liveness probe that never ends).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]
#![allow(missing_docs, reason = "a program for tests")]

#[path = "described.rs"]
mod described;

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use daemon::Clock;
use local::{LocalPlatform, Options};
use platform::{Catalogue as _, Event, ReplicaState};

fn main() -> ExitCode {
    if let Some(end) = local::keeper::run_if_asked() {
        return end;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((word, rest)) if word == "serve" => serve(rest.first().map(String::as_str)),
        Some((word, command)) if word == "host" => host(described::workload(&words_of(command), 1)),
        Some((word, command)) if word == "asked-host" => {
            let mut workload = described::workload(&words_of(command), 1);
            let probe = ["sh", "-c", "setsid sleep 3612 & wait"].map(str::to_owned).to_vec();
            let probe = api::Probe::new(api::Check::Exec { command: probe });
            workload.container.liveness = Some(api::Probe { timeout: Duration::from_secs(3600), ..probe });
            host(workload)
        }
        _ => ExitCode::from(64),
    }
}

fn serve(port: Option<&str>) -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "a model server reads its port where it wants")]
    let port = port.map_or_else(|| std::env::var("PORT").unwrap(), str::to_owned);
    match TcpListener::bind(("127.0.0.1", port.parse().unwrap())) {
        Ok(listener) => {
            eprintln!("serving on {}", listener.local_addr().unwrap());
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || take(stream));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot bind {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes what comes, says so, and answers nothing.
fn take(mut stream: TcpStream) {
    let mut some = [0; 4096];
    if let Ok(1..) = stream.read(&mut some) {
        eprintln!("taken");
        while let Ok(1..) = stream.read(&mut some) {}
    }
}

fn words_of(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

fn host(workload: local::Workload) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options {
            keeper: local::THIS_PROGRAM.into(),
            shown_on: Box::new(std::io::stderr()),
            colour: false,
            activators: Vec::new(),
            autoscalers: Vec::new(),
            budget: queue_proxy::Budget::new(1 << 30),
        };
        let platform = LocalPlatform::new(options, Clock::start());
        platform.apply(described::one(workload));
        let mut revisions = platform.catalogue().revisions();
        let Some(Event::Added(_, mut revision)) = revisions.recv().await else { panic!("the revision was described") };
        let is_ready = |revision: &platform::Revision| revision.replicas.iter().any(|r| r.state == ReplicaState::Ready);
        revision.wait_for(|revision| is_ready(revision)).await.unwrap();
        println!("ready");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
