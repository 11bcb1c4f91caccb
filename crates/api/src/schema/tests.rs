mod generated;
mod judge;
mod samples;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::judge::judge;
use self::samples::{Leaf, leaves, samples};
use super::*;
use crate::crd::crd;
use crate::endpoint::{ModelEndpoint, bounds};
use crate::fault::Fault;

/// Every field of `spec` that there is, and what makes sense of them together.
fn everything() -> Value {
    json!({
        "hosts": ["recommender.example.com"],
        "ports": [
            { "name": "http", "port": 80, "containerPort": 8080, "protocol": "http1" },
            { "name": "grpc", "port": 8081, "containerPort": 8081, "protocol": "h2c" },
        ],
        "traffic": [
            { "revision": "v1", "percent": 60 },
            { "revision": "v2", "percent": 10, "tag": "candidate", "autoscaling": { "maxReplicas": 2 } },
            { "inferenceService": "iris", "percent": 30 },
        ],
        "match": [
            { "header": { "name": "x-beta", "exact": "1" }, "to": "v2" },
            { "cookie": { "name": "beta", "regex": "[ab]" }, "path": { "prefix": "/v2/" }, "method": "POST", "to": "iris" },
        ],
        "sticky": { "cookie": "session", "setCookie": true },
        "onUnavailable": "fallback",
        "shadow": [{ "revision": "v3", "percent": 100, "wake": false, "compare": { "tolerance": 0.001, "ignore": ["/id"] } }],
        "rollout": {
            "candidate": "v2",
            "steps": [{ "percent": 5, "pause": "10m" }, { "percent": 50, "pause": "10m" }],
            "gate": { "minRequests": 100, "maxErrorPercent": 1, "maxLatencyRatio": 1.5 },
            "keep": "10m",
        },
        "path": "auto",
        "containerConcurrency": 10,
        "timeouts": { "request": "300s", "responseStart": "0s", "idle": "0s" },
        "queue": { "maxRequests": 10000, "maxBytes": "256Mi", "maxWait": "300s" },
        "autoscaling": {
            "metric": "concurrency", "target": 10, "targetUtilizationPercentage": 70, "minReplicas": 0, "maxReplicas": 5,
            "initialReplicas": 1, "activationReplicas": 2, "window": "60s", "panicWindowPercentage": 10,
            "panicThresholdPercentage": 200, "targetBurstCapacity": -1, "scaleDownDelay": "0s", "scaleToZeroRetention": "0s",
            "aggregation": "linear",
        },
        "answerHeaders": true,
    })
}

fn object(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "rouse.dev/v1alpha1",
        "kind": "ModelEndpoint",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": spec,
    })
}

/// What an API server says of an object.
fn refused(object: &Value) -> Vec<(String, String)> {
    judge(&crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", object)
}

/// What the reader says of it in a file, with the Deployments that it names and a ConfigMap that allows what can be allowed.
fn read_faults(object: &Value) -> Vec<Fault> {
    let mut documents = vec![object.clone()];
    let listed = |list: &str| object["spec"][list].as_array().into_iter().flatten();
    let names: BTreeSet<&str> =
        listed("traffic").chain(listed("shadow")).filter_map(|target| target["revision"].as_str()).collect();
    documents.extend(names.into_iter().map(|name| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "template": { "spec": { "containers": [{ "command": ["serve"] }] } } },
        })
    }));
    documents.push(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "config-autoscaler" },
        "data": { "allow-zero-initial-scale": "true" },
    }));
    let text: Vec<String> = documents.iter().map(ToString::to_string).collect();
    let faults = crate::read(&[("f.yaml", text.join("\n---\n"))]).faults.0;
    // A Deployment with a name that is none has faults of its own, and an InferenceService is for a cluster only.
    let of_object = |fault: &Fault| fault.path.starts_with("spec.") || fault.path.is_empty();
    faults.into_iter().filter(|fault| of_object(fault) && !fault.to_string().contains("on one machine")).collect()
}

