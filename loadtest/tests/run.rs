//! A load against a server that answers in every way there is: what is counted, and what is written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use loadtest::arrivals::Arrivals;
use loadtest::scenario::{Phase, Request};
use loadtest::shape::{Piece, Shape};
use loadtest::{Live, Options, Results, Scenario, Target};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The ids of the requests whose head was read, a line each.
type Begun = Arc<Mutex<String>>;

/// What is written as the answer to a request, by its number; then the connection ends unless it may be kept.
type Script = fn(u64) -> (&'static str, Then);

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Keep,
    Close,
    Hang,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nrouse-reason: queue-full\r\ncontent-length: 0\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";

async fn server(tasks: &mut JoinSet<()>, script: Script) -> (SocketAddr, Begun) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, begun) = (listener.local_addr().unwrap(), Begun::default());
    let noted = Arc::clone(&begun);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(BufReader::new(stream), script, Arc::clone(&noted)));
        }
    });
    (address, begun)
}

async fn serve(mut stream: BufReader<tokio::net::TcpStream>, script: Script, begun: Begun) {
    let mut number = 0;
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|read| 0 < read) {
        if let Some(id) = line.strip_prefix("x-request-id: ") {
            begun.lock().push_str(id);
            number = id.trim().rsplit('-').next().unwrap().parse().unwrap();
        }
        if line == "\r\n" {
            let (answer, then) = script(number);
            if stream.write_all(answer.as_bytes()).await.is_err() || then == Then::Close {
                return;
            }
            if then == Then::Hang {
                std::future::pending::<()>().await;
            }
        }
        line.clear();
    }
}

fn load(requests: f64, method: &str) -> Scenario {
    Scenario {
        name: "short".to_owned(),
        about: String::new(),
        arrivals: Arrivals::Uniform,
        seed: 7,
        request: Request { method: method.to_owned(), path: "/".to_owned(), bodies: Vec::new() },
        phases: vec![Phase {
            name: "load".to_owned(),
            shape: Shape(vec![Piece::hold(requests * 5.0, Duration::from_millis(200))]),
        }],
    }
}

async fn run(scenario: &Scenario, address: SocketAddr, options: &Options) -> Results {
    let target = Target { address, host: address.to_string(), prefix: String::new() };
    loadtest::run(scenario, &target, options, &Live::default()).await.unwrap()
}

/// A refusal, an answer that is cut, one that never comes, two failures; the others are right.
fn all_sorts(number: u64) -> (&'static str, Then) {
    match number {
        3 => (REFUSED, Then::Keep),
        5 => (HALF, Then::Close),
        7 => ("", Then::Hang),
        8 | 9 => ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", Then::Keep),
        _ => (OK, Then::Keep),
    }
}

async fn every_kind_of_end() -> (Results, Begun) {
    let mut tasks = JoinSet::new();
    let (address, begun) = server(&mut tasks, all_sorts).await;
    let options = Options { patience: Duration::from_secs(3), ..Options::usual("sorts") };
    (run(&load(20.0, "GET"), address, &options).await, begun)
}

#[tokio::test]
async fn every_end_is_counted_once_and_by_its_kind() {
    let (mut results, begun) = every_kind_of_end().await;
    let counts = serde_json::to_value(&results.counts).unwrap();
    let expected = serde_json::json!({
        "due": 20, "answered": 18, "byStatus": { "200": 15, "500": 2, "503": 1 },
        "refusedByRouse": { "queue-full": 1 }, "unanswered": { "cut": 1, "timedOut": 1 },
    });
    assert_eq!(counts, expected);
    let seconds = |of: fn(&loadtest::results::Second) -> u64| results.seconds.iter().map(of).sum::<u64>();
    assert_eq!(
        [seconds(|s| s.due), seconds(|s| s.sent), seconds(|s| s.answered), seconds(|s| s.errors)],
        [20, 20, 18, 5]
    );
    let log = begun.lock().clone();
    results.hold_against([log.as_str()]);
    let executed = results.executed.as_ref().unwrap();
    assert_eq!((executed.once, executed.never, executed.more_than_once), (20, 0, 0));
    assert_eq!(executed.lost_ids, ["sorts-5", "sorts-7"]);
    assert!(!results.nothing_was_lost());
}

