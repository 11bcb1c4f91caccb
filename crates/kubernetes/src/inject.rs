//! The sidecar into a pod: what a pod becomes that asks for one. Pure: an object in, an object out, and words for what was
//! done or why nothing was.
//!
//! The webhook and `rouse inject` both call this, so that it is the same pod either way. Objects stay JSON: what a newer
//! Kubernetes puts into a pod is passed on although it is not known here.
//!
//! In reading order: `obstacles` (who is left alone), `wishes` (annotations), `readiness` (which probe moves), `container`
//! (the sidecar itself), `workload` (Deployments and others that have a pod in them). Which container is the model:
//! `crate::model`.

mod container;
mod obstacles;
mod readiness;
#[cfg(test)]
pub(crate) mod tests;
mod wishes;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::names::{DIRECT_PORT, INJECT, PROXIED_PORT, SIDECAR, SIDECAR_ADMIN_PORT};
use crate::site::AUTOSCALERS;
use wishes::Wishes;

pub(crate) use workload::revision_of;
pub use workload::{Changed, inject_workload};

/// What every sidecar of a cluster is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// The image of queue-proxy.
    pub image: String,
    /// Where autoscalers take streams: `HOST:PORT`.
    pub autoscaler: String,
    /// Whom it believes to be one, PEM. `None`: it speaks plain TCP with them, and believes whoever reaches it.
    pub authorities: Option<Arc<str>>,
}

impl Sidecar {
    /// Which reports to the autoscalers of a Rouse that is installed in `namespace`, in plain TCP.
    pub fn of(image: &str, namespace: &str, cluster_domain: &str, streams_port: u16) -> Self {
        let autoscaler = format!("{AUTOSCALERS}.{namespace}.svc.{cluster_domain}:{streams_port}");
        Self { image: image.to_owned(), autoscaler, authorities: None }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod has the sidecar now.
    Injected {
        /// What else was changed, a sentence each.
        done: Vec<String>,
        /// What a person should look at, a sentence each.
        mind: Vec<String>,
    },
    /// It has one already, and nothing was changed.
    AlreadyThere,
    /// It gets none, and nothing was changed: why, a sentence each.
    LeftAlone(Vec<String>),
}

/// What the kubelet gives a pod that says nothing.
const USUAL_GRACE: Duration = Duration::from_secs(30);

/// Between the end of the last request and the end of the pod: quiet before it, and the model's own end after it.
const AROUND_THE_LAST_REQUEST: Duration = Duration::from_secs(15);

/// Of that, what is kept for the model's own end.
const FOR_THE_MODELS_END: Duration = Duration::from_secs(10);

/// How long requests may take that have no limit, when their replica leaves.
const UNLIMITED: Duration = Duration::from_secs(300);

/// Does it ask for a sidecar?
pub(crate) fn is_asked_for(pod: &Value) -> bool {
    pod["metadata"]["labels"][INJECT] == "true"
}

/// Gives a pod, or the template of one, the sidecar. `revision` is the workload's name; `None` for a pod of its own, which
/// is called by its own name. `token` is what the kubelet brings to ask whether it has drained.
///
/// Whether it was asked for is not looked at. Once more changes nothing more.
pub fn inject(pod: &mut Value, revision: Option<&str>, sidecar: &Sidecar, token: &str) -> Outcome {
    let spec = match PodSpec::deserialize(&pod["spec"]) {
        Ok(spec) => spec,
        Err(error) => return Outcome::LeftAlone(vec![format!("its spec is not a pod's: {error}")]),
    };
    if all_containers(&spec).any(is_sidecar) {
        return Outcome::AlreadyThere;
    }
    let (wishes, mut mind) = Wishes::of(pod);
    let model = match obstacles::model_of(&spec, &wishes) {
        Ok(model) => model,
        Err(why) => return Outcome::LeftAlone(why),
    };
    let Some(changed) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return Outcome::LeftAlone(vec!["it has no spec".to_owned()]);
    };
    let mut done = Vec::new();
    let probe = match readiness::of(model.container, model.port) {
        readiness::Asked::Nobody => None,
        readiness::Asked::BySidecar(probe) => {
            done.push(format!("the sidecar asks the readiness probe of container {}", model.container.name));
            Some(probe)
        }
        readiness::Asked::ByKubelet(why) => {
            done.push(format!(
                "the readiness probe of container {} stays where it is: {why}; so each wake waits for the kubelet",
                model.container.name
            ));
            None
        }
    };
    let grace = lengthen(changed, &spec, &wishes, &mut done);
    let made =
        container::Made { sidecar, model: &model, wishes: &wishes, probe: probe.as_ref(), grace, revision, token };
    let queue_proxy = made.container(&spec);
    for container in changed.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_model = container["name"] == *model.container.name;
        let Some(container) = container.as_object_mut() else { continue };
        if is_model && probe.is_some() {
            container.remove("readinessProbe");
        }
        outlive_the_last_request(container, token, &mut mind);
    }
    // First, so that it is there before whatever the others do when they start.
    in_list(changed, "initContainers", |containers| containers.insert(0, queue_proxy));
    if sidecar.authorities.is_some() {
        in_list(changed, "volumes", |volumes| volumes.push(container::token_volume()));
    }
    mind.extend(past_it(&spec));
    Outcome::Injected { done, mind }
}

