use units::{EndpointKey, RevisionKey};

use super::*;
use crate::endpoint::Knob;

fn faults_of(text: &str) -> Vec<String> {
    read(&[("f.yaml", text)]).faults.0.iter().map(ToString::to_string).collect()
}

fn warnings_of(text: &str) -> Vec<String> {
    let reading = read(&[("f.yaml", text)]);
    assert_eq!(reading.faults.to_string(), "");
    reading.warnings.iter().map(ToString::to_string).collect()
}

fn documents_of(text: &str) -> Documents {
    let reading = read(&[("f.yaml", text)]);
    assert_eq!(reading.faults.to_string(), "");
    reading.documents
}

/// An endpoint of revision `v1` with these lines in its `spec`, and that revision.
fn endpoint_with(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{ name: m }}\nspec:\n  traffic: [{{ revision: v1 }}]\n{spec}---\n{}",
        workload("v1", "")
    )
}

/// A workload with these lines in its first container.
fn workload(name: &str, container: &str) -> String {
    let container: String = container.lines().map(|line| format!("          {line}\n")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\nspec:\n  template:\n    spec:\n      containers:\n        - command: [serve]\n{container}"
    )
}

/// An endpoint with nothing special, and its revision with these lines in its first container.
fn container_with(container: &str) -> String {
    let endpoint = "apiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: { name: m }\nspec: { traffic: [{ revision: v1 }] }\n---\n";
    format!("{endpoint}{}", workload("v1", container))
}

#[test]
fn the_example_with_nine_faults_tells_all_that_a_file_can_show() {
    let text = include_str!("../../../../examples/nine-faults.yaml");
    let reading = read(&[("nine-faults.yaml", text)]);
    insta::assert_snapshot!(reading.faults.to_string());
}

#[test]
fn every_field_that_is_not_served_yet_is_refused_by_name() {
    insta::assert_snapshot!(
        faults_of(&endpoint_with(
            "rollout: { candidate: v2 }
ports: [{ name: http, port: 80 }, { name: grpc, port: 8081, protocol: h2c }]"
        ))
        .join("\n")
    );
}

#[test]
fn every_fault_of_a_shadow_is_told_at_once() {
    insta::assert_snapshot!(
        faults_of(&endpoint_with(
            "shadow:
  - { revision: v1 }
  - { revision: v4, percent: 101, wake: sometimes, compare: { tolerance: 2, ignore: [id, /outputs/0/id] } }
  - { revision: v3, compare: { tolerence: 0 } }
  - { revision: v3, percent: 5 }"
        ))
        .join("\n")
    );
}

#[test]
fn a_shadow_has_defaults_and_its_answers_are_not_compared_unless_somebody_says_so() {
    let text = endpoint_with("shadow: [{ revision: v3 }, { revision: v4, percent: 5, wake: true, compare: {} }]");
    let documents = read(&[("f.yaml", &format!("{text}---\n{}---\n{}", workload("v3", ""), workload("v4", "")))]);
    assert!(documents.faults.0.is_empty(), "{}", documents.faults);
    let endpoint = &documents.documents.endpoints[0].value;
    let told: Vec<_> = endpoint.shadows.iter().map(|one| (one.target.name(), one.percent.get(), one.wake)).collect();
    assert_eq!(told, [("v3", 100, false), ("v4", 5, true)]);
    let compared: Vec<_> = endpoint.shadows.iter().map(|shadow| shadow.compare.clone()).collect();
    assert_eq!(compared, [None, Some(compare::Rules::default())]);
}

#[test]
fn every_fault_of_match_and_sticky_is_told_at_once() {
    insta::assert_snapshot!(
        faults_of(&endpoint_with(
            "match:
  - { header: { name: 'x beta', exact: '1' }, to: v1 }
  - { header: { exact: '1', prefix: '2' }, cookie: { name: a }, to: v2 }
  - { to: v1 }
  - { path: { exact: v1/models }, method: get, to: v1 }
  - { path: { prefix: '/a?b' } }
  - { path: { regex: '(/a' }, cookie: { name: a, regex: '(?=b)' }, too: v1 }
  - { header: { name: x-a, regex: '[^/]{999}' }, to: 5 }
  - nonsense
sticky: { header: '', cookie: 'a;b', clientAddress: false, setCookie: 'yes' }"
        ))
        .join("\n")
    );
}

