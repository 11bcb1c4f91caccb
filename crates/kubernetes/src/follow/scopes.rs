//! Which watches there are: some for the whole cluster, some for each namespace that has an endpoint, from its first
//! endpoint to its last, and one of InferenceServices for each namespace in which an endpoint names one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kube::Api;
use kube::runtime::watcher::Config;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Program;
use super::watching::{Ground, keep as keep_one};
use crate::cluster::Cluster;
use crate::names::MANAGED_BY;
use crate::objects::{
    Autoscaled, ConfigMap, Deployment, EndpointObject, InferenceService, Kept, OwnPod, Pod, Service, Slice,
};
use crate::site::{MANAGER, PART_OF};
use crate::world::{Kind, Seen};

/// What is to be found of a namespace before it can be drawn.
pub(super) fn of_namespaces(who: Program) -> &'static [Kind] {
    match who {
        Program::Activator => &[Kind::Deployments, Kind::Pods],
        Program::Autoscaler => &[Kind::Deployments, Kind::Pods, Kind::Services, Kind::Autoscaled],
    }
}

/// What is to be found of the whole cluster before anything can be drawn: routes say through whom.
pub(super) fn of_cluster(who: Program) -> &'static [Kind] {
    match who {
        Program::Activator => &[Kind::Endpoints, Kind::OwnPods, Kind::Slices, Kind::Services],
        Program::Autoscaler => &[Kind::Endpoints, Kind::OwnPods, Kind::Slices],
    }
}

/// Is all of it known?
pub(super) fn are_listed(seen: &Seen, kinds: &[Kind], namespace: Option<&Arc<str>>) -> bool {
    kinds.iter().all(|kind| seen.is_listed(*kind, namespace))
}

type Watches<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// Keeps all watches. All in one task: each does little, and none can outlive the others.
pub(super) async fn keep(cluster: &Cluster, who: Program) -> Infallible {
    let ground = Ground { world: &cluster.world, clock: cluster.clock, failing: Default::default() };
    let scopes = Scopes { cluster, ground: &ground };
    let mut watches = Watches::new();
    scopes.begin_cluster(who, &watches);
    let mut begun: BTreeMap<Arc<str>, CancellationToken> = BTreeMap::new();
    let mut begun_of_kserve: BTreeMap<Arc<str>, CancellationToken> = BTreeMap::new();
    let (mut wanted, mut wanted_of_kserve) = (cluster.world.namespaces(), cluster.world.kserve());
    loop {
        let namespaces = wanted_of_kserve.borrow_and_update().clone();
        begun_of_kserve.retain(|namespace, ending| {
            let stays = namespaces.contains(namespace);
            if !stays {
                ending.cancel();
                cluster.world.forget::<InferenceService>(namespace);
            }
            stays
        });
        for namespace in namespaces {
            begun_of_kserve.entry(namespace).or_insert_with_key(|namespace| {
                let ending = CancellationToken::new();
                scopes.begin::<InferenceService>(Some(namespace), Config::default(), &ending, &watches);
                ending
            });
        }
        let namespaces = wanted.borrow_and_update().clone();
        begun.retain(|namespace, ending| {
            let stays = namespaces.contains(namespace);
            if !stays {
                info!(%namespace, "no endpoint is left, watching no longer");
                ending.cancel();
                scopes.forget(namespace, who);
            }
            stays
        });
        for namespace in namespaces {
            begun.entry(namespace).or_insert_with_key(|namespace| {
                info!(%namespace, "watching, there is an endpoint");
                scopes.begin_namespace(namespace, who, &watches)
            });
        }
        loop {
            tokio::select! {
                // One that was told to end has ended; those of the cluster never do.
                Some(()) = watches.next() => {}
                // The sender is the world's, which is there as long as the cluster.
                _ = wanted.changed() => break,
                _ = wanted_of_kserve.changed() => break,
            }
        }
    }
}

struct Scopes<'a> {
    cluster: &'a Cluster,
    ground: &'a Ground<'a>,
}

impl<'a> Scopes<'a> {
    fn begin_cluster(&self, who: Program, watches: &Watches<'a>) {
        let everywhere = CancellationToken::new();
        let labelled = |(key, value): (&str, &str)| Config::default().labels(&format!("{key}={value}"));
        self.begin::<EndpointObject>(None, Config::default(), &everywhere, watches);
        self.begin::<Slice>(None, labelled((MANAGED_BY, MANAGER)), &everywhere, watches);
        self.begin_own::<OwnPod>(labelled(PART_OF), watches);
        match who {
            Program::Activator => {
                let ours = labelled(("app.kubernetes.io/managed-by", MANAGER));
                self.begin::<Service>(None, ours, &everywhere, watches);
            }
            Program::Autoscaler => {
                self.begin_own::<ConfigMap>(Config::default().fields("metadata.name=config-autoscaler"), watches);
            }
        }
    }

    fn begin_namespace(&self, namespace: &Arc<str>, who: Program, watches: &Watches<'a>) -> CancellationToken {
        let ending = CancellationToken::new();
        let within = Some(namespace);
        self.begin::<Deployment>(within, Config::default(), &ending, watches);
        // Those that have ended, as of Jobs, can be very many.
        let running = Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        self.begin::<Pod>(within, running, &ending, watches);
        match who {
            Program::Activator => {}
            Program::Autoscaler => {
                self.begin::<Service>(within, Config::default(), &ending, watches);
                self.begin::<Autoscaled>(within, Config::default(), &ending, watches);
            }
        }
        ending
    }

    /// A watch of a namespace, or of all of them.
    fn begin<K: Kept>(
        &self,
        within: Option<&Arc<str>>,
        config: Config,
        ending: &CancellationToken,
        watches: &Watches<'a>,
    ) {
        // The client that does not try again by itself: it would for minutes, long after the API server is back.
        let client = self.cluster.prompt.clone();
        let api = match within {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let (ground, within, ending) = (self.ground, within.cloned(), ending.clone());
        watches.push(Box::pin(async move {
            if let Some(never) = ending.run_until_cancelled(keep_one::<K>(ground, api, config, within)).await {
                match never {}
            }
        }));
    }

    /// A watch of Rouse's own namespace for something that is kept by name alone.
    fn begin_own<K: Kept>(&self, config: Config, watches: &Watches<'a>) {
        let api = Api::namespaced(self.cluster.prompt.clone(), &self.cluster.site.namespace);
        let ground = self.ground;
        watches.push(Box::pin(async move { match keep_one::<K>(ground, api, config, None).await {} }));
    }

    fn forget(&self, namespace: &Arc<str>, who: Program) {
        self.ground.world.forget::<Deployment>(namespace);
        self.ground.world.forget::<Pod>(namespace);
        match who {
            Program::Activator => {}
            Program::Autoscaler => {
                self.ground.world.forget::<Service>(namespace);
                self.ground.world.forget::<Autoscaled>(namespace);
            }
        }
    }
}
