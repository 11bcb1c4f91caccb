//! What is applied to a cluster (`deploy/base`) and the code agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Everything that `kubectl apply -k deploy/base` sends, but the CustomResourceDefinition.
fn base() -> Vec<Value> {
    let folder = deploy().join("base");
    let kustomization = documents(&folder.join("kustomization.yaml")).remove(0);
    let named: BTreeSet<&str> =
        kustomization["resources"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let there = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| name != "kustomization.yaml").collect();
    let expected: BTreeSet<&str> = there.iter().map(String::as_str).chain(["../crds"]).collect();
    assert_eq!(named, expected, "each file is named, and each named file is there");
    there.iter().flat_map(|name| documents(&folder.join(name))).collect()
}

fn object<'a>(base: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    base.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// A field deep within.
fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {object}"))
}

#[test]
fn every_object_is_named_marked_as_ours_and_in_our_namespace() {
    for object in base() {
        let name = at(&object, "/metadata/name");
        assert!(name.is_string() && at(&object, "/apiVersion").is_string(), "{object}");
        assert_eq!(object["metadata"]["labels"][PART_OF.0], PART_OF.1, "{name}");
        let spans_the_cluster = ["Namespace", "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration"]
            .iter()
            .any(|kind| object["kind"] == *kind);
        let namespace = object["metadata"]["namespace"].as_str();
        assert_eq!(namespace, (!spans_the_cluster).then_some("rouse"), "{name}");
    }
}

#[test]
fn its_pods_are_found_by_the_labels_that_the_watch_asks_for() {
    let base = base();
    for component in ["activator", "autoscaler"] {
        let deployment = object(&base, "Deployment", &format!("rouse-{component}"));
        let labels = at(deployment, "/spec/template/metadata/labels");
        assert_eq!((&labels[PART_OF.0], &labels[COMPONENT]), (&PART_OF.1.into(), &component.into()));
        assert_eq!(at(deployment, "/spec/selector/matchLabels"), labels);
        let budget = object(&base, "PodDisruptionBudget", &format!("rouse-{component}"));
        assert_eq!(at(budget, "/spec/selector/matchLabels"), labels);
        let service = object(&base, "Service", &format!("rouse-{component}"));
        assert_eq!(at(service, "/spec/selector"), labels);
        let account = at(deployment, "/spec/template/spec/serviceAccountName").as_str().unwrap();
        object(&base, "ServiceAccount", account);
        for kind in ["ClusterRoleBinding", "RoleBinding"] {
            for binding in base.iter().filter(|object| object["kind"] == kind) {
                object_of_role(&base, binding);
            }
        }
    }
}

fn object_of_role(base: &[Value], binding: &Value) {
    let role = at(binding, "/roleRef");
    object(base, role["kind"].as_str().unwrap(), role["name"].as_str().unwrap());
    for subject in at(binding, "/subjects").as_array().unwrap() {
        object(base, "ServiceAccount", subject["name"].as_str().unwrap());
    }
}

#[test]
fn pods_are_told_where_they_are_and_have_the_ports_that_the_code_speaks_to() {
    let base = base();
    for (component, port, number) in
        [("activator", "http", Site::SHARED_PORT), ("autoscaler", "streams", Site::STREAMS_PORT)]
    {
        let deployment = object(&base, "Deployment", &format!("rouse-{component}"));
        let container = at(deployment, "/spec/template/spec/containers/0");
        assert_eq!(container["image"], format!("rouse.dev/{component}"));
        let env = container["env"].as_array().unwrap();
        let set: Vec<&str> = env.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(set, ["POD_NAMESPACE", "POD_NAME", "POD_UID"]);
        let ports = container["ports"].as_array().unwrap();
        let of = |name: &str| ports.iter().find(|port| port["name"] == name).map(|port| port["containerPort"].clone());
        assert_eq!(of(port), Some(number.into()));
        assert_eq!(of("admin"), Some(9090.into()));
    }
}