#[test]
fn headers_that_nobody_can_see_and_more_expressions_than_activators_pay_for_are_told() {
    let entries =
        (0..9).map(|number| format!("  - {{ path: {{ regex: '/{number}' }}, to: v1 }}\n")).collect::<String>();
    let faults = faults_of(&endpoint_with(&format!(
        "match:\n{entries}  - {{ header: {{ name: Rouse-Tag, exact: a }}, to: v1 }}\nsticky: {{ header: TE }}"
    )));
    let told = faults.join("\n");
    assert_eq!(faults.len(), 3, "{told}");
    for (place, what) in [
        ("spec.match: ", "at most 8 regular expressions in all; these are 9"),
        ("spec.match[9].header.name: ", "not there to be looked at"),
        ("spec.sticky.header: ", "not there to be looked at"),
    ] {
        assert!(faults.iter().any(|fault| fault.contains(place) && fault.contains(what)), "{what}: {told}");
    }
}

#[test]
fn a_match_with_too_much_and_a_cookie_for_nobody_are_told() {
    let long = "a".repeat(257);
    let text = format!(
        "match: [{{ header: {{ name: x-a, exact: {long} }}, to: v1 }}]\nsticky: {{ clientAddress: true, setCookie: true }}"
    );
    let faults = faults_of(&endpoint_with(&text));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("spec.match[0].header.exact") && faults[0].ends_with("at most 256 characters"),
        "{faults:?}"
    );
    assert!(faults[1].ends_with("spec.sticky.setCookie: true: setCookie is said of a cookie"), "{faults:?}");
}

#[test]
fn a_match_is_not_blamed_for_an_entry_of_traffic_that_cannot_be_read() {
    let text = endpoint_with("match: [{ method: GET, to: v2 }]")
        .replace("traffic: [{ revision: v1 }]", "traffic: [{ revision: v1, percent: 100 }, { revision: V2 }]");
    assert!(text.contains("V2"), "{text}");
    let faults = faults_of(&text);
    assert!(faults.len() == 1 && faults[0].contains("spec.traffic[1].revision: V2"), "{faults:?}");
}

#[test]
fn everything_that_a_container_cannot_have_here_is_told_at_once() {
    insta::assert_snapshot!(
        faults_of(&container_with(
            "args: [--port, 8080, yes]
enviroment: []
env: [{ name: A, value: 1 }, { name: B, valueFrom: { secretKeyRef: { name: s, key: k } } }, { name: 'C=D', value: x }]
envFrom: [{ configMapRef: { name: c } }]
ports: [{ containerPort: 70000 }]
readinessProbe: { httpGet: { port: 8080, path: healthz, host: example.com, scheme: HTTPS }, periodSeconds: 0 }
livenessProbe: { tcpSocket: { port: 8080 }, exec: { command: [] }, successThreshold: 2 }
startupProbe: { grpc: { port: http } }"
        ))
        .join("\n")
    );
}

#[test]
fn every_field_of_an_endpoint_has_bounds() {
    insta::assert_snapshot!(
        faults_of(
            "apiVersion: rouse.dev/v1
kind: ModelEndpoint
metadata: { name: Model, namespace: a.b, label: {} }
spec:
  hosts: [UPPER.example.com, m.ns.svc.cluster.local, 'h:80', a.example.com, a.example.com]
  ports: [{ name: http, port: 0, protocol: http3 }]
  traffic:
    - { revision: v1, percent: 101, tag: Tag }
    - { revision: v1, percent: '5' }
    - { inferenceService: x, percent: -1 }
    - nonsense
  path: direct
  containerConcurrency: -1
  timeouts: { request: 5, idle: 30h, respons: 1s }
  queue: { maxRequests: 0, maxBytes: 256MB, maxWait: 0s }
  autoscaling: { minReplicas: 1.5, target: many, window: 60, metric: 5, maxReplica: 3 }
  answerHeaders: 'no'
"
        )
        .join("\n")
    );
}

