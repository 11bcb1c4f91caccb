//! For people: leave a cluster so that everything that was served goes on being served, without Rouse.
//!
//! The autoscalers go first, since whoever leads would put back what is changed here. The activators stay until nothing
//! leads to them. Each step can be done again: what was cut short is finished by the next call.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use units::EndpointKey;

use crate::model::{declared, port_of_model};
use crate::names::{
    COMPONENT_OF_KSERVE, DIRECT_PORT, ENDPOINT, INFERENCE_SERVICE, MANAGED_BY, SERVICE_NAME, services_of,
};
use crate::objects::{InferenceService, Kept as _, Watched};
use crate::picture::kserve;
use crate::site::{COMPONENT, MANAGER, PART_OF};

/// How often is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(500);

/// How to leave.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// Rouse's namespace.
    pub namespace: String,
    /// Only say what would be done.
    pub only_say: bool,
    /// How long a revision at zero is given to have a ready replica.
    pub patience: Duration,
}

/// Leaves a cluster. Each step is told as it is taken.
///
/// Returns the endpoints that could not be left, each with why: they are served by the activators as before, as long as
/// these are not deleted.
///
/// # Errors
/// If the cluster does not answer or does not allow it.
pub async fn uninstall(
    client: &Client,
    leaving: &Leaving,
    tell: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<Vec<(EndpointKey, String)>> {
    let endpoints = endpoints(client).await?;
    end_the_autoscalers(client, leaving, tell).await?;
    let mut left_behind = Vec::new();
    let mut heaviest = Vec::new();
    for endpoint in endpoints {
        match endpoint {
            Ok(mut endpoint) => {
                resolve(client, &mut endpoint).await?;
                raise(client, leaving, &endpoint, tell).await?;
                heaviest.push(endpoint);
            }
            Err(what) => left_behind.push(what),
        }
    }
    for endpoint in heaviest {
        if let Err(why) = let_go(client, leaving, &endpoint, tell).await {
            left_behind.push((endpoint.key.clone(), format!("{why:#}")));
        }
    }
    Ok(left_behind)
}

/// Every endpoint, or why it is not understood.
async fn endpoints(client: &Client) -> anyhow::Result<Vec<Result<api::ModelEndpoint, (EndpointKey, String)>>> {
    let kind = GroupVersionKind::gvk("rouse.dev", "v1alpha1", "ModelEndpoint");
    let all: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "modelendpoints"));
    let list = match all.list(&ListParams::default()).await {
        Err(kube::Error::Api(error)) if error.code == 404 => {
            bail!("this cluster has no ModelEndpoint: Rouse is not installed in it")
        }
        list => list.context("the endpoints")?,
    };
    let read = |object: &DynamicObject| {
        let key = EndpointKey::new(
            object.metadata.namespace.as_deref().unwrap_or_default(),
            object.metadata.name.as_deref().unwrap_or_default(),
        );
        let object = serde_json::to_value(object).map_err(|error| (key.clone(), error.to_string()))?;
        api::ModelEndpoint::from_object(&object).map_err(|faults| (key, faults.to_string()))
    };
    Ok(list.items.iter().map(read).collect())
}

async fn end_the_autoscalers(
    client: &Client,
    leaving: &Leaving,
    tell: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<()> {
    let who = ListParams::default().labels(&format!("{}={},{COMPONENT}=autoscaler", PART_OF.0, PART_OF.1));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &leaving.namespace);
    for deployment in deployments.list(&who).await.context("Rouse's own Deployments")? {
        let name = deployment.metadata.name.unwrap_or_default();
        tell(format!("deployment {}/{name}: to 0 replicas, so that nobody undoes what follows", leaving.namespace));
        if !leaving.only_say {
            let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
            deployments.patch_scale(&name, &PatchParams::default(), &none).await.context(name)?;
        }
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &leaving.namespace);
    let gone = async || Ok(pods.list(&who).await?.items.is_empty());
    leaving.until("the autoscalers have ended", gone).await
}