#[test]
fn what_the_code_asks_for_by_name_is_what_its_role_names() {
    let base = base();
    let role = object(&base, "Role", "rouse-autoscaler");
    let rules = role["rules"].as_array().unwrap();
    let named = |resource: &str| -> Vec<&str> {
        let of_it = rules.iter().filter(|rule| rule["resources"][0] == resource);
        of_it.filter_map(|rule| rule["resourceNames"][0].as_str()).collect()
    };
    assert_eq!(named("leases"), [LEASE]);
    assert_eq!(named("configmaps"), ["config-autoscaler", REVISIONS, TRUST]);
    assert_eq!(named("secrets"), [AUTHORITY, ACTIVATOR_TLS]);
    let role = object(&base, "Role", "rouse-activator");
    assert_eq!(at(role, "/rules/0/resourceNames"), &serde_json::json!([ACTIVATOR_TLS]));
    let activator = object(&base, "Deployment", "rouse-activator");
    assert_eq!(at(activator, "/spec/template/spec/serviceAccountName"), ACTIVATOR_ACCOUNT);
    let token = at(activator, "/spec/template/spec/volumes/0/projected/sources/0/serviceAccountToken");
    assert_eq!(token["audience"], AUDIENCE);
    object(&base, "ConfigMap", "config-autoscaler");
    object(&base, "ConfigMap", REVISIONS);
}

#[test]
fn the_webhook_stands_in_nobodys_way_and_leads_to_the_port_that_is_served() {
    let base = base();
    let registered = object(&base, "MutatingWebhookConfiguration", WEBHOOK);
    let webhooks = at(registered, "/webhooks").as_array().unwrap();
    assert_eq!(webhooks.len(), 1);
    let webhook = &webhooks[0];
    assert_eq!((&webhook["failurePolicy"], &webhook["reinvocationPolicy"]), (&"Ignore".into(), &"Never".into()));
    assert!(at(webhook, "/timeoutSeconds").as_u64().unwrap() <= 3);
    assert_eq!(at(webhook, "/objectSelector/matchLabels")[crate::names::INJECT], "true");
    let rule = &webhook["rules"][0];
    assert_eq!(rule["resources"], serde_json::json!(["pods"]));
    assert_eq!(rule["operations"], serde_json::json!(["CREATE"]));
    let service = at(webhook, "/clientConfig/service");
    assert_eq!((&service["name"], &service["path"]), (&WEBHOOK.into(), &crate::webhook::PATH.into()));
    assert_eq!(
        webhook["clientConfig"].get("caBundle"),
        None,
        "that is the leader's, and an installation must not undo it"
    );
    let port = at(object(&base, "Service", WEBHOOK), "/spec/ports/0");
    assert_eq!(port["port"], service["port"]);
    let container = at(object(&base, "Deployment", "rouse-autoscaler"), "/spec/template/spec/containers/0");
    let named = container["ports"].as_array().unwrap().iter().find(|declared| declared["name"] == port["targetPort"]);
    assert_eq!(named.unwrap()["containerPort"], 8443);
    let role = object(&base, "ClusterRole", "rouse-autoscaler");
    let rules = role["rules"].as_array().unwrap();
    let of_webhooks = rules.iter().find(|rule| rule["resources"][0] == "mutatingwebhookconfigurations").unwrap();
    assert_eq!(of_webhooks["resourceNames"], serde_json::json!([WEBHOOK]));
}

#[test]
fn pods_may_do_nothing_that_they_need_not() {
    let base = base();
    for deployment in base.iter().filter(|object| object["kind"] == "Deployment") {
        let pod = at(deployment, "/spec/template/spec");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = at(pod, "/containers/0/securityContext");
        assert_eq!(
            (&container["allowPrivilegeEscalation"], &container["readOnlyRootFilesystem"]),
            (&false.into(), &true.into())
        );
        assert_eq!(container["capabilities"]["drop"][0], "ALL");
    }
    for role in base.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")) {
        let text = role["rules"].to_string();
        assert!(!text.contains('*'), "{text}");
        let of_secrets = |rule: &&serde_json::Value| rule["resources"].to_string().contains("secrets");
        for rule in role["rules"].as_array().unwrap().iter().filter(of_secrets) {
            assert_eq!(role["kind"], "Role", "in Rouse's own namespace alone");
            let makes_only = rule["verbs"] == serde_json::json!(["create"]);
            assert!(makes_only || rule["resourceNames"].is_array(), "by name alone: {rule}");
        }
    }
}