#[test]
fn knobs_are_bounded_as_knatives_annotations_are() {
    let text = "apiVersion: rouse.dev/v1alpha1
kind: ModelEndpoint
metadata: { name: m }
spec:
  traffic:
    - { revision: v1, percent: 50, autoscaling: { targetUtilizationPercentage: 0 } }
    - { revision: v2, percent: 50 }
  autoscaling: { window: 2s, metric: cpu, aggregation: median, panicThresholdPercentage: 50, minReplicas: 5, maxReplicas: 2 }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: v1, annotations: { autoscaling.knative.dev/target: '-3' } }
spec: { template: { metadata: { annotations: { autoscaling.knative.dev/minScale: 'few' } }, spec: { containers: [{ command: [serve] }] } } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: v2 }
spec: { template: { spec: { containers: [{ command: [serve] }] } } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: config-autoscaler }
data: { stable-window: 5h, max-scale-up-rate: '0.5' }
";
    insta::assert_snapshot!(faults_of(text).join("\n"));
}

#[test]
fn other_kinds_and_versions_are_refused() {
    let text = "apiVersion: v1
kind: Service
---
apiVersion: apps/v1
kind: Deploymnt
---
kind: ConfigMap
metadata: { name: other }
---
- a list
---
apiVersion: v1
metadata: {}
";
    insta::assert_snapshot!(faults_of(text).join("\n"));
}

#[test]
fn an_endpoint_gets_knatives_defaults() {
    let documents = documents_of(&endpoint_with(""));
    let expected = ModelEndpoint::new(EndpointKey::new("default", "m"), "v1");
    assert_eq!(documents.endpoints[0].value, expected);
    assert_eq!(documents.deployments[0].value.container.own_port(None), 8080);
}

#[test]
fn a_field_given_as_null_is_a_field_left_out() {
    let documents = documents_of(&endpoint_with("hosts: null\nqueue:\nautoscaling: ~"));
    assert_eq!(documents.endpoints[0].value, ModelEndpoint::new(EndpointKey::new("default", "m"), "v1"));
}

#[test]
fn knobs_become_annotations() {
    let documents = documents_of(&endpoint_with(
        "autoscaling: { target: 10.0, maxReplicas: 5, window: 90s, scaleToZeroRetention: 1m, aggregation: weighted-exponential }",
    ));
    let autoscaling = &documents.endpoints[0].value.autoscaling;
    assert_eq!(autoscaling.0.get(&Knob::Target).map(String::as_str), Some("10"));
    insta::assert_debug_snapshot!(autoscaling.annotations());
}

#[test]
fn every_knob_is_an_annotation_that_knative_knows() {
    for knob in Knob::ALL {
        let known = kpa::policy::Annotation::ALL.iter().any(|annotation| annotation.name() == knob.annotation());
        assert!(known, "{}", knob.annotation());
    }
}

#[test]
fn the_port_of_a_container_is_found_as_documented() {
    for (ports, own) in [
        ("[]", 8080),
        ("[{ containerPort: 9000 }, { containerPort: 9001 }]", 9000),
        ("[{ containerPort: 9000 }, { name: http, containerPort: 9001 }]", 9001),
    ] {
        let documents = documents_of(&container_with(&format!("ports: {ports}")));
        assert_eq!(documents.deployments[0].value.container.own_port(None), own, "{ports}");
    }
}

#[test]
fn a_probe_of_the_containers_own_port_is_fine_by_number_and_by_name() {
    let ports = "ports: [{ name: metrics, containerPort: 9090 }, { name: http1, containerPort: 8000 }]\n";
    for good in ["http1", "8000"] {
        documents_of(&container_with(&format!("{ports}readinessProbe: {{ httpGet: {{ port: {good} }} }}")));
    }
    for foreign in ["metrics", "9090", "8080", "unheard-of"] {
        let faults =
            faults_of(&container_with(&format!("{ports}readinessProbe: {{ httpGet: {{ port: {foreign} }} }}")));
        assert_eq!(
            faults,
            [format!(
                "f.yaml:15:46: spec.template.spec.containers[0].readinessProbe.httpGet.port: {foreign}: 8000 or http1: \
                 the container's own port is the only one that a replica has here"
            )]
        );
    }
}

#[test]
fn a_file_for_a_cluster_is_accepted_whole() {
    let text = include_str!("cluster.yaml");
    let documents = documents_of(text);
    assert_eq!(documents.deployments[0].value.key, RevisionKey::new("shop", "recommender-v1"));
    insta::assert_debug_snapshot!(documents.deployments[0].value);
}