/// A `spec` in which only this is said, beside what has to be.
fn only(path: &str, value: &Value) -> Value {
    let mut spec = json!({ "traffic": [{ "revision": "v1" }] });
    if path == "traffic[].inferenceService" {
        spec["traffic"] = json!([{}]);
    }
    // What a field goes with.
    for (beneath, needed, companion) in [
        ("match[].", "match[].to", json!("v1")),
        ("match[].to", "match[].method", json!("GET")),
        ("match[].header.", "match[].header.name", json!("x-a")),
        ("match[].header.name", "match[].header.exact", json!("1")),
        ("match[].cookie.", "match[].cookie.name", json!("a")),
        ("match[].cookie.name", "match[].cookie.exact", json!("1")),
        ("match[].to", "traffic[].revision", value.clone()),
        ("shadow[].", "shadow[].revision", json!("v3")),
        ("sticky.setCookie", "sticky.cookie", json!("a")),
    ] {
        if path.starts_with(beneath) {
            put(&mut spec, needed, companion);
        }
    }
    put(&mut spec, path, value.clone());
    // Percents add up to 100.
    if path == "traffic[].percent" {
        let rest = 100 - value.as_i64().unwrap_or(100).clamp(0, 100);
        put_entry(&mut spec["traffic"], json!({ "revision": "v2", "percent": rest }));
    }
    spec
}

fn put_entry(list: &mut Value, entry: Value) {
    list.as_array_mut().unwrap().push(entry);
}