#[tokio::test]
async fn what_is_due_beyond_the_most_in_flight_is_counted_as_not_sent() {
    let mut tasks = JoinSet::new();
    let (address, begun) = server(&mut tasks, |_| ("", Then::Hang)).await;
    let options = Options { most_in_flight: 4, patience: Duration::from_secs(3), ..Options::usual("many") };
    let results = run(&load(20.0, "GET"), address, &options).await;
    assert_eq!(results.counts.unanswered, [("notSent".to_owned(), 16), ("timedOut".to_owned(), 4)].into());
    assert_eq!(begun.lock().lines().count(), 4);
    assert_eq!(results.seconds.iter().map(|second| second.in_flight).max(), Some(4));
}

#[tokio::test]
async fn a_load_that_is_stopped_tells_what_came_until_then() {
    let mut tasks = JoinSet::new();
    let (address, _) = server(&mut tasks, |number| if number < 4 { (OK, Then::Keep) } else { ("", Then::Hang) }).await;
    let target = Target { address, host: address.to_string(), prefix: String::new() };
    let live = Live::default();
    // It would go on for a minute.
    let scenario = Scenario {
        phases: vec![Phase { name: String::new(), shape: Shape(vec![Piece::hold(50.0, Duration::from_secs(60))]) }],
        ..load(0.0, "POST")
    };
    let stopped = async {
        while live.snapshot().in_flight < 2 || live.snapshot().answered < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let options = Options::usual("stopped");
    let results = loadtest::run_until(&scenario, &target, &options, &live, stopped).await.unwrap();
    let unanswered = results.counts.unanswered.get("interrupted").copied().unwrap_or(0);
    assert!(results.interrupted && 2 <= unanswered, "{results}");
    assert_eq!((results.counts.answered, results.counts.due), (3, 3 + unanswered));
    assert!(!results.nothing_was_lost() && results.lasted_seconds < 30.0, "{results}");
    assert!(results.to_string().lines().next().unwrap().ends_with("seed 7, interrupted"), "{results}");
}

#[tokio::test]
async fn a_connection_that_the_server_ends_after_each_answer_loses_nothing() {
    let mut tasks = JoinSet::new();
    // It does not say so before: the next request may be under way already.
    let (address, begun) = server(&mut tasks, |_| (OK, Then::Close)).await;
    let mut results = run(&load(10.0, "POST"), address, &Options::usual("closing")).await;
    let log = begun.lock().clone();
    results.hold_against([log.as_str()]);
    assert!(results.all_went_well(), "{results}");
}

#[tokio::test]
async fn nobody_there_is_told_as_connections_that_failed() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let results = run(&load(5.0, "GET"), address, &Options::usual("nobody")).await;
    assert_eq!(results.counts.unanswered, [("connectFailed".to_owned(), 5)].into());
    assert_eq!(results.latency, None);
}

#[tokio::test]
async fn what_is_written_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../results.schema.json")).unwrap();
    let (mut results, begun) = every_kind_of_end().await;
    assert_eq!(against(&schema, &schema, &serde_json::to_value(&results).unwrap(), "$"), [] as [String; 0]);
    let log = begun.lock().clone();
    results.hold_against([log.as_str()]);
    let written = serde_json::to_value(&results).unwrap();
    assert_eq!(against(&schema, &schema, &written, "$"), [] as [String; 0]);
    // The check itself sees what is wrong.
    let mut wrong = written.clone();
    wrong["executed"]["surplus"] = 1.into();
    wrong["seconds"][0]["due"] = "many".into();
    wrong.as_object_mut().unwrap().remove("seed");
    assert_eq!(
        against(&schema, &schema, &wrong, "$"),
        ["$.executed.surplus: not in the schema", "$.seconds[0].due: not integer", "$: seed is missing"]
    );
}

/// What of JSON Schema stands in that file: types, required and additional properties, items, references.
fn against(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return against(root, root.pointer(name.trim_start_matches('#')).unwrap(), value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("a type that this check does not know: {other}"),
    };
    let mut faults = Vec::new();
    if !types.iter().any(is) {
        faults.push(format!("{at}: not {}", types.join(" or ")));
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Object(_)) => {
                faults.extend(against(root, &schema["additionalProperties"], field, &format!("{at}.{name}")));
            }
            (Value::Null, _) => faults.push(format!("{at}.{name}: not in the schema")),
            (property, _) => faults.extend(against(root, property, field, &format!("{at}.{name}"))),
        }
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        faults.extend(against(root, &schema["items"], item, &format!("{at}[{number}]")));
    }
    if let (Some(required), true) = (schema["required"].as_array(), value.is_object()) {
        let missing = required.iter().filter_map(Value::as_str).filter(|name| value.get(name).is_none());
        faults.extend(missing.map(|name| format!("{at}: {name} is missing")));
    }
    faults
}
