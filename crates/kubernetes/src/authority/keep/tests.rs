//! A leader that keeps the authority, over an API server that keeps objects.

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};

use super::*;
use crate::fake::store::Store;
use crate::fake::{answer, refusal};

const TIMING: Timing = Timing { renewal: Duration::from_secs(365 * 86_400), step: Duration::from_secs(600) };
const SECRETS: &str = "/api/v1/namespaces/rouse/secrets";
const MAPS: &str = "/api/v1/namespaces/rouse/configmaps";

fn secret(store: &Store, name: &str) -> Option<Secret> {
    store.get(&format!("{SECRETS}/{name}")).map(|json| serde_json::from_value(json).unwrap())
}

fn bundle(store: &Store) -> String {
    let map = store.get(&format!("{MAPS}/rouse-trust")).unwrap();
    map["data"]["ca.crt"].as_str().unwrap().to_owned()
}

fn shown(store: &Store) -> Credentials {
    credentials(secret(store, ACTIVATOR_TLS).unwrap()).unwrap()
}

/// Looks as long as there is something to do at this moment.
async fn settle(keeper: &mut Keeper<'_>) -> Moment {
    loop {
        let next = keeper.look().await;
        if keeper.cluster.clock.now() < next {
            return next;
        }
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

/// Is a server with this chain believed by who believes the bundle, at that moment?
fn believes(bundle: &str, chain: &str, name: &str, at: Moment) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    certificates(bundle).into_iter().for_each(|certificate| roots.add(certificate).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let (chain, name) = (certificates(chain), ServerName::try_from(name.to_owned()).unwrap());
    let verified =
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::since_unix_epoch(at.unix()));
    verified.map(drop).map_err(|error| error.to_string())
}

fn ask(store: &Store, what: &str) -> Secret {
    let path = format!("{SECRETS}/{AUTHORITY}");
    let mut object = store.get(&path).unwrap();
    object["metadata"]["annotations"] = json!({ ROTATE: what });
    store.put(SECRETS, object);
    secret(store, AUTHORITY).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_finds_nothing_makes_an_authority_and_says_whom_to_believe() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    let next = settle(&mut keeper).await;
    assert_eq!(next.since(cluster.clock.now()), LOOK);
    let authority = cluster.authority().borrow().clone().unwrap();
    assert_eq!(bundle(&store), authority.ca_bundle());
    assert_eq!(shown(&store).authority, authority.ca_bundle().as_bytes());
    assert!(!bundle(&store).contains("PRIVATE"));
    let now = cluster.clock.now();
    let leaf = authority.server(&["rouse-webhook.rouse.svc"], now).unwrap();
    assert_eq!(believes(&bundle(&store), &leaf.certificate, "rouse-webhook.rouse.svc", now), Ok(()));
    assert!(believes(&bundle(&store), &leaf.certificate, "other.rouse.svc", now).is_err());
    assert!(believes(&bundle(&store), &leaf.certificate, "rouse-webhook.rouse.svc", leaf.expires.plus(LOOK)).is_err());
    // What is in order is only looked at.
    store.writes();
    settle(&mut keeper).await;
    assert_eq!(store.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_goes_through_its_steps_and_nothing_is_shown_that_is_not_believed() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    settle(&mut keeper).await;
    let first = bundle(&store);
    let (mut bundles, mut authorities) = (vec![first.clone()], Vec::new());
    for what in ["once", "twice"] {
        keeper.saw(Some(ask(&store, what)));
        for _ in 0..4 {
            settle(&mut keeper).await;
            authorities.push(cluster.authority().borrow().clone().unwrap());
            bundles.push(bundle(&store));
            pass(601).await;
        }
    }
    bundles.dedup();
    assert_eq!(bundles.iter().map(|bundle| certificates(bundle).len()).collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
    assert_eq!(certificates(&bundles[1]), certificates(&(bundles[0].clone() + &bundles[2])));
    let now = cluster.clock.now();
    let generations: Vec<u64> = authorities.iter().map(|authority| authority.generation()).collect();
    assert!(generations.is_sorted(), "{generations:?}");
    for steps in authorities.windows(2) {
        for (shows, looks) in [(&steps[0], &steps[1]), (&steps[1], &steps[0])] {
            let leaf = shows.server(&["a.rouse"], now).unwrap();
            assert_eq!(believes(looks.ca_bundle(), &leaf.certificate, "a.rouse", now), Ok(()));
        }
    }
    // Whoever was away meanwhile, and believes the first one alone, is led to the last; and not the other way round.
    let last = authorities.last().unwrap();
    let leaf = last.server(&["a.rouse"], now).unwrap();
    assert_eq!(believes(&first, &leaf.certificate, "a.rouse", now), Ok(()));
    let old = authorities[0].server(&["a.rouse"], now).unwrap();
    assert!(believes(last.ca_bundle(), &old.certificate, "a.rouse", now).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_activators_show_is_made_anew_when_a_third_of_its_time_has_passed() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    settle(&mut keeper).await;
    let (first, third) = (shown(&store), TIMING.leaf().as_secs() / 3);
    pass(third - 60).await;
    settle(&mut keeper).await;
    assert_eq!(shown(&store), first);
    pass(120).await;
    settle(&mut keeper).await;
    assert!(shown(&store).certificate != first.certificate && shown(&store).authority == first.authority);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_away_comes_back() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    settle(&mut keeper).await;
    let before = (bundle(&store), cluster.authority().borrow().as_ref().unwrap().generation());
    store.put(
        MAPS,
        json!({ "metadata": { "name": "rouse-trust", "namespace": "rouse" }, "data": { "ca.crt": "mine" } }),
    );
    store.put(SECRETS, json!({ "metadata": { "name": ACTIVATOR_TLS, "namespace": "rouse" } }));
    settle(&mut keeper).await;
    assert_eq!(bundle(&store), before.0);
    assert_eq!(shown(&store).authority, before.0.as_bytes());
    // The authority itself: another one, which is believed instead.
    pass(1).await;
    keeper.saw(None);
    store.trouble(|call, objects| {
        objects.retain(|path, _| call.method != "POST" || !path.ends_with(AUTHORITY));
        None
    });
    settle(&mut keeper).await;
    assert_ne!(bundle(&store), before.0);
    assert!(before.1 < cluster.authority().borrow().as_ref().unwrap().generation());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_nobody_could_be_told_of_is_not_followed_by_the_next() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    settle(&mut keeper).await;
    let first = shown(&store).certificate;
    keeper.saw(Some(ask(&store, "please")));
    store.trouble(|call, _| {
        let is_bundle = call.path.ends_with(TRUST) && call.method == "PUT";
        is_bundle.then(|| answer(403, &refusal(403, "not today")))
    });
    for _ in 0..20 {
        settle(&mut keeper).await;
        pass(100).await;
    }
    assert_eq!(certificates(&bundle(&store)).len(), 1);
    store.trouble(|_, _| None);
    settle(&mut keeper).await;
    assert_eq!(certificates(&bundle(&store)).len(), 2);
    assert_eq!(shown(&store).certificate, first, "still of the old one");
    pass(601).await;
    settle(&mut keeper).await;
    assert_ne!(shown(&store).certificate, first);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_themselves_for_the_leader_one_makes_the_authority() {
    let store = Store::new(|_| {});
    let (cluster, other) = (store.cluster(), store.cluster());
    let (mut keeper, mut late) = (Keeper::new(&cluster, TIMING), Keeper::new(&other, TIMING));
    keeper.saw(None);
    late.saw(None);
    settle(&mut keeper).await;
    let made = secret(&store, AUTHORITY);
    assert_eq!(settle(&mut late).await.since(other.clock.now()), PAUSE);
    assert_eq!(secret(&store, AUTHORITY), made);
    late.saw(made);
    settle(&mut late).await;
    let generation = |cluster: &Cluster| cluster.authority().borrow().as_ref().map(|known| known.generation());
    assert_eq!(generation(&other), generation(&cluster));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_understood_is_left_alone() {
    let store = Store::new(|_| {});
    let data = json!({ "ledger.json": ByteString(b"{\"generation\": 1}".to_vec()) });
    store.put(SECRETS, json!({ "metadata": { "name": AUTHORITY, "namespace": "rouse" }, "data": data }));
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(secret(&store, AUTHORITY));
    keeper.look().await;
    assert_eq!(store.writes(), [""; 0]);
    assert!(cluster.authority().borrow().is_none());
    // One that says nothing is begun.
    let data: Value = json!({ "note": ByteString(b"by a person".to_vec()) });
    store.put(SECRETS, json!({ "metadata": { "name": AUTHORITY, "namespace": "rouse" }, "data": data }));
    keeper.saw(secret(&store, AUTHORITY));
    settle(&mut keeper).await;
    assert!(cluster.authority().borrow().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_sidecar_made_is_certified_and_nothing_else() {
    let store = Store::new(|_| {});
    let cluster = store.cluster();
    let mut keeper = Keeper::new(&cluster, TIMING);
    keeper.saw(None);
    settle(&mut keeper).await;
    let (authority, now) = (cluster.authority().borrow().clone().unwrap(), cluster.clock.now());
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = authority.certify("sidecar.rouse", key.public_key_raw(), now).unwrap();
    assert_eq!(believes(authority.ca_bundle(), &chain, "sidecar.rouse", now), Ok(()));
    for bad in [&[][..], &[4; 64], &[3; 65], &[4; 66]] {
        assert!(authority.certify("sidecar.rouse", bad, now).is_err());
    }
}
