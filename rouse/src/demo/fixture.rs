//! Answers of an admin port, for tests.

use api::admin::{Demand, Endpoint, Mode, Path, Point, Revision, State};

pub(super) fn endpoint(because: &str, ready: u32, desired: u32) -> Endpoint {
    let revision = Revision {
        namespace: "default".to_owned(),
        name: "demo-v1".to_owned(),
        state: State::Active,
        path: Path::Proxied,
        mode: Mode::Stable,
        because: Some(because.to_owned()),
        reason: None,
        zero_blocked_by: Vec::new(),
        adopted: true,
        desired_replicas: Some(desired),
        ready_replicas: ready,
        starting_replicas: 0,
        demand: Demand { metric: "concurrency".to_owned(), stable: None, panic: None, target: Some(3.5) },
        settings: Default::default(),
        refused_settings: Vec::new(),
        replicas: Vec::new(),
        outlook: None,
    };
    Endpoint {
        namespace: "default".to_owned(),
        name: "demo".to_owned(),
        url: None,
        hosts: Vec::new(),
        traffic: Vec::new(),
        state: State::Active,
        revisions: vec![revision],
        outcomes: None,
    }
}

pub(super) fn point(rate: f64, in_flight: u32, held: u32) -> Point {
    Point {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        requests_per_second: Some(rate),
        answers_per_second: Some(rate),
        errors_per_second: Some(0.0),
        refusals_per_second: Some(0.0),
        p50_seconds: Some(0.2),
        p99_seconds: Some(0.4),
        in_flight: Some(in_flight),
        held: Some(held),
        stable: Some(1.0),
        panic: Some(1.0),
        target: Some(3.5),
        mode: Mode::Stable,
        desired_replicas: Some(1),
        ready_replicas: 1,
        starting_replicas: 0,
    }
}

pub(super) fn decision(because: &str, mode: Mode) -> api::admin::Decision {
    api::admin::Decision {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        until: "2026-01-02T03:04:05.000Z".to_owned(),
        times: 1,
        want: Some(5),
        because: because.to_owned(),
        sentence: kpa::Because::Panicking.sentence().to_owned(),
        burst_room: 0,
        stable: Some(8.0),
        panic: Some(17.2),
        ready_replicas: 2,
        starting_replicas: 0,
        held_requests: 3,
        mode,
        min_replicas: 0,
        max_replicas: Some(10),
        rate_up_replicas: 1_000,
        rate_down_replicas: 0,
        wait_seconds: None,
    }
}