/// Sets what a path leads to; in lists the first entry.
fn put(root: &mut Value, path: &str, value: Value) {
    let mut node = root;
    for step in path.split('.') {
        let (name, in_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        if !node.is_object() {
            *node = json!({});
        }
        node = &mut node[name];
        if in_list {
            if !node.is_array() {
                *node = json!([null]);
            }
            node = &mut node[0];
        }
    }
    *node = value;
}

fn at_first(path: &str) -> String {
    format!("spec.{}", path.replace("[]", "[0]"))
}

/// Leaves of `spec`, by their paths beneath it.
fn with_leaves(look: impl Fn(&Leaf<'_>)) {
    let spec = spec();
    let all = leaves(&spec, "", true);
    assert!(50 < all.len());
    all.into_iter().for_each(|leaf| look(&Leaf { path: leaf.path[1..].to_owned(), ..leaf }));
}

#[test]
fn every_bound_is_the_same_for_files_and_for_an_api_server() {
    with_leaves(|Leaf { path, schema, served }| {
        if !served {
            return;
        }
        let (good, bad) = samples(schema);
        for value in &good {
            let object = object("m", &only(path, value));
            assert_eq!(refused(&object), [], "an API server: {path}: {value}");
            let faults: Vec<Fault> = read_faults(&object).into_iter().filter(|f| !f.is_not_yet_supported()).collect();
            assert_eq!(faults, [], "the reader: {path}: {value}");
        }
        for value in &bad {
            let object = object("m", &only(path, value));
            let here = at_first(path);
            let judged = refused(&object);
            assert!(
                judged.iter().any(|(at, _)| at[1..].starts_with(&here)),
                "an API server: {path}: {value}: {judged:?}"
            );
            let faults = read_faults(&object);
            assert!(faults.iter().any(|fault| fault.path == here), "the reader: {path}: {value}: {faults:?}");
            // How far a knob may go depends on more than the object.
            if !path.contains("autoscaling") {
                let faults = ModelEndpoint::from_object(&object).unwrap_err();
                assert!(faults.0.iter().any(|fault| fault.path == here), "from_object: {path}: {value}: {faults}");
            }
        }
    });
}

#[test]
fn every_field_that_is_not_served_is_bounded_too() {
    with_leaves(|Leaf { path, schema, served }| {
        if *served {
            return;
        }
        for value in samples(schema).1 {
            let mut spec = everything();
            put(&mut spec, path, value.clone());
            let judged = refused(&object("m", &spec));
            assert!(judged.iter().any(|(at, _)| at[1..].starts_with(&at_first(path))), "{path}: {value}: {judged:?}");
        }
    });
}

#[test]
fn every_field_that_is_not_served_is_refused_by_the_reader_and_says_so_in_its_description() {
    let mut found = 0;
    let mut said = everything();
    let faults = read_faults(&object("m", &said));
    for Field { name, schema, .. } in fields(&spec()) {
        if schema.not_served.is_some() {
            found += 1;
            let fault = faults.iter().find(|fault| fault.path == format!("spec.{name}"));
            assert!(fault.is_some_and(Fault::is_not_yet_supported), "{name}: {fault:?}");
            said.as_object_mut().unwrap().remove(*name);
        }
    }
    assert_eq!(found, bounds::NOT_SERVED.len());
    // What is left is not a whole field.
    let left: Vec<String> = read_faults(&object("m", &said)).into_iter().map(|fault| fault.path).collect();
    assert_eq!(left, ["spec.ports[1]"]);
    let description = |schema: &Value| schema["description"].as_str().unwrap().contains("NotYetSupported");
    let spec = spec().to_json();
    let top = &spec["properties"];
    for schema in [&top["ports"], &top["rollout"]] {
        assert!(description(schema), "{schema}");
    }
}

fn fields(schema: &Schema) -> Vec<&Field> {
    match &schema.shape {
        Shape::Map(fields) => fields.iter().collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_reader_knows_the_fields_of_the_schema_and_no_others() {
    let root = crate::yaml::Node::of_json(&object("m", &everything()));
    let report = crate::read::Report::new(None);
    ModelEndpoint::read(crate::read::Spot::root(&root, &report)).unwrap();
    let known = report.known.take();
    let mut of_schema = BTreeMap::new();
    maps(&spec(), "spec", &mut of_schema);
    for (path, names) in &of_schema {
        assert_eq!(known.get(path), Some(names), "{path}");
    }
    let beneath: Vec<&String> = known.keys().filter(|path| path.starts_with("spec")).collect();
    assert_eq!(beneath, of_schema.keys().collect::<Vec<_>>());
}

/// The names of the fields of every map that is served.
fn maps(schema: &Schema, path: &str, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    if schema.not_served.is_some() {
        return;
    }
    match &schema.shape {
        Shape::Map(fields) => {
            found.insert(path.to_owned(), fields.iter().map(|field| field.name).collect());
            for field in fields {
                maps(&field.schema, &format!("{path}.{}", field.name), found);
            }
        }
        Shape::List { item, .. } => maps(item, &format!("{path}[]"), found),
        _ => {}
    }
}

#[test]
fn lists_are_as_long_for_the_reader_as_for_an_api_server() {
    let host = |i: u64| json!(format!("h{i}.example.com"));
    let target = |i: u64| json!({ "revision": format!("v{i}"), "percent": if i == 0 { 100 } else { 0 } });
    let one = |i: u64| json!({ "path": { "exact": format!("/{i}") }, "to": "v1" });
    let list = |most: u64, each: &dyn Fn(u64) -> Value| (0..most).map(each).collect::<Value>();
    for (most, name, each) in
        [(64, "hosts", &host as &dyn Fn(u64) -> Value), (16, "traffic", &target), (32, "match", &one)]
    {
        let fits = object("m", &only(name, &list(most, each)));
        assert_eq!((refused(&fits), read_faults(&fits)), (vec![], vec![]));
        let too_long = object("m", &only(name, &list(most + 1, each)));
        assert_eq!(refused(&too_long)[0].0, format!(".spec.{name}"));
        assert_eq!(read_faults(&too_long)[0].path, format!("spec.{name}"));
    }
    let none = object("m", &json!({ "traffic": [] }));
    assert_eq!((refused(&none).len(), read_faults(&none).len()), (1, 1));
    let ports = list(17, &|i| json!({ "name": format!("p{i}"), "port": i + 1 }));
    let many = object("m", &only("ports", &ports));
    assert_eq!((refused(&many).len(), read_faults(&many).len()), (1, 1));
}

/// What breaks a rule, alone, and what is said of it.
fn broken() -> Vec<(Value, &'static str)> {
    let with = |path: &str, value: Value| {
        let mut spec = everything();
        put(&mut spec, path, value);
        spec
    };
    vec![
        (json!({ "traffic": [{ "revision": "v1", "percent": 99 }] }), "percents add up to 100"),
        (json!({ "traffic": [{ "revision": "v1" }, { "revision": "v2" }] }), "percents add up to 100"),
        (
            json!({ "traffic": [{ "revision": "v1", "percent": 60 }, { "revision": "v2", "percent": 60 }] }),
            "percents add up to 100",
        ),
        (
            json!({ "traffic": [{ "revision": "v1", "percent": 60 }, { "revision": "v1", "percent": 40 }] }),
            "each revision or inferenceService once",
        ),
        (
            json!({ "traffic": [{ "revision": "v1", "percent": 60 }, { "inferenceService": "v1", "percent": 40 }] }),
            "each revision or inferenceService once",
        ),
        (
            json!({ "traffic": [{ "revision": "v1", "percent": 60, "tag": "t" }, { "revision": "v2", "percent": 40, "tag": "t" }] }),
            "each tag once",
        ),
        (json!({ "traffic": [{ "percent": 100 }] }), "exactly one of revision (a Deployment) and inferenceService"),
        (
            json!({ "traffic": [{ "revision": "v1", "inferenceService": "iris" }] }),
            "exactly one of revision (a Deployment) and inferenceService",
        ),
        (
            only("hosts", &json!(["m.shop.svc.cluster.local"])),
            "a name outside the cluster domain; inside it, names are Kubernetes' own",
        ),
        (
            only("hosts", &json!(["cluster.local"])),
            "a name outside the cluster domain; inside it, names are Kubernetes' own",
        ),
        (only("ports", &json!([{ "name": "a" }, { "name": "b", "port": 80 }])), "each port once"),
        (only("ports", &json!([{}, { "name": "http", "port": 81 }])), "each name of a port once"),
        (
            only("autoscaling", &json!({ "minReplicas": 3, "maxReplicas": 2 })),
            "minReplicas is at most maxReplicas, unless that is 0 for no limit; for each revision, what traffic[].autoscaling says \
             counts before spec.autoscaling",
        ),
        (
            json!({
                "traffic": [{ "revision": "v1", "autoscaling": { "maxReplicas": 2 } }],
                "autoscaling": { "minReplicas": 3, "maxReplicas": 4 },
            }),
            "minReplicas is at most maxReplicas, unless that is 0 for no limit; for each revision, what traffic[].autoscaling says \
             counts before spec.autoscaling",
        ),
        (
            only("autoscaling", &json!({ "minReplicas": 3, "activationReplicas": 2 })),
            "minReplicas is at most activationReplicas; for each revision, what traffic[].autoscaling says counts before \
             spec.autoscaling",
        ),
        (
            only("traffic[].autoscaling", &json!({ "activationReplicas": 3, "maxReplicas": 2 })),
            "activationReplicas is at most maxReplicas, unless that is 0 for no limit; for each revision, what \
             traffic[].autoscaling says counts before spec.autoscaling",
        ),
        (
            only("autoscaling", &json!({ "targetBurstCapacity": -0.5 })),
            "0 or more, or -1 for the activator always in the path",
        ),
        (only("autoscaling", &json!({ "window": "6500ms" })), "a duration in whole seconds, such as 90s"),
        (only("autoscaling", &json!({ "scaleDownDelay": "1s1ns" })), "a duration in whole seconds, such as 90s"),
        (
            with("match[].to", json!("v9")),
            "each match[].to is a revision or inferenceService of traffic; one that is to get nothing else has percent 0 there",
        ),
        (with("match", json!([{ "to": "v1" }])), "at least one of header, cookie, path and method"),
        (
            with("match[].header", json!({ "name": "a", "exact": "a", "prefix": "a" })),
            "exactly one of exact, prefix and regex",
        ),
        (with("match[].cookie", json!({ "name": "a" })), "exactly one of exact, prefix and regex"),
        (with("match[].path", json!({ "prefix": "v1" })), "a path begins with / and ends before the query"),
        (with("match[].path", json!({ "exact": "/a?b" })), "a path begins with / and ends before the query"),
        (with("match[].header.name", json!("a b")), "letters, digits and -!#$%&*+.^_`|~"),
        (with("match[].method", json!("get")), "a method such as GET or POST, in capitals"),
        (with("sticky", json!({})), "exactly one of header, cookie and clientAddress"),
        (
            with("sticky", json!({ "header": "a", "clientAddress": true })),
            "exactly one of header, cookie and clientAddress",
        ),
        (with("sticky", json!({ "clientAddress": false })), "true, or leave it out"),
        (with("sticky", json!({ "header": "" })), "letters, digits and -!#$%&*+.^_`|~"),
        (with("sticky", json!({ "header": "a", "setCookie": false })), "setCookie is said of a cookie"),
        (with("shadow[].compare.ignore", json!(["id"])), "a JSON pointer, which begins with /"),
        (
            with("shadow[].revision", json!("v1")),
            "each shadow[].revision is a revision that is not in traffic: copies would count into the demand of one that is",
        ),
        (with("rollout.candidate", json!("v3")), "rollout.candidate is a revision or inferenceService of traffic"),
        (with("rollout.steps", json!([{ "percent": 50 }, { "percent": 5 }])), "percents grow from step to step"),
    ]
}

#[test]
fn each_rule_is_broken_by_an_example_alone_and_the_reader_agrees() {
    let mut seen = BTreeSet::new();
    for (spec, message) in broken() {
        let object = object("m", &spec);
        let judged: Vec<String> = refused(&object).into_iter().map(|(_, message)| message).collect();
        assert_eq!(judged, [message], "{spec}");
        assert!(!read_faults(&object).is_empty(), "{spec}");
        seen.insert(message);
    }
    let mut all = BTreeSet::new();
    rules(&spec(), &mut |rule| all.extend([rule.message.clone()]));
    assert_eq!(all.iter().map(String::as_str).collect::<BTreeSet<_>>(), seen);
}

fn rules(schema: &Schema, look: &mut dyn FnMut(&Rule)) {
    schema.rules.iter().for_each(&mut *look);
    match &schema.shape {
        Shape::Map(fields) => fields.iter().for_each(|field| rules(&field.schema, look)),
        Shape::List { item, .. } => rules(item, look),
        _ => {}
    }
}

#[test]
fn names_of_an_endpoint_are_those_of_a_service() {
    let spec = |tag: &str| json!({ "traffic": [{ "revision": "v1", "tag": tag }] });
    let long = "a".repeat(63);
    for (name, tag, fits) in [
        ("m", "t", true),
        (&long[..31], &long[..31], true),
        (&long[..32], &long[..31], false),
        ("0m", "t", false),
        ("a.b", "t", false),
    ] {
        let object = object(name, &spec(tag));
        assert_eq!(refused(&object).is_empty(), fits, "{name} {tag}: {:?}", refused(&object));
        assert_eq!(ModelEndpoint::from_object(&object).is_ok(), fits, "{name} {tag}");
    }
}

#[test]
fn the_whole_tree_is_accepted_by_an_api_server() {
    assert_eq!(refused(&object("recommender", &everything())), []);
}

#[test]
fn a_field_that_exists_nowhere_is_refused_by_both() {
    for path in ["hots", "traffic[].revison", "ports[].prot", "queue.maxByte", "timeouts.requests", "autoscaling.min"] {
        let object = object("m", &only(path, &json!("1")));
        let unknown = |(at, why): &(String, String)| at[1..] == at_first(path) && why == "unknown field";
        assert!(refused(&object).iter().any(unknown), "{path}");
        assert!(read_faults(&object).iter().any(|fault| fault.path == at_first(path)), "{path}");
    }
}

#[test]
fn texts_and_lists_are_bounded_and_bounds_are_numbers_that_an_api_server_can_hold() {
    fn look(schema: &Value, path: &str) {
        match schema["type"].as_str() {
            Some("array") => assert!(schema["maxItems"].is_u64(), "{path}"),
            Some("string") => {
                let bounded = ["maxLength", "enum", "format"].iter().any(|word| !schema[word].is_null());
                assert!(bounded, "{path}");
            }
            _ => {}
        }
        // Beyond 2^53 an API server, which reads bounds as floating point, means another number.
        assert!(schema["maximum"].as_f64().is_none_or(|most| most <= 9e15), "{path}");
        if schema["items"].is_object() {
            look(&schema["items"], &format!("{path}[]"));
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            look(schema, &format!("{path}.{name}"));
        }
    }
    look(&spec().to_json(), "spec");
    look(&status().to_json(), "status");
}

#[test]
fn every_field_says_what_it_is_and_what_counts_without_it() {
    fn look(schema: &Schema, path: &str, needed: bool) {
        let text = schema.description();
        assert!(text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase()), "{path}: {text}");
        match &schema.shape {
            Shape::Map(fields) => {
                for field in fields {
                    look(&field.schema, &format!("{path}.{}", field.name), field.needed);
                }
            }
            Shape::List { item, .. } => {
                assert!(needed || path.starts_with("status") || schema.default.is_some(), "{path}: no default");
                look(item, &format!("{path}[]"), true);
            }
            // One of several has to be there: that is a rule of the map.
            _ if [
                "revision",
                "inferenceService",
                "exact",
                "prefix",
                "regex",
                "method",
                "header",
                "cookie",
                "clientAddress",
            ]
            .iter()
            .any(|name| path.ends_with(&format!(".{name}"))) => {}
            _ => assert!(needed || path.starts_with("status") || schema.default.is_some(), "{path}: no default"),
        }
    }
    look(&spec(), "spec", true);
    look(&status(), "status", true);
}
