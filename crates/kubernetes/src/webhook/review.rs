//! A question of the API server about a pod, and the answer. Pure: bytes in, bytes out.
//!
//! Of an object only `spec` is changed, field by field: what is added is all of a field's new value, so that nothing depends
//! on where something stands in a list.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ObjectReference;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::inject::{Outcome, Sidecar, inject, is_asked_for, revision_of};

/// `AdmissionReview`, as it is asked.
#[derive(Debug, Deserialize)]
struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    namespace: Option<String>,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    dry_run: Option<bool>,
}

/// `AdmissionReview`, as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An answer, and what a person should read who does not see it: pods are mostly made by controllers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// What the API server gets.
    pub(super) review: Value,
    /// What is to be told, if anything.
    pub(super) told: Option<Told>,
}

/// Something about a pod that a person should read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// Whose it is: an Event needs something that is there, and the pod is not yet.
    pub(super) owner: ObjectReference,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

/// Answers a question. `sidecar` and `token` are for the pod, if it is to have one.
///
/// # Errors
/// If it is no question.
pub(super) fn answer(asked: &[u8], sidecar: &Sidecar, token: &str) -> Result<Answer, String> {
    let Review { request } = serde_json::from_slice(asked).map_err(|error| format!("no AdmissionReview: {error}"))?;
    let before = request.object;
    let mut pod = before.clone();
    let is_pod = pod["kind"] == "Pod" && is_asked_for(&pod);
    let outcome = is_pod.then(|| inject(&mut pod, revision_of(&before).as_deref(), sidecar, token));
    let (reason, words) = match outcome {
        None | Some(Outcome::AlreadyThere) => ("", Vec::new()),
        Some(Outcome::Injected { mind, .. }) => ("SidecarInjected", mind),
        Some(Outcome::LeftAlone(why)) => ("SidecarLeftOut", why),
    };
    let patch = patch(&before["spec"], &pod["spec"]);
    let response = Response {
        uid: request.uid,
        allowed: true,
        patch_type: (!patch.is_empty()).then_some("JSONPatch"),
        patch: (!patch.is_empty()).then(|| ByteString(Value::from(patch).to_string().into_bytes())),
        warnings: words.iter().map(|words| format!("rouse: {words}")).collect(),
    };
    let is_real = request.dry_run != Some(true) && !words.is_empty();
    let told = owner(&before, request.namespace.as_deref()).filter(|_| is_real).map(|owner| {
        let kept = if reason == "SidecarLeftOut" { "a pod gets no sidecar: " } else { "" };
        Told { owner, reason, note: format!("{kept}{}", words.join("; ")) }
    });
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    Ok(Answer { review, told })
}

/// What makes one spec the other. No field is ever taken out.
fn patch(before: &Value, after: &Value) -> Vec<Value> {
    let fields = after.as_object().into_iter().flatten();
    let changed = fields.filter(|(name, value)| before.get(name) != Some(value));
    // `add` puts a member in the place of one that is there.
    changed.map(|(name, value)| json!({ "op": "add", "path": format!("/spec/{name}"), "value": value })).collect()
}

