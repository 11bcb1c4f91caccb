use std::time::Duration;

use super::*;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn planner() -> Planner {
    Planner::new(LOOPBACK, LOOPBACK, Machine::this())
}

fn documents(text: &str) -> Documents {
    let reading = api::read(&[("f.yaml", text)]);
    assert_eq!(reading.faults.to_string(), "");
    reading.documents
}

/// An endpoint with these fields in its `spec`, of a revision named like it that runs `command`.
fn model(name: &str, spec: &str, command: &str) -> String {
    format!(
        "---\napiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{ name: {name} }}\n\
         spec: {{ traffic: [{{ revision: {name} }}], {spec} }}\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\n\
         spec: {{ template: {{ spec: {{ containers: [{{ command: [{command}] }}] }} }} }}\n"
    )
}

fn free_port() -> u16 {
    Machine::this().any_port(LOOPBACK).unwrap().port()
}

#[tokio::test]
async fn an_endpoint_keeps_its_port_and_counts_its_changes() {
    let mut planner = planner();
    let of = |planner: &mut Planner, text: &str| planner.plan(&documents(text)).described.endpoints.remove(0);
    let first = of(&mut planner, &model("m", "", "serve"));
    let same = of(&mut planner, &model("m", "", "other"));
    let changed = of(&mut planner, &(model("m", "containerConcurrency: 3", "serve") + &model("other", "", "serve")));
    assert_eq!([first.generation, same.generation, changed.generation], [1, 1, 2]);
    assert!(first.own_port.is_some());
    assert_eq!([same.own_port, changed.own_port], [first.own_port; 2]);
}

#[tokio::test]
async fn a_port_in_the_file_is_the_endpoints_own_and_the_first_one_gets_it() {
    let port = free_port();
    let spec = format!("ports: [{{ port: {port} }}]");
    let plan = planner().plan(&documents(&(model("a", &spec, "serve") + &model("b", &spec, "serve"))));
    let ports: Vec<Option<u16>> =
        plan.described.endpoints.iter().map(|endpoint| endpoint.own_port.map(|port| port.port())).collect();
    assert_eq!(ports[0], Some(port));
    assert_ne!(ports[1], Some(port));
}

#[tokio::test]
async fn no_two_get_the_same_port_where_any_will_do() {
    let text: String = (0..1000).map(|number| model(&format!("m{number}"), "", "serve")).collect();
    let plan = planner().plan(&documents(&text));
    let ports: BTreeSet<SocketAddr> =
        plan.described.endpoints.iter().filter_map(|endpoint| endpoint.own_port).collect();
    assert_eq!(ports.len(), 1000);
}

#[tokio::test]
async fn a_port_below_1024_is_the_clusters() {
    let plan = planner().plan(&documents(&model("m", "ports: [{ port: 80 }]", "serve")));
    assert_ne!(plan.described.endpoints[0].own_port.map(|port| port.port()), Some(80));
}

#[tokio::test]
async fn without_a_port_it_gets_the_next_free_one() {
    let shared = SocketAddr::new(LOOPBACK.ip(), free_port());
    let plan = Planner::new(shared, LOOPBACK, Machine::this()).plan(&documents(&model("m", "", "serve")));
    let own = plan.described.endpoints[0].own_port.unwrap().port();
    assert!((1..=100).contains(&(own - shared.port())), "{own} after {shared}");
}

#[tokio::test]
async fn the_shared_port_may_be_named_and_the_admin_port_may_not() {
    let taken = [(); 2].map(|()| daemon::Listener::bind(LOOPBACK).unwrap());
    let [listen, admin] = taken.each_ref().map(daemon::Listener::address);
    let faults_with = |port: u16| {
        let mut faults = Vec::new();
        let documents = documents(&model("m", &format!("ports: [{{ port: {port} }}]"), "rouse"));
        Planner::new(listen, admin, Machine::this()).look(&documents, false, &mut faults, &mut Vec::new());
        faults.len()
    };
    assert_eq!([faults_with(listen.port()), faults_with(admin.port())], [0, 1]);
}

#[tokio::test]
async fn every_port_that_is_taken_is_told_with_its_place() {
    let taken = [(); 3].map(|()| daemon::Listener::bind(LOOPBACK).unwrap());
    let [listen, admin, own] = taken.each_ref().map(daemon::Listener::address);
    let spec = format!("ports: [{{ port: {} }}]", own.port());
    let (mut faults, mut in_use) = (Vec::new(), Vec::new());
    Planner::new(listen, admin, Machine::this()).look(
        &documents(&model("m", &spec, "rouse")),
        true,
        &mut faults,
        &mut in_use,
    );
    let starts: Vec<String> = in_use
        .iter()
        .chain(&faults)
        .map(|fault| fault.to_string().split(": a free port").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        starts,
        [
            format!("--listen: {listen}"),
            format!("--admin: {admin}"),
            format!("f.yaml:5:53: spec.ports[0].port: {}", own.port()),
        ]
    );
}

#[tokio::test]
async fn a_revision_starts_at_zero_unless_something_is_said() {
    let initial = |text: &str| planner().plan(&documents(text)).described.workloads[0].initial_scale.0;
    let config = |key: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: config-autoscaler }}\ndata: {{ {key}: '3' }}\n"
        )
    };
    assert_eq!(initial(&model("m", "", "serve")), 0);
    assert_eq!(initial(&model("m", "autoscaling: { initialReplicas: 2 }", "serve")), 2);
    assert_eq!(initial(&(model("m", "", "serve") + &config("initial-scale"))), 3);
    assert_eq!(initial(&(model("m", "", "serve") + &config("max-scale"))), 0);
}

#[tokio::test]
async fn everything_in_a_file_reaches_the_platform() {
    let text = model(
        "m",
        "hosts: [m.example.com], path: proxied, containerConcurrency: 4, timeouts: { idle: 9s, request: 0s }, \
         queue: { maxRequests: 7, maxWait: 5s }, answerHeaders: false, autoscaling: { maxReplicas: 3 }",
        "rouse, predictor",
    );
    let plan = planner().plan(&documents(&text));
    let endpoint = &plan.described.endpoints[0];
    assert_eq!(endpoint.hosts, ["m.example.com".into()]);
    assert_eq!(endpoint.path, PathPolicy::Proxied);
    assert_eq!(endpoint.container_concurrency.to_field(), 4);
    let idle = Some(Duration::from_secs(9));
    assert_eq!(endpoint.timeouts, Timeouts { request: None, response_start: None, idle });
    assert_eq!((endpoint.queue.max_requests.get(), endpoint.queue.max_wait), (7, Duration::from_secs(5)));
    assert!(!endpoint.answer_headers);
    let workload = &plan.described.workloads[0];
    assert_eq!(workload.container.command, [local::THIS_PROGRAM, "predictor"]);
    let said: Vec<(Source, usize)> = workload.layers.iter().map(|layer| (layer.source, layer.values.len())).collect();
    assert_eq!(said, [(Source::Deployment, 0), (Source::PodTemplate, 0), (Source::Traffic, 0), (Source::Endpoint, 1)]);
}

#[tokio::test]
async fn the_name_of_the_containers_port_says_how_it_is_spoken_to() {
    let text = model("m", "", "serve")
        .replace("command: [serve]", "command: [serve], ports: [{ name: h2c, containerPort: 1 }]");
    assert_eq!(planner().plan(&documents(&text)).described.endpoints[0].upstream, UpstreamProtocol::H2c);
}
