use platform::Leadership;
use serde_json::{Value, json};
use tokio::sync::watch;
use units::{EndpointKey, Moment};

use super::shapes::service_of;
use super::*;
use crate::fake::store::{Objects, Store};
use crate::fake::{answer, refusal};
use crate::objects::{Deployment, EndpointObject, OwnPod, Service as ServiceSeen, Sight, Watched};
use crate::picture::Findings;

const SERVICES: &str = "/api/v1/namespaces/shop/services";
const ENDPOINTS: &str = "/api/v1/namespaces/shop/endpoints";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const SERVICE: &str = "/api/v1/namespaces/shop/services/recommender";
const OURS: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/recommender-rouse-v4";
const THEIRS: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/recommender-x7k2p";

/// What Kubernetes' controllers do, where `app: v1` has a ready pod at 10.0.1.1.
fn controllers(objects: &mut Objects) {
    let names: Vec<String> = objects
        .iter()
        .filter(|(path, service)| path.starts_with(SERVICES) && service["spec"]["selector"].is_object())
        .map(|(_, service)| service["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    for name in names {
        let selects = objects[&format!("{SERVICES}/{name}")]["spec"]["selector"].clone();
        let endpoints = match selects == json!({ "app": "v1" }) {
            true => json!([{ "addresses": ["10.0.1.1"], "conditions": { "ready": true } }]),
            false => json!([]),
        };
        let slice = json!({
            "metadata": {
                "name": format!("{name}-x7k2p"), "uid": "theirs", "resourceVersion": "1",
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
        });
        objects.insert(format!("{SLICES}/{name}-x7k2p"), slice);
        objects.insert(format!("{ENDPOINTS}/{name}"), json!({ "metadata": { "name": name } }));
    }
}

/// A cluster with the endpoint shop/recommender, its Services, and activators `a` and `b`.
struct Shop {
    store: Arc<Store>,
    hands: Hands,
    leads: watch::Sender<Leadership>,
}

impl Shop {
    fn new() -> Self {
        Self::of(&api::ModelEndpoint::new(EndpointKey::new("shop", "recommender"), "v1"))
    }

    fn of(spec: &api::ModelEndpoint) -> Self {
        let store = Store::new(controllers);
        for name in services_of(spec) {
            store.put(SERVICES, serde_json::to_value(service_of(spec, "endpoint", &name)).unwrap());
        }
        let cluster = store.cluster();
        let status = api::status::Status { activator_port: Some(20_001), ..api::status::Status::default() };
        cluster.world.change(|seen| {
            let object = EndpointObject {
                uid: "endpoint".into(),
                generation: 1,
                created: Moment::from_unix_millis(0),
                spec: Ok(Arc::new(spec.clone())),
                status: Arc::new(status),
                annotations: BTreeMap::new(),
                leaving: false,
            };
            seen.endpoints.insert(spec.key.clone(), Arc::new(object));
            for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
                let pod = OwnPod {
                    name: name.into(),
                    uid: name.into(),
                    component: "activator".into(),
                    addresses: vec![address.parse().unwrap()],
                    ready: true,
                    leaving: false,
                    ended: false,
                };
                seen.own_pods.insert(name.into(), Arc::new(pod));
            }
        });
        let (leads, leadership) = watch::channel(Leadership::ALONE);
        Self { store, hands: cluster.hands(leadership), leads }
    }

    async fn through(&self, activators: &[&str]) -> Result<(), RouteError> {
        let through = activators.iter().map(|uid| Arc::from(*uid)).collect();
        let endpoint = EndpointKey::new("shop", "recommender");
        self.hands.order_route(RouteOrder { endpoint, route: Route::Proxied { through }, epoch: 1 }).await
    }

    /// To the pods with `app: <app>`.
    async fn direct_to(&self, app: &str) -> Result<(), RouteError> {
        let labels = Labels::from([("app".to_owned(), app.to_owned())]);
        let drive = Drive::new(&self.hands, 1, Some("endpoint"), "shop", "recommender");
        drive.run(|_| Ok(Wanted::Pods(labels.clone()))).await
    }

    fn selector(&self) -> Value {
        self.store.get(SERVICE).unwrap()["spec"]["selector"].clone()
    }

    fn named(&self) -> Vec<String> {
        let slice = self.store.get(OURS).unwrap();
        let addresses = slice["endpoints"].as_array().unwrap().iter();
        addresses.map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_path_goes_to_the_pods_and_back_and_leaves_nothing_of_the_other() {
    let shop = Shop::new();
    for _ in 0..3 {
        shop.through(&["a", "b"]).await.unwrap();
        assert_eq!(shop.named(), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(shop.store.get(OURS).unwrap()["ports"][0]["port"], 20_001);
        assert_eq!(shop.store.paths(), [SERVICE, OURS]);
        assert_eq!(shop.selector(), Value::Null);

        shop.direct_to("v1").await.unwrap();
        assert_eq!(shop.selector(), json!({ "app": "v1" }));
        assert_eq!(shop.store.get(OURS), None);
    }
}

#[tokio::test(start_paused = true)]
async fn other_activators_are_one_write_in_place() {
    let shop = Shop::new();
    shop.through(&["a", "b"]).await.unwrap();
    shop.store.writes();
    shop.through(&["b"]).await.unwrap();
    assert_eq!(shop.store.writes(), [format!("PATCH {OURS}")]);
    assert_eq!(shop.named(), ["10.0.0.2"]);
    shop.through(&["b"]).await.unwrap();
    assert_eq!(shop.store.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_activators_stay_until_a_replica_is_ready() {
    let shop = Shop::new();
    shop.through(&["a"]).await.unwrap();
    let error = shop.direct_to("v2").await.unwrap_err();
    assert!(error.why.contains("ready"), "{error}");
    assert_eq!(shop.named(), ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn controllers_that_do_not_work_hold_no_change_up() {
    let shop = Shop::new();
    shop.direct_to("v1").await.unwrap();
    shop.store.trouble(|_, objects| {
        // As if nobody had touched it.
        if let Some(slice) = objects.get_mut(THEIRS) {
            slice["endpoints"] = json!([{ "addresses": ["10.0.1.1"], "conditions": { "ready": true } }]);
        }
        None
    });
    shop.through(&["a"]).await.unwrap();
    assert_eq!(shop.store.paths(), [SERVICE, OURS]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_after_it_was_deleted_is_deleted_again() {
    let shop = Shop::new();
    shop.direct_to("v1").await.unwrap();
    let mut came_back = false;
    let mut deleted = false;
    shop.store.trouble(move |call, objects| {
        if deleted && !came_back && call.method == "GET" {
            came_back = true;
            objects.insert(format!("{ENDPOINTS}/recommender"), json!({ "metadata": { "name": "recommender" } }));
        }
        deleted |= call.method == "DELETE" && call.path == THEIRS;
        None
    });
    shop.through(&["a"]).await.unwrap();
    assert_eq!(shop.store.paths(), [SERVICE, OURS]);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_somebody_else_is_never_touched() {
    let shop = Shop::new();
    shop.store.put(SERVICES, json!({ "metadata": { "name": "recommender", "namespace": "shop" }, "spec": {} }));
    let error = shop.through(&["a"]).await.unwrap_err();
    assert!(error.why.starts_with("NameTaken: "), "{error}");
    assert_eq!(shop.store.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_slice_of_our_name_that_is_somebody_elses_is_never_touched() {
    let shop = Shop::new();
    shop.store.put(SLICES, json!({ "metadata": { "name": "recommender-rouse-v4" }, "endpoints": [] }));
    let before = shop.store.get(OURS);
    let error = shop.through(&["a"]).await.unwrap_err();
    assert!(error.why.contains("already exists"), "{error}");
    assert_eq!(shop.store.get(OURS), before);
}

#[tokio::test(start_paused = true)]
async fn a_tags_service_goes_the_same_way_whatever_becomes_of_the_other() {
    let mut spec = api::ModelEndpoint::new(EndpointKey::new("shop", "recommender"), "v1");
    spec.traffic[0].tag = Some("canary".into());
    let shop = Shop::of(&spec);
    shop.store.put(SERVICES, json!({ "metadata": { "name": "recommender", "namespace": "shop" }, "spec": {} }));
    shop.through(&["a"]).await.unwrap_err();
    assert!(shop.store.get(&format!("{SLICES}/canary-recommender-rouse-v4")).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_any_more_takes_no_further_step() {
    let shop = Shop::new();
    shop.direct_to("v1").await.unwrap();
    shop.store.writes();
    let leads = shop.leads.clone();
    shop.store.trouble(move |call, _| {
        if call.method == "POST" {
            leads.send_replace(Leadership::Following);
        }
        None
    });
    let error = shop.through(&["a"]).await.unwrap_err();
    assert_eq!(error.why, "this leadership is over");
    assert_eq!(shop.store.writes(), [format!("POST {SLICES}")]);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_somebody_else_in_between_is_read_and_the_change_goes_on() {
    let shop = Shop::new();
    shop.direct_to("v1").await.unwrap();
    let mut conflicts = 2;
    shop.store.trouble(move |call, objects| {
        if call.method == "PATCH" && 0 < conflicts {
            conflicts -= 1;
            objects.get_mut(SERVICE).unwrap()["metadata"]["resourceVersion"] = format!("9{conflicts}").into();
        }
        None
    });
    shop.through(&["a"]).await.unwrap();
    assert_eq!(shop.store.paths(), [SERVICE, OURS]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_read_and_the_change_goes_on() {
    let shop = Shop::new();
    shop.direct_to("v1").await.unwrap();
    let mut lost = false;
    shop.store.trouble(move |call, objects| {
        if call.method == "POST" && !std::mem::replace(&mut lost, true) {
            let mut slice = call.body.clone();
            slice["metadata"]["resourceVersion"] = "999".into();
            slice["metadata"]["uid"] = "ours".into();
            objects.insert(OURS.to_owned(), slice);
            return Some(answer(504, &refusal(504, "lost")));
        }
        None
    });
    shop.through(&["a"]).await.unwrap();
    assert_eq!(shop.store.paths(), [SERVICE, OURS]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_as_the_api_server_said_it() {
    let shop = Shop::new();
    shop.store.trouble(|call, _| (call.method == "POST").then(|| answer(403, &refusal(403, "you may not"))));
    assert_eq!(shop.through(&["a"]).await.unwrap_err().why, "you may not");
}

#[tokio::test(start_paused = true)]
async fn without_a_port_or_an_address_nothing_is_written() {
    let shop = Shop::new();
    assert!(shop.through(&["gone"]).await.unwrap_err().why.contains("address"));
    shop.hands.cluster.world.change(|seen| {
        for object in seen.endpoints.values_mut() {
            Arc::make_mut(object).status = Arc::default();
        }
    });
    assert!(shop.through(&["a"]).await.unwrap_err().why.contains("port"));
    assert_eq!(shop.store.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_is_kept_otherwise_than_it_was_written_is_not_written_for_ever() {
    let shop = Shop::new();
    shop.store.trouble(|call, _| {
        let is_write = call.path.starts_with(SLICES) && call.method != "GET";
        let mut kept = call.body.clone();
        is_write.then(|| {
            kept["ports"] = json!([{ "name": "another", "port": 1, "protocol": "TCP" }]);
            answer(201, &kept)
        })
    });
    let why = shop.through(&["a"]).await.unwrap_err().why;
    assert!(why.contains("recommender-rouse-v4") && why.contains("changes it"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_known_not_to_exist_is_not_asked_for() {
    let shop = Shop::new();
    shop.store.trouble(|_, _| Some(answer(403, &refusal(403, "asked"))));
    assert_eq!(shop.through(&["a"]).await.unwrap_err().why, "asked");
    let sight = Sight { now: Moment::from_unix_millis(0), live: false };
    shop.hands.cluster.world.all::<ServiceSeen>(Some(&"shop".into()), Vec::new(), sight);
    assert_eq!(shop.through(&["a"]).await.unwrap_err().why, "Service recommender does not exist yet");
}

/// KServe's Service, with its own controller's slice and selector.
#[tokio::test(start_paused = true)]
async fn behind_a_service_of_kserve_our_slice_comes_and_goes_and_nothing_else_is_touched() {
    const KSERVES: &str = "/api/v1/namespaces/shop/services/iris-predictor";
    const BESIDE: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/iris-predictor-rouse-v4";
    let shop = Shop::new();
    let spec = json!({ "selector": { "app": "v1" }, "ports": [{ "port": 80 }, { "name": "grpc", "port": 8081 }] });
    let labels = json!({ "serving.kserve.io/inferenceservice": "iris", "component": "predictor" });
    let metadata = json!({ "name": "iris-predictor", "namespace": "shop", "uid": "kserves", "labels": labels });
    shop.store.put(SERVICES, json!({ "metadata": metadata, "spec": spec }));
    shop.hands.cluster.world.change(|seen| {
        let deployment: Watched<Deployment> = serde_json::from_value(json!({
            "metadata": { "name": "v1", "namespace": "shop" }, "spec": { "selector": { "matchLabels": { "app": "v1" } } },
        }))
        .unwrap();
        seen.deployments.insert(units::RevisionKey::new("shop", "v1"), Arc::new(deployment.kept));
    });
    let found = Findings { beside: vec!["iris-predictor".into()], ..Findings::default() };
    shop.hands.cluster.world.set_findings(&"shop".into(), [(EndpointKey::new("shop", "recommender"), found)].into());
    let before = shop.store.get(KSERVES);

    shop.through(&["a"]).await.unwrap();
    let slice = shop.store.get(BESIDE).unwrap();
    assert_eq!(slice["endpoints"][0]["addresses"][0], "10.0.0.1");
    // Names of ports are KServe's, and both lead to the endpoint's own port.
    assert_eq!((&slice["ports"][1]["name"], &slice["ports"][1]["port"]), (&json!("grpc"), &json!(20_001)));
    let labels = slice["metadata"]["labels"].as_object().unwrap();
    assert!(!labels.contains_key("serving.kserve.io/inferenceservice") && !labels.contains_key("component"));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "ModelEndpoint");

    let order = || RouteOrder { endpoint: EndpointKey::new("shop", "recommender"), route: Route::Direct, epoch: 1 };
    shop.store.trouble(|_, objects| {
        // As if its controllers had not come to KServe's Service yet.
        if let Some(slice) = objects.get_mut(&format!("{SLICES}/iris-predictor-x7k2p")) {
            slice["endpoints"] = json!([]);
        }
        None
    });
    let error = shop.hands.order_route(order()).await.unwrap_err();
    assert!(error.why.contains("iris-predictor") && shop.store.get(BESIDE).is_some(), "{error}");
    shop.store.trouble(|_, _| None);
    shop.store.put(SERVICES, shop.store.get(KSERVES).unwrap());
    shop.hands.order_route(order()).await.unwrap();
    assert_eq!(shop.store.get(BESIDE), None);
    assert_eq!(shop.store.get(KSERVES).unwrap()["spec"], before.unwrap()["spec"]);
}
