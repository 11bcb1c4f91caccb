//! Pods of many shapes, and what holds for all of them.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A document of `shapes.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) shape: String,
    pub(crate) pod: Value,
    #[serde(default)]
    then: Map<String, Value>,
    #[serde(default)]
    done: Vec<String>,
    #[serde(default)]
    mind: Vec<String>,
    #[serde(default)]
    alone: Vec<String>,
    #[serde(default)]
    there: bool,
}

impl Shape {
    pub(crate) fn all() -> Vec<Self> {
        serde_saphyr::from_multiple(include_str!("shapes.yaml")).unwrap()
    }

    fn expected(&self) -> Outcome {
        match (self.there, self.alone.is_empty()) {
            (true, _) => Outcome::AlreadyThere,
            (false, false) => Outcome::LeftAlone(self.alone.clone()),
            (false, true) => Outcome::Injected { done: self.done.clone(), mind: self.mind.clone() },
        }
    }
}

pub(crate) fn sidecar() -> Sidecar {
    let plain = Sidecar::of("rouse.dev/queue-proxy:1", "rouse", "cluster.local", 8081);
    Sidecar { authorities: Some("PEM".into()), ..plain }
}

fn injected(pod: &Value) -> (Value, Outcome) {
    let mut pod = pod.clone();
    let outcome = inject(&mut pod, Some("m"), &sidecar(), TOKEN);
    (pod, outcome)
}

fn containers<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][list].as_array().into_iter().flatten()
}

fn said(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

/// A fact of a pod, in words.
fn fact(pod: &Value, what: &str) -> String {
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let ours = &pod["spec"]["initContainers"][0];
    let probes = ["startup", "liveness", "readiness"];
    let drained = |container: &&Value| container["lifecycle"]["preStop"]["httpGet"]["path"] == "/drained";
    let keys = |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let amounts = |kind: &str| {
        let all = ours["resources"][kind].as_object().into_iter().flatten();
        let each = all.map(|(what, amount)| format!("{what}={}", amount.as_str().unwrap_or_default()));
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| format!("{kind} {}", each.join(" ")))
    };
    match what {
        "initContainers" => said(containers(pod, "initContainers").map(name)),
        "hooks" => said(containers(pod, "containers").filter(drained).map(name)),
        "lifecycle" => said(keys(&pod["spec"]["containers"][0]["lifecycle"])),
        "probes" => said(containers(pod, "containers").flat_map(|container| {
            let kept = probes.iter().filter(|kind| !container[format!("{kind}Probe")].is_null());
            kept.map(|kind| format!("{} {kind}", name(container))).collect::<Vec<_>>()
        })),
        "grace" => said(pod["spec"]["terminationGracePeriodSeconds"].as_u64().map(|seconds| seconds.to_string())),
        "resources" => said(["requests", "limits"].into_iter().filter_map(amounts)),
        "user" => said(ours["securityContext"]["runAsUser"].as_u64().map(|user| user.to_string())),
        variable => said(variable_of(ours, variable)),
    }
}

fn variable_of(container: &Value, name: &str) -> Option<String> {
    let env = container["env"].as_array()?;
    Some(env.iter().find(|variable| variable["name"] == name)?["value"].as_str()?.to_owned())
}

#[test]
fn each_shape_becomes_what_is_written_beside_it() {
    let shapes = Shape::all();
    assert!(30 <= shapes.len());
    for shape in &shapes {
        let (pod, outcome) = injected(&shape.pod);
        assert_eq!(outcome, shape.expected(), "{}", shape.shape);
        for (what, expected) in &shape.then {
            assert_eq!(&fact(&pod, what), expected.as_str().unwrap(), "{}: {what}", shape.shape);
        }
        if !matches!(outcome, Outcome::Injected { .. }) {
            assert_eq!(pod, shape.pod, "{}", shape.shape);
        }
    }
}

#[test]
fn the_sidecar_is_all_that_restricted_pod_security_asks_for() {
    let (pod, _) = injected(&Shape::all()[0].pod);
    let security = &pod["spec"]["initContainers"][0]["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"], json!({ "type": "RuntimeDefault" }));
}