/// Puts the Deployments of InferenceServices in their place, as far as there are any that Rouse scales.
async fn resolve(client: &Client, endpoint: &mut api::ModelEndpoint) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &endpoint.key.namespace);
    for target in &mut endpoint.traffic {
        let Some(name) = &target.inference_service else { continue };
        let Some(service) = inference_service(client, &endpoint.key.namespace, name).await? else { continue };
        if kserve::other_mode(&service).is_some() {
            continue;
        }
        let labels = format!("{INFERENCE_SERVICE}={name},{COMPONENT_OF_KSERVE}=predictor");
        let found = deployments.list(&ListParams::default().labels(&labels)).await.context("KServe's Deployments")?;
        let names: Vec<&str> = found.items.iter().filter_map(|found| found.metadata.name.as_deref()).collect();
        if let Some(stable) = kserve::stable(name, service.predictor.as_deref(), names.iter().copied(), |name| name) {
            target.revision = stable.to_owned();
        }
    }
    Ok(())
}

/// `None` if there is none, or no KServe.
async fn inference_service(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Option<InferenceService>> {
    let kind = GroupVersionKind::gvk(InferenceService::GROUP, InferenceService::VERSION, InferenceService::KIND);
    let all: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::from_gvk_with_plural(&kind, InferenceService::PLURAL),
    );
    let found = all.get_opt(name).await.with_context(|| format!("InferenceService {name}"))?;
    let read = |object| serde_json::to_value(object).and_then(serde_json::from_value::<Watched<InferenceService>>);
    Ok(found.map(read).transpose()?.map(|read| read.kept))
}

/// Whatever is at zero is woken, as nobody will from now on.
async fn raise(
    client: &Client,
    leaving: &Leaving,
    endpoint: &api::ModelEndpoint,
    tell: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &endpoint.key.namespace);
    for target in endpoint.targets() {
        let Some(deployment) = deployments.get_opt(&target.revision).await? else { continue };
        if deployment.spec.and_then(|spec| spec.replicas) != Some(0) {
            continue;
        }
        tell(format!("deployment {}/{}: from 0 to 1 replica", endpoint.key.namespace, target.revision));
        if !leaving.only_say {
            let one = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
            deployments.patch_scale(&target.revision, &PatchParams::default(), &one).await?;
        }
    }
    Ok(())
}