/// Changes a list of the spec, which may not be there yet.
fn in_list(spec: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let mut items = match spec.remove(name) {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    };
    change(&mut items);
    spec.insert(name.to_owned(), Value::Array(items));
}

fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// Also one that somebody has written by hand, or Knative's.
fn is_sidecar(container: &Container) -> bool {
    let listens_on = |port: u16| container.ports.iter().flatten().any(|it| it.container_port == i32::from(port));
    container.name == SIDECAR || (listens_on(DIRECT_PORT) && listens_on(PROXIED_PORT))
}

/// Sees to it that a request which came last has the time it may take. Returns the grace that the pod has then.
fn lengthen(changed: &mut Map<String, Value>, spec: &PodSpec, wishes: &Wishes, done: &mut Vec<String>) -> Duration {
    let said = spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let before = said.map_or(USUAL_GRACE, Duration::from_secs);
    let longest = wishes.request_timeout.unwrap_or(UNLIMITED);
    let whole = Duration::from_secs(longest.as_secs() + u64::from(0 < longest.subsec_nanos()));
    let needed = whole + AROUND_THE_LAST_REQUEST;
    if needed <= before {
        return before;
    }
    changed.insert("terminationGracePeriodSeconds".to_owned(), json!(needed.as_secs()));
    done.push(format!("the grace is {} s in place of {} s", needed.as_secs(), before.as_secs()));
    needed
}

/// Its hook ends when nothing is at the model any more; then the kubelet tells it to end.
fn outlive_the_last_request(container: &mut Map<String, Value>, token: &str, mind: &mut Vec<String>) {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let lifecycle = container.entry("lifecycle").or_insert(Value::Null);
    if lifecycle.is_null() {
        *lifecycle = json!({});
    }
    match lifecycle.as_object_mut().map(|lifecycle| lifecycle.entry("preStop").or_insert(Value::Null)) {
        Some(hook) if hook.is_null() => {
            *hook = json!({ "httpGet": {
                "port": SIDECAR_ADMIN_PORT,
                "path": "/drained",
                "httpHeaders": [{ "name": "authorization", "value": format!("Bearer {token}") }],
            } });
        }
        Some(_) | None => mind.push(format!(
            "container {name} has a preStop hook of its own: it has to last until the model's last request is answered, \
             or that request is lost"
        )),
    }
}

/// Ways to the pod's containers that do not lead through the sidecar.
fn past_it(spec: &PodSpec) -> Option<String> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let of_host: Vec<String> = ports.filter_map(|port| port.host_port).map(|port| port.to_string()).collect();
    (!of_host.is_empty()).then(|| {
        format!("the node's port {} leads past the sidecar: what comes there is not counted", of_host.join(", "))
    })
}
