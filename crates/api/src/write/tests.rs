use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, Method};
use proptest::prelude::*;
use traffic::Regex;
use units::{ConcurrencyLimit, EndpointKey, Percent, RevisionKey};

use super::*;
use crate::deployment::{ContainerPort, EnvVar};
use crate::documents::{Placed, read};
use crate::endpoint::{EndpointPort, Knob, Said, TrafficTarget};

/// Text of which YAML could make something else.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("yes".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("0x1F".to_owned()),
        Just("1_000".to_owned()),
        Just("1e3".to_owned()),
        Just(".inf".to_owned()),
        Just("12:30:45".to_owned()),
        Just("2001-01-01".to_owned()),
        Just("- a".to_owned()),
        Just("a: b #c".to_owned()),
        Just("&a *b !c".to_owned()),
        Just("<<".to_owned()),
        Just("line\nline\n".to_owned()),
        Just(" leading and trailing ".to_owned()),
        Just("$(PORT) $$(X) %YAML".to_owned()),
        Just("---".to_owned()),
        Just("\u{feff}bom \u{85} \u{2028} \u{7f}".to_owned()),
        "[ -~äß漢🦀\t\n]{0,30}",
        "[0-9.eE+_-]{1,8}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,10}[a-z0-9])?"
}

fn seconds(most: u64) -> impl Strategy<Value = Duration> {
    (1..=most).prop_map(Duration::from_secs)
}

fn knobs() -> impl Strategy<Value = Autoscaling> {
    let knob = prop_oneof![
        Just((Knob::Metric, "rps".to_owned())),
        (1u32..1000).prop_map(|tenths| (Knob::Target, (f64::from(tenths) / 10.0).to_string())),
        (3u32..9).prop_map(|most| (Knob::MaxReplicas, most.to_string())),
        (0u32..3).prop_map(|least| (Knob::MinReplicas, least.to_string())),
        (6u32..90).prop_map(|window| (Knob::Window, format!("{window}s"))),
        Just((Knob::TargetBurstCapacity, "-1".to_owned())),
        Just((Knob::ScaleToZeroRetention, "1m30s".to_owned())),
        Just((Knob::Aggregation, "linear".to_owned())),
    ];
    prop::collection::vec(knob, 0..4).prop_map(|knobs| Autoscaling(knobs.into_iter().collect()))
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        tricky().prop_map(|text| Pattern::Exact(text.into())),
        tricky().prop_map(|text| Pattern::Prefix(text.into())),
        Just(Pattern::Regex(Regex::new(r"^a|[^:]+: \d{1,3} # \w$").unwrap())),
    ]
}

fn matches() -> impl Strategy<Value = Vec<Match>> {
    let header = (prop::sample::select(vec!["x-beta", "a.b|c~", "1"]), pattern());
    let header = prop::option::of(header.prop_map(|(name, pattern)| (HeaderName::from_static(name), pattern)));
    let cookie = prop::option::of(("[!#$%&*+.^_`|~0-9A-Za-z-]{1,9}".prop_map(|name| name.into()), pattern()));
    let path = prop::option::of("/[ -~--?]{0,9}".prop_map(|path| Pattern::Prefix(path.into())));
    let method = prop::option::of(prop::sample::select(vec![Method::GET, Method::from_bytes(b"PURGE").unwrap()]));
    let one = (header, cookie, path, method, 0_usize..2);
    let one = one.prop_map(|(header, cookie, path, method, to)| Match { header, cookie, path, method, to });
    let says_something =
        |one: &Match| *one != Match { header: None, cookie: None, path: None, method: None, to: one.to };
    prop::collection::vec(one.prop_filter("has a condition", says_something), 0..4)
}

fn sticky() -> impl Strategy<Value = Option<Sticky>> {
    prop::option::of(prop_oneof![
        Just(Sticky::Header(HeaderName::from_static("yes"))),
        any::<bool>().prop_map(|set| Sticky::Cookie { name: "1_000".into(), set }),
        Just(Sticky::ClientAddress),
    ])
}

