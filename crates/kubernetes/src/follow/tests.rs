mod api;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use platform::{ReplicaState, Revision, Route, Workload};
use serde_json::{Value, json};
use units::{EndpointKey, ReplicaCount, RevisionKey};

use super::Program;
use crate::cluster::Cluster;
use api::Server;

fn endpoint(namespace: &str, name: &str, revision: &str) -> Value {
    json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint",
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-of-{namespace}-{name}"), "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "traffic": [{ "revision": revision, "percent": 100 }] },
        "status": { "activatorPort": 20_001 },
    })
}

fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-of-{name}") },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "model", "ports": [{ "name": "http", "containerPort": 9000 }] }] },
            },
        },
    })
}

fn pod(namespace: &str, name: &str, app: &str, address: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-of-{name}"), "labels": { "app": app } },
        "spec": { "containers": [{ "name": "model", "ports": [{ "name": "http", "containerPort": 9000 }] }] },
        "status": {
            "phase": "Running", "podIP": address,
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
        },
    })
}

fn own_pod(name: &str, component: &str, address: &str) -> Value {
    let mut pod = pod("rouse", name, "rouse", address);
    pod["metadata"]["labels"] =
        json!({ "app.kubernetes.io/part-of": "rouse", "app.kubernetes.io/component": component });
    pod
}

/// A cluster with one model, one pod of it, and Rouse's own pods.
fn shop() -> Server {
    let server = Server::default();
    server.put("modelendpoints", endpoint("shop", "recommender", "v1"));
    server.put("deployments", deployment("shop", "v1", 1));
    server.put("pods", pod("shop", "v1-a", "v1", "10.0.0.5"));
    server.put("pods", own_pod("autoscaler-0", "autoscaler", "10.0.0.2"));
    server
}

fn v1() -> RevisionKey {
    RevisionKey::new("shop", "v1")
}

/// Follows while `play` does something.
async fn follow(server: &Server, who: Program, play: impl AsyncFnOnce(&Cluster)) {
    let cluster = server.cluster();
    tokio::select! {
        end = cluster.follow(who) => panic!("it ended: {end:?}"),
        () = play(&cluster) => {}
    }
}

/// Waits until what it asks for holds. Time is paused, so what is waited for is only what was begun.
async fn until(mut holds: impl FnMut() -> bool) {
    let until = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), until).await.expect("it does not come to hold");
}

fn is_synced(cluster: &Cluster) -> bool {
    let mut feed = cluster.boards.revisions.feed();
    std::iter::from_fn(|| feed.try_recv().ok()).any(|event| matches!(event, platform::Event::Synced))
}

fn revision(cluster: &Cluster) -> Option<Arc<Revision>> {
    cluster.boards.revisions.get(&v1())
}

