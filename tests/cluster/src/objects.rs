//! Objects, put there as a person puts them there: by server-side apply.

use anyhow::Context as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::ground::Ground;

impl Ground {
    /// A namespace.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).await?;
        // Pods are refused until it has its ServiceAccount.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.client(), name);
        while accounts.get_opt("default").await?.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Applies an object.
    ///
    /// # Errors
    /// What the API server says about it.
    pub async fn apply(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let name = object["metadata"]["name"].as_str().context("an object without a name")?;
        let params = PatchParams::apply("tests").force();
        let applied = api_of(self.client(), object)?.patch(name, &params, &Patch::Apply(object)).await;
        applied.with_context(|| format!("{} {name}", object["kind"]))
    }

    /// Applies every document of a file or of what kustomize printed.
    ///
    /// # Errors
    /// What the API server says about one of them.
    pub async fn apply_all(&self, objects: &[Value]) -> anyhow::Result<()> {
        for object in objects {
            self.apply(object).await?;
        }
        Ok(())
    }
}

/// Where objects like this one are.
///
/// # Errors
/// If it does not say what it is.
pub fn api_of(client: Client, object: &Value) -> anyhow::Result<Api<DynamicObject>> {
    let word = |name: &str| object[name].as_str().with_context(|| format!("an object without {name}"));
    let (version, kind) = (word("apiVersion")?, word("kind")?);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}