#[test]
fn what_belongs_to_two_endpoints_is_refused_in_the_second() {
    let endpoint = |name: &str, more: &str| {
        format!(
            "---\napiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{ name: {name} }}\nspec: {{ traffic: [{{ revision: v1 }}]{more} }}\n"
        )
    };
    let text = [
        endpoint("a", ", hosts: [x.example.com]"),
        endpoint("b", ", hosts: [x.example.com, a.default]"),
        "---\n".to_owned(),
        workload("v1", ""),
    ]
    .concat();
    assert_eq!(
        faults_of(&text),
        [
            "f.yaml:10:31: spec.traffic[0].revision: v1: a Deployment that no other endpoint names; a has this one",
            "f.yaml:10:46: spec.hosts[0]: x.example.com: a host that no other endpoint has; this one is a's",
            "f.yaml:10:61: spec.hosts[1]: a.default: a host that no other endpoint has; this one is a's",
        ]
    );
}

#[test]
fn replicas_that_speak_differently_need_a_word_from_the_endpoint() {
    let text = |ports: &str| {
        format!(
            "apiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{ name: m }}\nspec:\n  {ports}\n  traffic: [{{ revision: v1, percent: 50 }}, {{ revision: v2, percent: 50 }}]\n---\n{}---\n{}",
            workload("v1", "ports: [{ name: h2c, containerPort: 1 }]"),
            workload("v2", "ports: [{ name: http1, containerPort: 1 }]")
        )
    };
    assert!(
        faults_of(&text(""))[0].starts_with("f.yaml:6:56: spec.traffic[1].revision: v2: "),
        "{:?}",
        faults_of(&text(""))
    );
    documents_of(&text("ports: [{ protocol: http1 }]"));
}

#[test]
fn faults_stand_in_the_order_of_files_and_lines() {
    let files = [("b.yaml", "kind: X\n---\nkind: Y\n"), ("a.yaml", "kind: Z\n")];
    let places: Vec<String> =
        read(&files).faults.0.iter().filter_map(|fault| fault.place.as_ref()).map(ToString::to_string).collect();
    assert_eq!(places, ["b.yaml:1:7", "b.yaml:3:7", "a.yaml:1:7"]);
}

#[test]
fn revisions_are_found_across_files() {
    let endpoint = endpoint_with("");
    let (endpoint, deployment) = endpoint.split_once("---\n").unwrap();
    assert_eq!(read(&[("a.yaml", endpoint), ("b.yaml", deployment)]).faults.to_string(), "");
}

#[test]
fn a_document_that_is_not_yaml_puts_no_blame_on_who_refers_to_it() {
    let text = endpoint_with("");
    let faults = faults_of(&text.replace("kind: Deployment", "kind: [Deployment"));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("not YAML"), "{faults:?}");
}

#[test]
fn nothing_to_serve_is_a_fault() {
    assert_eq!(
        faults_of(&workload("v1", "")),
        ["f.yaml:1:1: no ModelEndpoint: at least one; without it nothing is served"]
    );
    assert!(faults_of("# only a comment\n")[0].starts_with("f.yaml:1:1: nothing in it: at least one document"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = endpoint_with("") + "---\n" + &workload("stray", "");
    let text = text.replace(
        "metadata: { name: v1 }",
        "metadata: { name: v1, annotations: { autoscaling.knative.dev/max-scle: '3' } }",
    );
    insta::assert_snapshot!(warnings_of(&text).join("\n"));
}

proptest::proptest! {
    #[test]
    fn no_change_of_a_good_file_makes_it_panic(
        at in 0usize..2000, cut in 0usize..40, put in r"[ \n:,\-&*!\[\]{}0-9a-z\x22']{0,12}",
    ) {
        let text = include_str!("cluster.yaml");
        let boundary = |mut at: usize| { while !text.is_char_boundary(at) { at -= 1; } at };
        let start = boundary(at.min(text.len()));
        let end = boundary((start + cut).min(text.len()));
        let changed = format!("{}{put}{}", &text[..start], &text[end..]);
        let reading = read(&[("f.yaml", changed)]);
        for fault in &reading.faults.0 {
            proptest::prop_assert!(!fault.to_string().contains('\n'), "{fault}");
        }
    }
}