fn replicas_of(cluster: &Cluster) -> Vec<String> {
    revision(cluster).map_or_else(Vec::new, |revision| revision.replicas.iter().map(|r| r.name.to_string()).collect())
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_its_deployment_and_its_pods_come_to_the_boards() {
    follow(&shop(), Program::Autoscaler, async |cluster| {
        until(|| is_synced(cluster)).await;
        let endpoint = cluster.boards.endpoints.get(&EndpointKey::new("shop", "recommender")).unwrap();
        assert_eq!(endpoint.generation, 1 << 16 | 20_001);
        assert_eq!(endpoint.own_port.map(|address| address.port()), Some(20_001));
        assert_eq!(endpoint.route, Route::Proxied { through: Arc::from([]) });
        let revision = revision(cluster).unwrap();
        assert_eq!(revision.scale().map(|scale| scale.replicas), Some(ReplicaCount(1)));
        assert_eq!(revision.replicas[0].address, Some(SocketAddr::from(([10, 0, 0, 5], 9000))));
        assert_eq!(revision.replicas[0].state, ReplicaState::Ready);
        assert_eq!(cluster.boards.config.borrow().as_deref(), Some(&Default::default()));
        assert_eq!(cluster.boards.activators.borrow().as_deref(), Some(&[][..]));
        let autoscalers = cluster.autoscalers().borrow().clone();
        assert_eq!(autoscalers.as_deref(), Some(&[SocketAddr::from(([10, 0, 0, 2], 8081))][..]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changes_come_to_the_boards_as_they_happen() {
    let server = shop();
    follow(&server, Program::Activator, async |cluster| {
        until(|| replicas_of(cluster) == ["v1-a"]).await;
        server.put("pods", pod("shop", "v1-b", "v1", "10.0.0.6"));
        until(|| replicas_of(cluster) == ["v1-a", "v1-b"]).await;
        server.delete("pods", "shop", "v1-a");
        until(|| replicas_of(cluster) == ["v1-b"]).await;
        server.delete("deployments", "shop", "v1");
        until(|| revision(cluster).unwrap().workload == Workload::Missing).await;
        server.delete("modelendpoints", "shop", "recommender");
        until(|| revision(cluster).is_none() && cluster.boards.endpoints.keys().is_empty()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_to_be_all_before_every_list_was_told() {
    for kind in ["modelendpoints", "pods", "deployments", "endpointslices", "services", "horizontalpodautoscalers"] {
        let server = shop();
        server.be_silent_about(kind);
        follow(&server, Program::Autoscaler, async |cluster| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!is_synced(cluster), "synced without {kind}");
            assert_eq!(revision(cluster), None, "drawn without {kind}");
            server.serve();
            // The list that was never answered is given up and asked for again.
            until(|| is_synced(cluster)).await;
            assert_eq!(replicas_of(cluster), ["v1-a"]);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_server_was_away_is_found_out_within_five_seconds_of_its_return() {
    let server = shop();
    follow(&server, Program::Activator, async |cluster| {
        until(|| replicas_of(cluster) == ["v1-a"]).await;
        server.refuse(503);
        tokio::time::sleep(Duration::from_secs(300)).await;
        let asked = server.calls().len();
        assert!(asked < 7 * 300, "{asked} calls: it is asked in vain about once a second and watch");
        assert_eq!(replicas_of(cluster), ["v1-a"], "what is known stays while nobody can be asked");
        server.delete("pods", "shop", "v1-a");
        server.put("pods", pod("shop", "v1-b", "v1", "10.0.0.6"));
        server.compact();
        server.serve();
        let back = cluster.clock.now();
        until(|| replicas_of(cluster) == ["v1-b"]).await;
        assert!(cluster.clock.now().since(back) <= Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_watched_from_its_first_endpoint_to_its_last() {
    let server = shop();
    follow(&server, Program::Activator, async |_| {
        let always = ["endpointslices", "modelendpoints", "rouse/pods", "services"];
        let with = |namespaces: &[&str]| {
            let of = |namespace: &&str| [format!("{namespace}/deployments"), format!("{namespace}/pods")];
            let mut all: Vec<String> = namespaces.iter().flat_map(of).collect();
            all.extend(always.map(str::to_owned));
            all.sort();
            all
        };
        until(|| server.watched() == with(&["shop"])).await;
        server.put("modelendpoints", endpoint("lab", "first", "v1"));
        server.put("modelendpoints", endpoint("lab", "second", "v2"));
        until(|| server.watched() == with(&["lab", "shop"])).await;
        server.delete("modelendpoints", "lab", "first");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.watched(), with(&["lab", "shop"]));
        server.delete("modelendpoints", "lab", "second");
        until(|| server.watched() == with(&["shop"])).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_in_the_middle_of_a_watch_is_listed_anew() {
    let server = shop();
    follow(&server, Program::Activator, async |cluster| {
        until(|| replicas_of(cluster) == ["v1-a"]).await;
        server.forget_watches();
        server.delete("pods", "shop", "v1-a");
        server.put("pods", pod("shop", "v1-b", "v1", "10.0.0.6"));
        server.say_gone();
        until(|| replicas_of(cluster) == ["v1-b"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lists_and_cannot_be_watched_is_not_asked_without_end() {
    let server = shop();
    follow(&server, Program::Activator, async |cluster| {
        until(|| replicas_of(cluster) == ["v1-a"]).await;
        server.forbid_watching();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = server.calls().len();
        assert!(asked < 6 * 60 * 3, "{asked} calls in a minute");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_under_an_old_name_comes_as_one_that_went_and_one_that_came() {
    let server = shop();
    follow(&server, Program::Activator, async |cluster| {
        until(|| is_synced(cluster)).await;
        let mut feed = cluster.boards.endpoints.feed();
        while feed.try_recv().is_ok() {}
        let mut other = endpoint("shop", "recommender", "v1");
        other["metadata"]["uid"] = "another".into();
        server.put("modelendpoints", other);
        assert!(matches!(feed.recv().await, Some(platform::Event::Removed(_))));
        assert!(matches!(feed.recv().await, Some(platform::Event::Added(..))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_gets_free_goes_to_the_endpoint_that_waits_for_it_in_another_namespace() {
    let server = shop();
    let asking = |namespace: &str, created: &str| {
        let mut object = endpoint(namespace, "recommender", "v1");
        object["spec"]["hosts"] = json!(["m.example.com"]);
        object["metadata"]["creationTimestamp"] = created.into();
        object
    };
    server.put("modelendpoints", asking("lab", "2026-01-02T00:00:00Z"));
    server.put("modelendpoints", asking("shop", "2026-01-01T00:00:00Z"));
    follow(&server, Program::Activator, async |cluster| {
        until(|| is_synced(cluster)).await;
        let hosts = |namespace: &str| {
            let key = EndpointKey::new(namespace, "recommender");
            cluster.boards.endpoints.get(&key).map_or(0, |endpoint| endpoint.hosts.len())
        };
        assert_eq!((hosts("shop"), hosts("lab")), (1, 0));
        server.delete("modelendpoints", "shop", "recommender");
        until(|| hosts("lab") == 1).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn activators_are_known_and_stand_in_the_routes_of_every_namespace() {
    let server = shop();
    let service = json!({
        "metadata": { "name": "recommender", "namespace": "shop", "ownerReferences": [
            { "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "uid": "uid-of-shop-recommender" },
        ] },
        "spec": {},
    });
    server.put("services", service);
    let slice = json!({
        "metadata": {
            "name": "recommender-rouse-v4", "namespace": "shop",
            "labels": { "kubernetes.io/service-name": "recommender" },
        },
        "endpoints": [{ "addresses": ["10.0.0.9"] }],
        "ports": [{ "port": 20_001 }],
    });
    server.put("endpointslices", slice);
    follow(&server, Program::Autoscaler, async |cluster| {
        until(|| is_synced(cluster)).await;
        let through = || {
            let endpoint = cluster.boards.endpoints.get(&EndpointKey::new("shop", "recommender")).unwrap();
            endpoint.route.through().to_vec()
        };
        assert_eq!(through(), [Arc::from("nobody at 10.0.0.9")]);
        server.put("pods", own_pod("activator-a", "activator", "10.0.0.9"));
        until(|| through() == [Arc::from("uid-of-activator-a")]).await;
        let activators = cluster.boards.activators.borrow().clone().unwrap();
        assert_eq!(activators.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["activator-a"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_configuration_is_read_and_read_again() {
    let server = shop();
    let config = |window: &str| json!({ "metadata": { "name": "config-autoscaler", "namespace": "rouse" }, "data": { "stable-window": window } });
    follow(&server, Program::Autoscaler, async |cluster| {
        let window = || cluster.boards.config.borrow().as_ref().map(|config| config.get("stable-window").cloned());
        until(|| window() == Some(None)).await;
        server.put("configmaps", config("30s"));
        until(|| window() == Some(Some("30s".to_owned()))).await;
        server.delete("configmaps", "rouse", "config-autoscaler");
        until(|| window() == Some(None)).await;
    })
    .await;
}

/// The endpoint `flowers`, before the InferenceService `iris` and its Deployment.
fn kserve() -> Server {
    let server = shop();
    let mut flowers = endpoint("shop", "flowers", "v1");
    flowers["spec"]["traffic"] = json!([{ "inferenceService": "iris" }]);
    server.put("modelendpoints", flowers);
    let mut deployment = deployment("shop", "iris-predictor", 1);
    deployment["metadata"]["labels"] =
        json!({ "serving.kserve.io/inferenceservice": "iris", "component": "predictor" });
    server.put("deployments", deployment);
    server
}

fn iris() -> Value {
    json!({ "metadata": { "name": "iris", "namespace": "shop" }, "spec": { "predictor": { "minReplicas": 0 } } })
}

fn flowers_is_served(cluster: &Cluster) -> bool {
    let drawn = cluster.boards.revisions.get(&RevisionKey::new("shop", "iris-predictor"));
    drawn.is_some_and(|revision| revision.workload != Workload::Missing)
}

fn asked_of_kserve(server: &Server) -> usize {
    server.calls().iter().filter(|call| call.contains("inferenceservices")).count()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_kserve_is_asked_now_and_then_and_the_rest_is_drawn() {
    for who in [Program::Activator, Program::Autoscaler] {
        let server = kserve();
        server.has("inferenceservices", false);
        follow(&server, who, async |cluster| {
            until(|| is_synced(cluster) && revision(cluster).is_some()).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let asked = asked_of_kserve(&server);
            assert!((4..=7).contains(&asked), "{asked} calls in a minute");
            server.put("inferenceservices", iris());
            server.has("inferenceservices", true);
            until(|| flowers_is_served(cluster)).await;
            // Taken away and installed again, as with an upgrade.
            server.delete("inferenceservices", "shop", "iris");
            server.has("inferenceservices", false);
            until(|| !flowers_is_served(cluster)).await;
            server.put("inferenceservices", iris());
            server.has("inferenceservices", true);
            until(|| flowers_is_served(cluster)).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn inference_services_are_watched_only_where_an_endpoint_names_one() {
    let server = kserve();
    server.put("modelendpoints", endpoint("lab", "first", "v2"));
    server.put("inferenceservices", iris());
    follow(&server, Program::Autoscaler, async |cluster| {
        until(|| is_synced(cluster) && flowers_is_served(cluster)).await;
        let watched = || server.watched().into_iter().filter(|it| it.contains("inference")).collect::<Vec<_>>();
        assert_eq!(watched(), ["shop/inferenceservices"]);
        server.put("modelendpoints", endpoint("shop", "flowers", "v1"));
        until(|| watched().is_empty()).await;
        // What nobody watches says nothing, and is looked for anew where it is named again.
        assert!(cluster.world.look(|seen| seen.inference_services.is_empty()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_model_is_not_said_to_be_missing_before_its_inference_service_was_looked_for() {
    let server = kserve();
    server.put("inferenceservices", iris());
    server.be_silent_about("inferenceservices");
    follow(&server, Program::Activator, async |cluster| {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!is_synced(cluster) && cluster.boards.endpoints.keys().is_empty());
        server.serve();
        until(|| flowers_is_served(cluster) && is_synced(cluster)).await;
    })
    .await;
}
