//! The leader has the API server believe the webhook: `caBundle` of the MutatingWebhookConfiguration is Rouse's own
//! authority, while one follows another both.
//!
//! The configuration itself comes with the installation. Whoever has none has no webhook, and is left alone.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use kube::api::{Patch, PatchParams};
use platform::Leadership;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::site::{MANAGER, WEBHOOK};

/// Between two looks: what somebody takes out comes back.
const LOOK: Duration = Duration::from_secs(60);

/// After a try that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// A call that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps it for as long as it is polled, while this program leads.
pub(super) async fn keep(cluster: &Cluster, mut leadership: watch::Receiver<Leadership>) -> anyhow::Result<Infallible> {
    let mut authority = cluster.authority();
    let mut failing = false;
    loop {
        let now = cluster.clock.now();
        let standing = *leadership.borrow_and_update();
        let leads = matches!(standing, Leadership::Leading { until, .. } if now < until);
        let believed = authority.borrow_and_update().clone();
        let mut next = LOOK;
        if let Some(believed) = believed.filter(|_| leads) {
            let done = timeout(PATIENCE, register(cluster, believed.ca_bundle())).await;
            match done.unwrap_or_else(|_| Err(Fault::Unknown { why: format!("no answer within {PATIENCE:?}") })) {
                Ok(()) => failing = false,
                Err(fault) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %fault, name = WEBHOOK, "the API server could not be told to believe the webhook");
                    }
                    next = PAUSE;
                }
            }
        }
        let until = cluster.clock.now().plus(next);
        tokio::select! {
            // A leadership that is renewed says nothing new.
            Ok(()) = changed_hands(&mut leadership, matches!(standing, Leadership::Leading { .. })) => {}
            Ok(()) = authority.changed() => {}
            () = cluster.clock.sleep_until(until) => {}
        }
    }
}

async fn changed_hands(leadership: &mut watch::Receiver<Leadership>, led: bool) -> Result<(), watch::error::RecvError> {
    leadership.wait_for(|now| matches!(now, Leadership::Leading { .. }) != led).await.map(drop)
}

async fn register(cluster: &Cluster, believed: &str) -> Result<(), Fault> {
    let all: Api<MutatingWebhookConfiguration> = Api::all(cluster.patient.clone());
    let Some(found) = all.get_opt(WEBHOOK).await.map_err(|error| Fault::of(&error))? else { return Ok(()) };
    let wanted = ByteString(believed.as_bytes().to_vec());
    let others =
        found.webhooks.iter().flatten().filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&wanted));
    let names: Vec<&str> = others.map(|webhook| webhook.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    // By name: it is no matter where they stand, and what else is there stays.
    let webhooks: Vec<_> =
        names.iter().map(|name| json!({ "name": name, "clientConfig": { "caBundle": wanted } })).collect();
    let patch = Patch::Strategic(json!({ "webhooks": webhooks }));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    all.patch(WEBHOOK, &params, &patch).await.map_err(|error| Fault::of(&error))?;
    info!(name = WEBHOOK, "the API server believes the webhook");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Next};

    fn configuration(bundle: Option<&str>) -> serde_json::Value {
        let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        let webhook = json!({
            "name": "inject.rouse.dev", "sideEffects": "NoneOnDryRun", "admissionReviewVersions": ["v1"],
            "clientConfig": { "caBundle": bundle, "service": { "name": "rouse-webhook", "namespace": "rouse" } },
        });
        json!({ "metadata": { "name": WEBHOOK }, "webhooks": [webhook] })
    }

    #[tokio::test]
    async fn whom_to_believe_is_written_once_and_only_where_something_else_is_said() {
        let found = |bundle| Next::Says(200, configuration(bundle));
        let (cluster, asked) = fake::scripted([
            found(None),
            found(Some("new")),
            found(Some("new")),
            found(Some("old")),
            found(Some("new")),
        ]);
        for _ in 0..3 {
            register(&cluster, "new").await.unwrap();
        }
        let asked = asked.lock();
        let methods: Vec<&str> = asked.iter().map(|call| call.method.as_str()).collect();
        assert_eq!(methods, ["GET", "PATCH", "GET", "GET", "PATCH"]);
        let webhook =
            json!({ "name": "inject.rouse.dev", "clientConfig": { "caBundle": ByteString(b"new".to_vec()) } });
        assert_eq!(asked[1].body, json!({ "webhooks": [webhook] }));
    }

    #[tokio::test]
    async fn without_a_configuration_there_is_nothing_to_be_done() {
        let (cluster, asked) = fake::scripted([Next::Says(404, fake::refusal(404, "not found"))]);
        register(&cluster, "new").await.unwrap();
        assert_eq!(asked.lock().len(), 1);
    }
}