fn shadows() -> impl Strategy<Value = Vec<Shadow>> {
    let pointer = "/[a-z~/0-9]{0,9}".prop_map(String::from);
    let rules = (0.0..=1.0, prop::collection::vec(pointer, 0..3))
        .prop_map(|(tolerance, ignore)| compare::Rules { tolerance, ignore });
    let one = (0u8..=100, any::<bool>(), prop::option::of(prop_oneof![Just(compare::Rules::default()), rules]));
    let shadow = one.prop_map(|(percent, wake, compare)| Shadow {
        target: ModelEndpoint::new(EndpointKey::new("default", "m"), "v3").traffic.remove(0),
        percent: Percent::new(percent).unwrap(),
        wake,
        compare,
    });
    prop::collection::vec(shadow, 0..2).prop_map(|mut shadows| {
        shadows.iter_mut().for_each(|shadow| shadow.target.percent = Percent::default());
        shadows
    })
}

fn endpoint() -> impl Strategy<Value = ModelEndpoint> {
    let port = prop::option::of((name(), 1..u16::MAX, prop::option::of(Just(8000)), prop::option::of(any::<bool>())));
    let timeout = || prop::option::of(seconds(86_400));
    let queue = (1u32..1_000_000, 21u32..40, (1u64..3_600_000).prop_map(Duration::from_millis));
    let numbers = (0u32..100_000, timeout(), timeout(), timeout(), queue);
    let knobs = (knobs(), knobs());
    let routing = (matches(), sticky(), shadows());
    (port, prop::option::of(name()), knobs, routing, numbers, any::<[bool; 4]>()).prop_map(
        |(port, tag, (knobs, more_knobs), (matches, sticky, shadows), numbers, [proxied, quiet, host, falls_back])| {
            let (limit, request, response_start, idle, queue) = numbers;
            let mut endpoint = ModelEndpoint::new(EndpointKey::new("default", "m"), "v1");
            endpoint.port = port.map(|(name, port, container_port, h2c)| EndpointPort {
                name,
                port,
                container_port,
                protocol: h2c.map(|h2c| if h2c { Protocol::H2c } else { Protocol::Http1 }),
            });
            if let Some(tag) = tag {
                endpoint.traffic[0].percent = Percent::new(70).unwrap();
                endpoint.traffic.push(TrafficTarget {
                    revision: "v2".to_owned(),
                    inference_service: None,
                    percent: Percent::new(30).unwrap(),
                    tag: Some(tag),
                    autoscaling: more_knobs,
                });
            }
            endpoint.matches = matches;
            endpoint.matches.retain(|one| one.to < endpoint.traffic.len());
            endpoint.sticky = sticky;
            endpoint.shadows = shadows;
            endpoint.autoscaling = knobs;
            endpoint.container_concurrency = ConcurrencyLimit::from_field(limit);
            endpoint.timeouts = Timeouts { request, response_start, idle };
            let (container_concurrency, request_timeout) = (limit != 0, request != Timeouts::default().request);
            endpoint.said = Said { container_concurrency, request_timeout };
            endpoint.queue = Queue {
                max_requests: NonZeroU32::new(queue.0).unwrap(),
                max_bytes: (1 << queue.1) - u64::from(queue.0),
                max_wait: queue.2,
            };
            endpoint.path = if proxied { PathMode::Proxied } else { PathMode::Auto };
            endpoint.on_unavailable = if falls_back { OnUnavailable::Fallback } else { OnUnavailable::Fail };
            endpoint.answer_headers = !quiet;
            endpoint.hosts = if host { vec!["m.example.com".to_owned()] } else { Vec::new() };
            endpoint
        },
    )
}