#[test]
fn it_tells_whose_numbers_it_reports() {
    let env_of = |revision| {
        let mut pod = Shape::all()[0].pod.clone();
        let _ = inject(&mut pod, revision, &sidecar(), TOKEN);
        let env = pod["spec"]["initContainers"][0]["env"].as_array().unwrap().clone();
        env.into_iter().find(|variable| variable["name"] == "REVISION").unwrap()
    };
    assert_eq!(env_of(Some("recommender-v1")), json!({ "name": "REVISION", "value": "recommender-v1" }));
    assert_eq!(env_of(None)["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
}

#[test]
fn the_hooks_bring_the_token_that_the_sidecar_was_given() {
    let (pod, _) = injected(&Shape::all()[0].pod);
    let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"];
    assert_eq!(hook["httpHeaders"][0]["value"], format!("Bearer {TOKEN}"));
    assert_eq!(hook["port"], 8022);
    assert_eq!(variable_of(&pod["spec"]["initContainers"][0], "ADMIN_TOKEN").as_deref(), Some(TOKEN));
}

#[test]
fn it_proves_which_pod_it_is_by_a_token_that_is_good_for_nothing_else() {
    let (pod, _) = injected(&json!({ "spec": {
        "containers": [{ "name": "model", "ports": [{ "containerPort": 8080 }] }],
        "volumes": [{ "name": "models", "emptyDir": {} }],
    }}));
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert_eq!(volumes[0]["name"], "models");
    let token = &volumes[1]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!((&token["audience"], &token["path"]), (&json!("rouse"), &json!("token")));
    let ours = &pod["spec"]["initContainers"][0];
    assert_eq!(
        ours["volumeMounts"],
        json!([
            { "name": volumes[1]["name"], "mountPath": "/var/run/secrets/rouse.dev", "readOnly": true },
        ])
    );
    assert_eq!(variable_of(ours, "AUTOSCALER_TOKEN").as_deref(), Some("/var/run/secrets/rouse.dev/token"));
    assert_eq!(variable_of(ours, "AUTOSCALER_CA").as_deref(), Some("PEM"));
}

#[test]
fn in_plain_tcp_there_is_nothing_to_prove() {
    let mut pod = Shape::all()[0].pod.clone();
    let plain = Sidecar { authorities: None, ..sidecar() };
    let _ = inject(&mut pod, Some("m"), &plain, TOKEN);
    assert_eq!(pod["spec"]["volumes"], Value::Null);
    let ours = &pod["spec"]["initContainers"][0];
    assert_eq!((&ours["volumeMounts"], variable_of(ours, "AUTOSCALER_CA")), (&Value::Null, None));
    assert_eq!(variable_of(ours, "AUTOSCALER").as_deref(), Some("rouse-autoscaler.rouse.svc.cluster.local:8081"));
}

#[test]
fn what_a_newer_kubernetes_says_is_kept() {
    let pod = json!({ "spec": {
        "newSpecField": { "a": 1 },
        "containers": [{ "name": "model", "newField": true, "ports": [{ "containerPort": 8080, "newer": 2 }] }],
    }});
    let (after, outcome) = injected(&pod);
    assert!(matches!(outcome, Outcome::Injected { .. }));
    assert_eq!(after["spec"]["newSpecField"], json!({ "a": 1 }));
    assert_eq!(after["spec"]["containers"][0]["newField"], true);
    assert_eq!(after["spec"]["containers"][0]["ports"][0]["newer"], 2);
}

#[test]
fn what_is_no_pod_is_left_alone_with_the_reason() {
    for pod in [json!({}), json!({ "spec": { "containers": "none" } }), json!(null), json!({ "spec": [] })] {
        let (after, outcome) = injected(&pod);
        assert!(matches!(outcome, Outcome::LeftAlone(_)), "{outcome:?}");
        assert_eq!(after, pod);
    }
}

fn workload(kind: &str, labels: &Value) -> Value {
    let pod = json!({ "metadata": { "labels": labels }, "spec": Shape::all()[0].pod["spec"] });
    let metadata = json!({ "name": "recommender-v1", "namespace": "shop" });
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": { "template": pod } })
}

#[test]
fn whatever_has_pods_is_asked_by_their_label() {
    let wanted = json!({ INJECT: "true" });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        workload("Deployment", &wanted),
        workload("StatefulSet", &wanted),
        workload("ReplicaSet", &json!({})),
        workload("DaemonSet", &wanted),
        { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "words" } },
    ]});
    let mut after = list.clone();
    let changed = inject_workload(&mut after, false, &sidecar(), TOKEN);
    let told: Vec<(&str, bool)> =
        changed.iter().map(|changed| (changed.name.as_str(), changed.outcome.is_some())).collect();
    assert_eq!(
        told,
        [
            ("Deployment shop/recommender-v1", true),
            ("StatefulSet shop/recommender-v1", true),
            ("ReplicaSet shop/recommender-v1", false),
        ]
    );
    let has = |index: usize| !after["items"][index]["spec"]["template"]["spec"]["initContainers"].is_null();
    assert_eq!([0, 1, 2, 3].map(has), [true, true, false, false]);
    assert_eq!(after["items"][4], list["items"][4]);
}

#[test]
fn all_are_injected_on_request_but_those_that_say_no() {
    for (labels, gets_it) in [(json!({}), true), (json!({ INJECT: "false" }), false), (json!({ INJECT: "true" }), true)]
    {
        let mut deployment = workload("Deployment", &labels);
        let changed = inject_workload(&mut deployment, true, &sidecar(), TOKEN);
        assert_eq!(changed[0].outcome.is_some(), gets_it, "{labels}");
    }
}