/// Gives the endpoint's Services to the heaviest of its revisions, and takes the activators out of them.
async fn let_go(
    client: &Client,
    leaving: &Leaving,
    endpoint: &api::ModelEndpoint,
    tell: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<()> {
    let namespace = &*endpoint.key.namespace;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    // The first of equals, as `max_by_key` gives the last.
    let heaviest = endpoint.traffic.iter().rev().max_by_key(|target| target.percent.get());
    for name in services_of(endpoint) {
        let tagged = endpoint
            .traffic
            .iter()
            .find(|target| target.tag.as_ref().is_some_and(|tag| name == format!("{tag}-{}", endpoint.key.name)));
        let Some(target) = tagged.or(heaviest) else { continue };
        let Some(service) = services.get_opt(&name).await? else { continue };
        let ours = ListParams::default().labels(&format!("{SERVICE_NAME}={name},{MANAGED_BY}={MANAGER}"));
        let Some(deployment) = deployments.get_opt(&target.revision).await? else {
            // The activators that it leads to can only say the same, and will be gone.
            tell(format!("service {namespace}/{name}: leads nowhere, as there is no Deployment {}", target.revision));
            if !leaving.only_say {
                slices.delete_collection(&DeleteParams::default(), &ours).await?;
            }
            continue;
        };
        let spec = deployment.spec.context("a Deployment without a spec")?;
        let labels = spec.selector.match_labels.filter(|_| spec.selector.match_expressions.is_none());
        let labels = labels.with_context(|| {
            format!("the Deployment {} selects by expressions, which a Service cannot", target.revision)
        })?;
        let ready = async || {
            let deployment = deployments.get(&target.revision).await?;
            Ok(deployment.status.and_then(|status| status.ready_replicas).is_some_and(|ready| 0 < ready))
        };
        leaving.until(&format!("the Deployment {} has a ready replica", target.revision), ready).await?;
        tell(format!(
            "service {namespace}/{name}: straight to {}, and no longer owned by the endpoint",
            target.revision
        ));
        if leaving.only_say {
            continue;
        }
        let pod = spec.template.spec.unwrap_or_default();
        let patch = given_away(&service, &labels, port_of(&pod));
        services.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let behind = ListParams::default().labels(&format!("{SERVICE_NAME}={name}"));
        let routed = async || {
            let theirs = slices.list(&behind).await?.items.into_iter().filter(|slice| !is_ours(slice));
            let mut endpoints = theirs.flat_map(|slice| slice.endpoints);
            Ok(endpoints.any(|endpoint| endpoint.conditions.is_some_and(|it| it.ready == Some(true))))
        };
        leaving.until(&format!("the Service {name} leads to a replica"), routed).await?;
        slices.delete_collection(&DeleteParams::default(), &ours).await?;
    }
    // KServe's own Services have been waited for with the replica.
    let beside = format!("{ENDPOINT}={},{MANAGED_BY}={MANAGER}", endpoint.key.name);
    if !leaving.only_say {
        slices.delete_collection(&DeleteParams::default(), &ListParams::default().labels(&beside)).await?;
    }
    Ok(())
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

/// The Service as one of nobody's: what it selects, and ports that go to what listens there.
fn given_away(service: &Service, labels: &BTreeMap<String, String>, port: u16) -> serde_json::Value {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let ports: Vec<serde_json::Value> = ports
        .map(|of| {
            let mut of = serde_json::to_value(of).unwrap_or_default();
            of["targetPort"] = json!(port);
            of
        })
        .collect();
    json!({
        "metadata": { "ownerReferences": null, "resourceVersion": service.metadata.resource_version },
        "spec": { "selector": labels, "ports": ports },
    })
}

/// Where a replica listens: its sidecar, else the model's own port.
fn port_of(pod: &k8s_openapi::api::core::v1::PodSpec) -> u16 {
    let containers = pod.init_containers.iter().flatten().chain(&pod.containers);
    let has = |port: u16| {
        let mut ports = containers.clone().flat_map(|container| container.ports.iter().flatten());
        ports.any(|declared| declared.container_port == i32::from(port))
    };
    if has(DIRECT_PORT) {
        return DIRECT_PORT;
    }
    port_of_model(declared(&pod.containers)).map_or(8080, |chosen| chosen.port)
}

impl Leaving {
    /// Waits for something, unless nothing is done anyway.
    async fn until(&self, what: &str, is_so: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        if self.only_say {
            return Ok(());
        }
        let wait = async {
            while !is_so().await? {
                tokio::time::sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(self.patience, wait).await;
        waited.unwrap_or_else(|_| bail!("it was waited {} s until {what}, and it is not so", self.patience.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    fn pod(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_service_goes_to_the_sidecar_where_there_is_one_and_else_to_the_models_own_port() {
        let model = json!({ "name": "model", "ports": [
            { "name": "metrics", "containerPort": 9000 }, { "name": "h2c", "containerPort": 8081 },
        ]});
        let sidecar = json!({ "name": "queue-proxy", "ports": [{ "containerPort": 8012 }] });
        assert_eq!(port_of(&pod(json!({ "initContainers": [sidecar], "containers": [model] }))), 8012);
        assert_eq!(port_of(&pod(json!({ "containers": [model] }))), 8081);
        assert_eq!(port_of(&pod(json!({ "containers": [{ "name": "model" }] }))), 8080);
    }

    #[test]
    fn a_service_that_is_given_away_keeps_its_ports_and_has_no_owner() {
        let service = json!({
            "metadata": { "name": "recommender", "resourceVersion": "7" },
            "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": 8012, "appProtocol": "http" }] },
        });
        let service: Service = serde_json::from_value(service).unwrap();
        let labels = BTreeMap::from([("app".to_owned(), "recommender-v1".to_owned())]);
        let patch = given_away(&service, &labels, 8080);
        assert_eq!(patch["metadata"], json!({ "ownerReferences": null, "resourceVersion": "7" }));
        assert_eq!(patch["spec"]["selector"], json!({ "app": "recommender-v1" }));
        let port = &patch["spec"]["ports"][0];
        assert_eq!((&port["name"], &port["port"], &port["targetPort"]), (&json!("http"), &json!(80), &json!(8080)));
        assert_eq!(port["appProtocol"], "http");
    }
}