fn probe(readiness: bool) -> impl Strategy<Value = Option<Probe>> {
    let port = || prop_oneof![Just(PortRef::Number(8000)), Just(PortRef::Name("http1".to_owned()))];
    let check = prop_oneof![
        (port(), "/[a-z/?=#:]{0,9}").prop_map(|(port, path)| Check::HttpGet {
            path,
            port,
            headers: vec![("x-a".to_owned(), "1".to_owned())]
        }),
        port().prop_map(|port| Check::TcpSocket { port }),
        "[a-z.]{0,9}".prop_map(|service| Check::Grpc { port: 8000, service }),
        (name(), tricky()).prop_map(|(program, argument)| Check::Exec { command: vec![program, argument] }),
    ];
    let probe = (check, seconds(9), seconds(9), seconds(9), 1u32..9, 1u32..9).prop_map(
        move |(check, initial_delay, period, timeout, success, failure_threshold)| Probe {
            check,
            initial_delay,
            period,
            timeout,
            success_threshold: if readiness { success } else { 1 },
            failure_threshold,
        },
    );
    prop::option::of(probe)
}

fn workload(key: &'static str) -> impl Strategy<Value = Deployment> {
    let words = || prop::collection::vec(tricky(), 0..4);
    let env = prop::collection::vec(("[A-Z_]{1,8}", tricky()), 0..4);
    let annotations = || prop::collection::btree_map("[a-z]{1,4}\\.example\\.com/[a-z-]{1,8}", tricky(), 0..3);
    let texts = (name(), words(), words(), env, prop::option::of(tricky()), prop::option::of(tricky()));
    (texts, (annotations(), annotations()), (probe(true), probe(false), probe(false)), seconds(99), seconds(99))
        .prop_map(
            move |((program, words, args, env, dir, image), notes, probes, progress_deadline, termination_grace)| {
                let mut workload = Deployment::new(RevisionKey::new("default", key), Vec::new());
                workload.annotations = notes.0;
                workload.template_annotations = notes.1;
                workload.progress_deadline = progress_deadline;
                workload.termination_grace = termination_grace;
                workload.container = Container {
                    name: "model".to_owned(),
                    image,
                    command: std::iter::once(program).chain(words).collect(),
                    args,
                    env: env.into_iter().map(|(name, value)| EnvVar { name, value }).collect(),
                    working_dir: dir,
                    ports: vec![ContainerPort { name: Some("http1".to_owned()), port: 8000 }],
                    readiness: probes.0,
                    liveness: probes.1,
                    startup: probes.2,
                };
                workload
            },
        )
}

fn config() -> impl Strategy<Value = Option<ConfigAutoscaler>> {
    prop::option::of(tricky()).prop_map(|value| {
        value.map(|value| ConfigAutoscaler {
            namespace: "rouse-system".to_owned(),
            data: BTreeMap::from([("_example".to_owned(), value), ("stable-window".to_owned(), "30s".to_owned())]),
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(
        endpoint in endpoint(), first in workload("v1"), second in workload("v2"), third in workload("v3"),
        config in config()
    ) {
        let documents = Documents {
            endpoints: vec![Placed::made(endpoint)],
            deployments: vec![Placed::made(first), Placed::made(second), Placed::made(third)],
            config: config.map(Placed::made),
        };
        let text = to_yaml(&documents).unwrap();
        let reading = read(&[("f.yaml", &text)]);
        prop_assert_eq!(reading.faults.to_string(), "", "{}", text);
        prop_assert_eq!(reading.documents, documents, "{}", text);
    }
}

#[test]
fn only_what_differs_from_the_default_is_written() {
    let text = include_str!("../documents/cluster.yaml");
    let plain = Documents {
        endpoints: vec![Placed::made(ModelEndpoint::new(EndpointKey::new("default", "m"), "m-1"))],
        deployments: vec![Placed::made(Deployment::new(
            RevisionKey::new("default", "m-1"),
            ["python", "serve.py", "--port", "$(PORT)"].map(str::to_owned).to_vec(),
        ))],
        config: None,
    };
    insta::assert_snapshot!("plain", to_yaml(&plain).unwrap());
    insta::assert_snapshot!("full", to_yaml(&read(&[("f.yaml", text)]).documents).unwrap());
}