#[test]
fn a_pod_is_a_replica_of_its_owners_owner() {
    let pod = |kind: &str, name: &str, hash: Option<&str>| {
        json!({ "metadata": {
            "labels": { "pod-template-hash": hash },
            "ownerReferences": [{ "kind": "Other", "name": "x" }, { "kind": kind, "name": name, "controller": true }],
        }})
    };
    let of = |pod: Value| revision_of(&pod);
    assert_eq!(of(pod("ReplicaSet", "shop-v1-7f9c", Some("7f9c"))).as_deref(), Some("shop-v1"));
    assert_eq!(of(pod("ReplicaSet", "alone", None)).as_deref(), Some("alone"));
    assert_eq!(of(pod("StatefulSet", "shop-v1-7f9c", Some("7f9c"))).as_deref(), Some("shop-v1-7f9c"));
    assert_eq!(of(json!({ "metadata": { "name": "bare" } })), None);
}

prop_compose! {
    /// A container of all sorts.
    fn any_container()(
        name in "[a-c]{1,2}",
        ports in prop::collection::vec((prop::option::of("(http|h2c|web)"), 1_u16..9_000), 0..3),
        probe in prop::option::of(prop_oneof![
            Just(json!({ "httpGet": { "port": "http", "path": "/x" } })),
            Just(json!({ "tcpSocket": { "port": 80 } })),
            Just(json!({ "exec": { "command": ["a"] } })),
        ]),
        hook in prop::option::of(Just(json!({ "preStop": { "sleep": { "seconds": 3 } } }))),
        more in 0..3_u8,
    ) -> Value {
        let ports: Vec<Value> = ports.into_iter().map(|(name, port)| json!({ "name": name, "containerPort": port })).collect();
        let mut container = json!({ "name": name, "image": "m", "ports": ports, "unknown": more });
        if let Some(probe) = probe { container["readinessProbe"] = probe; }
        if let Some(hook) = hook { container["lifecycle"] = hook; }
        container
    }
}

prop_compose! {
    fn any_pod()(
        containers in prop::collection::vec(any_container(), 0..4),
        inits in prop::option::of(prop::collection::vec(any_container(), 0..3)),
        grace in prop::option::of(0_u32..1_000),
        host_network in any::<bool>(),
        volumes in prop::option::of(prop::collection::vec("[a-c]{1,2}", 0..3)),
    ) -> Value {
        let volume = |name: String| json!({ "name": name, "emptyDir": {} });
        let volumes = volumes.map(|names| names.into_iter().map(volume).collect::<Vec<_>>());
        json!({
            "metadata": { "name": "m" },
            "spec": {
                "containers": containers, "initContainers": inits, "terminationGracePeriodSeconds": grace,
                "hostNetwork": host_network, "volumes": volumes, "other": "kept",
            },
        })
    }
}

proptest! {
    #[test]
    fn twice_is_once(pod in any_pod()) {
        let (once, first) = injected(&pod);
        let (twice, second) = injected(&once);
        prop_assert_eq!(&once, &twice);
        match first {
            Outcome::Injected { .. } => prop_assert_eq!(second, Outcome::AlreadyThere),
            other => prop_assert_eq!(second, other),
        }
    }

    #[test]
    fn nothing_but_what_it_is_for_is_touched_and_the_order_is_kept(pod in any_pod()) {
        let (mut after, outcome) = injected(&pod);
        if !matches!(outcome, Outcome::Injected { .. }) {
            prop_assert_eq!(after, pod);
            return Ok(());
        }
        // Take out again what it is for: what is left is as it was, one by one.
        let before = pod["spec"].as_object().unwrap();
        let spec = after["spec"].as_object_mut().unwrap();
        let inits = spec["initContainers"].as_array_mut().unwrap();
        prop_assert_eq!(&inits.remove(0)["name"], SIDECAR);
        prop_assert_eq!(&*inits, before["initContainers"].as_array().map_or(&[][..], Vec::as_slice));
        let grace = |spec: &Map<String, Value>| spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        prop_assert!(grace(before) <= grace(spec) && 315 <= grace(spec));
        let volumes = spec["volumes"].as_array_mut().unwrap();
        prop_assert_eq!(&volumes.pop().unwrap()["name"], "rouse-token");
        prop_assert_eq!(&*volumes, before["volumes"].as_array().map_or(&[][..], Vec::as_slice));
        let mut moved = 0;
        for (after, before) in spec["containers"].as_array_mut().unwrap().iter_mut().zip(before["containers"].as_array().unwrap()) {
            if before["lifecycle"].is_null() {
                prop_assert!(after["lifecycle"]["preStop"]["httpGet"].is_object());
                after.as_object_mut().unwrap().remove("lifecycle");
            }
            if after["readinessProbe"] != before["readinessProbe"] {
                moved += 1;
                after["readinessProbe"] = before["readinessProbe"].clone();
            }
            prop_assert_eq!(after, before);
        }
        prop_assert!(moved <= 1 || has_namesakes(before));
        prop_assert_eq!(&spec["other"], &before["other"]);
    }
}

/// Kubernetes takes no two containers of one name.
fn has_namesakes(spec: &Map<String, Value>) -> bool {
    let names: Vec<&Value> =
        spec["containers"].as_array().unwrap().iter().map(|container| &container["name"]).collect();
    (1..names.len()).any(|index| names[..index].contains(&names[index]))
}