fn owner(pod: &Value, namespace: Option<&str>) -> Option<ObjectReference> {
    let owner = pod["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)?;
    let text = |field: &str| owner[field].as_str().map(str::to_owned);
    Some(ObjectReference {
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: text("name"),
        uid: text("uid"),
        namespace: namespace.map(str::to_owned),
        ..ObjectReference::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::inject_workload;
    use crate::inject::tests::{Shape, TOKEN, sidecar};

    /// A pod as its ReplicaSet makes it, of a Deployment `m`.
    fn pod_of(shape: &Shape) -> Value {
        let mut pod = shape.pod.clone();
        if !pod["metadata"].is_object() {
            pod["metadata"] = json!({});
        }
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["generateName"] = json!("m-7f9c-");
        pod["metadata"]["labels"] = json!({ "rouse.dev/inject": "true", "pod-template-hash": "7f9c" });
        pod["metadata"]["ownerReferences"] = json!([
            { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "m-7f9c", "uid": "uid-rs", "controller": true },
        ]);
        pod
    }

    fn asked(pod: &Value, dry_run: bool) -> Answer {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "uid-1", "namespace": "shop", "dryRun": dry_run, "object": pod },
        });
        answer(review.to_string().as_bytes(), &sidecar(), TOKEN).unwrap()
    }

    /// As the API server does it.
    fn patched(pod: &Value, answer: &Answer) -> Value {
        let response = &answer.review["response"];
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("uid-1"), &json!(true)));
        let mut pod = pod.clone();
        let Some(patch) = response.get("patch") else { return pod };
        assert_eq!(response["patchType"], "JSONPatch");
        let ByteString(patch) = serde_json::from_value(patch.clone()).unwrap();
        let patch: Vec<Value> = serde_json::from_slice(&patch).unwrap();
        for operation in patch {
            assert_eq!(operation["op"], "add");
            let field = operation["path"].as_str().unwrap().strip_prefix("/spec/").unwrap();
            pod["spec"][field] = operation["value"].clone();
        }
        pod
    }

    #[test]
    fn of_each_shape_it_makes_the_same_pod_as_the_command_line_does() {
        for shape in Shape::all() {
            let pod = pod_of(&shape);
            let by_webhook = patched(&pod, &asked(&pod, false));
            let mut template = shape.pod.clone();
            if !template["metadata"].is_object() {
                template["metadata"] = json!({});
            }
            template["metadata"]["labels"] = json!({ "rouse.dev/inject": "true" });
            let mut deployment = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "m" }, "spec": { "template": template },
            });
            inject_workload(&mut deployment, false, &sidecar(), TOKEN);
            assert_eq!(by_webhook["spec"], deployment["spec"]["template"]["spec"], "{}", shape.shape);
            assert_eq!(by_webhook["metadata"], pod["metadata"], "{}", shape.shape);
        }
    }

    fn shape(name: &str) -> Value {
        pod_of(&Shape::all().into_iter().find(|shape| shape.shape == name).unwrap())
    }

    #[test]
    fn a_pod_that_is_left_alone_starts_and_its_owner_has_an_event_that_says_why() {
        let pod = shape("the node's network");
        let Answer { review, told } = asked(&pod, false);
        let why = "it has the node's network (hostNetwork), where port 8012 is not its own; take hostNetwork out";
        assert_eq!(review["response"]["allowed"], true);
        assert_eq!(review["response"]["warnings"], json!([format!("rouse: {why}")]));
        let told = told.unwrap();
        let owner = (told.owner.kind.as_deref(), told.owner.uid.as_deref(), told.owner.namespace.as_deref());
        assert_eq!(owner, (Some("ReplicaSet"), Some("uid-rs"), Some("shop")));
        assert_eq!((told.reason, told.note), ("SidecarLeftOut", format!("a pod gets no sidecar: {why}")));
        assert_eq!(asked(&pod, true).told, None, "nothing is written for a question that is only a try");
    }

    #[test]
    fn what_a_person_should_look_at_is_told_too() {
        let Answer { review, told } = asked(&shape("a hook of its own is kept"), false);
        assert!(review["response"]["patch"].is_string());
        let note = told.map(|told| (told.reason, told.note)).unwrap();
        assert!(note.0 == "SidecarInjected" && note.1.starts_with("container model has a preStop hook"), "{note:?}");
    }

    #[test]
    fn who_does_not_ask_or_has_it_is_let_through_without_a_word() {
        let mut silent = shape("one container with one port");
        silent["metadata"]["labels"] = json!({});
        for pod in [silent, shape("it has one of Knative's"), json!({ "kind": "ConfigMap" }), Value::Null] {
            let answer = asked(&pod, false);
            let expected = json!({ "uid": "uid-1", "allowed": true });
            assert_eq!((answer.review["response"].clone(), answer.told), (expected, None), "{pod}");
        }
    }

    #[test]
    fn what_is_no_question_is_told_so() {
        for asked in ["", "{}", "[]", r#"{"request":{}}"#] {
            assert!(
                answer(asked.as_bytes(), &sidecar(), TOKEN).unwrap_err().starts_with("no AdmissionReview: "),
                "{asked}"
            );
        }
    }
}
