//! Answers of an admin port, for tests.

use api::admin::{Decision, Demand, Mode, Path, Point, Replica, Revision, Setting, State, Wake};

/// A revision with two ready replicas, as it is most of the time.
pub(crate) fn revision() -> Revision {
    let setting = |value: &str, source: &str| Setting { value: value.to_owned(), source: source.to_owned() };
    let replica = |name: &str| Replica {
        name: name.to_owned(),
        address: Some("127.0.0.1:9000".to_owned()),
        ready: true,
        in_flight: Some(3),
    };
    Revision {
        namespace: "default".to_owned(),
        name: "iris-v1".to_owned(),
        state: State::Active,
        path: Path::Proxied,
        mode: Mode::Stable,
        because: Some("steady".to_owned()),
        reason: None,
        zero_blocked_by: Vec::new(),
        adopted: true,
        desired_replicas: Some(2),
        ready_replicas: 2,
        starting_replicas: 0,
        demand: Demand { metric: "concurrency".to_owned(), stable: Some(5.2), panic: Some(6.0), target: Some(3.5) },
        settings: [
            ("target", setting("5", "endpoint")),
            ("targetUtilizationPercentage", setting("70", "built-in")),
            ("minReplicas", setting("0", "built-in")),
            ("maxReplicas", setting("8", "endpoint")),
            ("window", setting("60s", "built-in")),
            ("panicWindowPercentage", setting("10", "built-in")),
            ("panicThresholdPercentage", setting("200", "built-in")),
            ("scaleToZeroGracePeriod", setting("30s", "built-in")),
            ("scaleToZeroRetention", setting("0s", "built-in")),
            ("scaleDownDelay", setting("0s", "built-in")),
            ("enableScaleToZero", setting("true", "built-in")),
        ]
        .map(|(name, setting)| (name.to_owned(), setting))
        .into(),
        refused_settings: Vec::new(),
        replicas: vec![replica("iris-v1-1"), replica("iris-v1-2")],
        outlook: None,
    }
}

/// A decision of that revision.
pub(crate) fn decision(because: kpa::Because, want: u32) -> Decision {
    Decision {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        until: "2026-01-02T03:04:35.000Z".to_owned(),
        times: 16,
        want: Some(want),
        because: because.word().to_owned(),
        sentence: because.sentence().to_owned(),
        burst_room: 0,
        stable: Some(5.2),
        panic: Some(6.0),
        ready_replicas: 2,
        starting_replicas: 0,
        held_requests: 0,
        mode: Mode::Stable,
        min_replicas: 0,
        max_replicas: Some(8),
        rate_up_replicas: 2_000,
        rate_down_replicas: 1,
        wait_seconds: None,
    }
}

/// A second of that revision.
pub(crate) fn point() -> Point {
    Point {
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        requests_per_second: Some(4.0),
        answers_per_second: Some(4.0),
        errors_per_second: Some(0.0),
        refusals_per_second: Some(0.0),
        p50_seconds: Some(0.2),
        p99_seconds: Some(0.4),
        in_flight: Some(5),
        held: Some(0),
        stable: Some(5.2),
        panic: Some(6.0),
        target: Some(3.5),
        mode: Mode::Stable,
        desired_replicas: Some(2),
        ready_replicas: 2,
        starting_replicas: 0,
    }
}

/// A wake of that revision.
pub(crate) fn wake() -> Wake {
    Wake {
        at: "2026-01-02T03:04:05.678Z".to_owned(),
        asked_by: "activator".to_owned(),
        request_id: Some("demo-1".to_owned()),
        held_requests: 3,
        ordered_seconds: Some(0.0005),
        started_seconds: Some(0.01),
        ready_seconds: Some(1.25),
        outcome: Some("served".to_owned()),
        reason: None,
    }
}
