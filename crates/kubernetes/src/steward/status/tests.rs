use std::time::Duration;

use units::RevisionKey;

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_unix(Duration::from_secs(1_767_323_045 + seconds))
}

fn key() -> EndpointKey {
    EndpointKey::new("shop", "recommender")
}

struct Given {
    key: EndpointKey,
    spec: Result<api::ModelEndpoint, api::Faults>,
    found: Findings,
    route: Route,
}

fn given() -> Given {
    let through = Route::Proxied { through: ["a".into()].into() };
    let found = Findings { revisions: [("v1".into(), RevisionFindings::default())].into(), ..Findings::default() };
    Given { key: key(), spec: Ok(api::ModelEndpoint::new(key(), "v1")), found, route: through }
}

fn facts(given: &Given) -> Facts<'_> {
    Facts {
        key: &given.key,
        generation: 3,
        found: Some(&given.found),
        spec: given.spec.as_ref(),
        port: Some(20_017),
        missing_services: Vec::new(),
        names_taken: Vec::new(),
        route: Some(&given.route),
        conflicts: BTreeMap::new(),
        told: None,
        domain: "cluster.local",
        plaintext: true,
    }
}

fn of(status: &Status, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind.word())
}

fn holds(status: &Status, kind: ConditionType) -> (Holds, &str) {
    of(status, kind).map(|condition| (condition.status, condition.reason.as_str())).unwrap()
}

#[test]
fn an_endpoint_with_everything_in_place_is_ready_at_zero_too() {
    let given = given();
    let status = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&status, ConditionType::Ready), (Holds::True, "Ready"));
    assert_eq!(holds(&status, ConditionType::RoutesReady), (Holds::True, "Proxied"));
    assert_eq!(status.traffic, [Share { revision: "v1".into(), percent: 100 }]);
    assert_eq!(status.revisions[0].deployment.as_deref(), Some("v1"));
    assert_eq!(of(&status, ConditionType::Ready).unwrap().last_transition_time, "2026-01-02T03:04:05Z");
    for kind in ConditionType::ALL.iter().filter(|kind| kind.is_always_there()) {
        assert!(of(&status, *kind).is_some(), "{kind:?}");
    }
    for kind in ConditionType::ALL.iter().filter(|kind| !kind.is_always_there() && **kind != ConditionType::Plaintext) {
        assert!(of(&status, *kind).is_none(), "{kind:?}");
    }
}

#[test]
fn plain_tcp_between_programs_is_told_and_so_is_its_end() {
    let given = given();
    let plain = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&plain, ConditionType::Plaintext), (Holds::True, "NotEncrypted"));
    let encrypted = Facts { plaintext: false, ..facts(&given) };
    assert!(of(&status(&encrypted, &Status::default(), at(0)), ConditionType::Plaintext).is_none());
    assert_eq!(holds(&status(&encrypted, &plain, at(1)), ConditionType::Plaintext), (Holds::False, "Over"));
}

#[test]
fn it_is_ready_as_the_first_of_its_parts_that_is_not() {
    let mut given = given();
    given.found.revisions.get_mut("v1").unwrap().is_missing = true;
    let status = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&status, ConditionType::Ready), (Holds::False, "RevisionMissing"));
    let message = &of(&status, ConditionType::Ready).unwrap().message;
    assert_eq!(message, "there is no Deployment v1 in namespace shop");
}

#[test]
fn a_spec_that_is_not_understood_is_not_accepted_and_every_fault_is_told() {
    let mut given = given();
    let object = serde_json::json!({
        "apiVersion": "rouse.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": { "name": "m", "namespace": "shop" },
        "spec": { "traffic": [{ "revision": "v1", "percent": 100 }], "rollout": { "candidate": "v1" } },
    });
    given.spec = api::ModelEndpoint::from_object(&object);
    given.found.keeps_last_good = true;
    let status = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&status, ConditionType::Accepted), (Holds::False, "NotYetSupported"));
    let message = &of(&status, ConditionType::Accepted).unwrap().message;
    assert!(message.contains("spec.rollout") && message.ends_with("still in force."), "{message}");
    assert_eq!(holds(&status, ConditionType::Ready), (Holds::False, "NotYetSupported"));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut given = given();
    let first = status(&facts(&given), &Status::default(), at(0));
    given.found.revisions.get_mut("v1").unwrap().taken_by = Some(EndpointKey::new("shop", "older"));
    let second = status(&facts(&given), &first, at(60));
    let time = |status: &Status, kind| of(status, kind).unwrap().last_transition_time.clone();
    assert_eq!(time(&second, ConditionType::Accepted), time(&first, ConditionType::Accepted));
    assert_eq!(time(&second, ConditionType::Ready), "2026-01-02T03:05:05Z");
    assert_eq!(holds(&second, ConditionType::RevisionTaken), (Holds::True, "RevisionTaken"));
}

#[test]
fn trouble_that_is_over_stays_as_false() {
    let mut given = given();
    given.found.hosts_of_others = vec![("example.com".into(), EndpointKey::new("other", "older"))];
    let first = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&first, ConditionType::HostConflict), (Holds::True, "HostTaken"));
    given.found.hosts_of_others.clear();
    let second = status(&facts(&given), &first, at(60));
    assert_eq!(holds(&second, ConditionType::HostConflict), (Holds::False, "Over"));
}

#[test]
fn without_a_sidecar_a_limit_holds_at_each_activator_alone() {
    let mut given = given();
    given.found.revisions.get_mut("v1").unwrap().without_sidecars = true;
    let unlimited = status(&facts(&given), &Status::default(), at(0));
    assert!(of(&unlimited, ConditionType::LimitPerActivator).is_none());
    given.spec.as_mut().unwrap().container_concurrency = units::ConcurrencyLimit::from_field(10);
    let limited = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(holds(&limited, ConditionType::LimitPerActivator), (Holds::True, "NoSidecar"));
}

#[test]
fn a_conflict_is_remembered_by_what_is_said_of_it() {
    let given = given();
    let mut facts = facts(&given);
    facts.conflicts = [("v1".to_owned(), "its replicas are written by argocd too".to_owned())].into();
    let status = status(&facts, &Status::default(), at(0));
    assert!(names_conflict(&status, &RevisionKey::new("shop", "v1")));
    assert!(!names_conflict(&status, &RevisionKey::new("shop", "v2")));
}

#[test]
fn a_patch_takes_out_what_is_not_said_any_more() {
    let given = given();
    let mut facts = facts(&given);
    facts.port = None;
    let patch = patch("uid", &status(&facts, &Status::default(), at(0)));
    assert_eq!(patch["metadata"]["uid"], "uid");
    let fields = patch["status"].as_object().unwrap();
    assert!(fields["activatorPort"].is_null() && fields.contains_key("rollout"), "{patch}");
}

#[test]
fn a_url_says_its_port_only_where_it_is_not_the_usual_one() {
    let mut given = given();
    let url = |given: &Given| status(&facts(given), &Status::default(), at(0)).url.unwrap();
    assert_eq!(url(&given), "http://recommender.shop.svc.cluster.local");
    let port = api::EndpointPort { name: "grpc".into(), port: 8081, container_port: None, protocol: None };
    given.spec.as_mut().unwrap().port = Some(port);
    assert_eq!(url(&given), "http://recommender.shop.svc.cluster.local:8081");
}

/// Before the InferenceService `iris`, whose Deployment is `v1`.
fn before_iris(found: RevisionFindings) -> Given {
    let mut given = given();
    given.spec.as_mut().unwrap().traffic[0].inference_service = Some("iris".into());
    given.found.revisions = [("v1".into(), found)].into();
    given
}

#[test]
fn why_an_inference_service_cannot_be_woken_is_said_in_its_own_words() {
    let why: Option<std::sync::Arc<str>> = Some("InferenceService iris is stopped".into());
    let given = before_iris(RevisionFindings { is_missing: true, why_missing: why, ..RevisionFindings::default() });
    let status = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(of(&status, ConditionType::Ready).unwrap().message, "InferenceService iris is stopped");
    let said = &status.revisions[0];
    assert_eq!((said.name.as_str(), &said.deployment), ("iris", &None));
    assert_eq!(said.reason.as_deref(), Some("InferenceService iris is stopped"));
}

#[test]
fn the_split_in_force_is_what_activators_route_by_and_not_only_what_is_written() {
    let mut given = before_iris(RevisionFindings::default());
    let share = |revision: &str, percent| Share { revision: revision.into(), percent };
    let shares = |given: &Given, told| status(&Facts { told, ..facts(given) }, &Status::default(), at(0)).traffic;
    assert_eq!(shares(&given, None), [share("iris", 100)], "while nothing else is known");
    let told = serde_json::json!({
        "namespace": "shop", "name": "recommender", "url": null, "hosts": [], "state": "active", "revisions": [],
        "traffic": [{ "revision": "v1", "percent": 90, "tag": null }, { "revision": "v0", "percent": 10, "tag": null }],
    });
    let told: admin::Endpoint = serde_json::from_value(told).unwrap();
    assert_eq!(shares(&given, Some(&told)), [share("iris", 90), share("v0", 10)]);
    // What was in force stays while what is written has a fault.
    given.spec = Err(api::Faults(Vec::new()));
    assert_eq!(shares(&given, Some(&told)), [share("v1", 90), share("v0", 10)]);
}

#[test]
fn kserves_own_service_stays_and_it_is_said_what_comes_that_way() {
    let behind = RevisionFindings { behind_kserves: vec!["iris-predictor".into()], ..RevisionFindings::default() };
    let mut given = before_iris(behind);
    let message = |given: &Given| {
        let status = status(&facts(given), &Status::default(), at(0));
        of(&status, ConditionType::Bypassed).unwrap().message.clone()
    };
    assert!(message(&given).contains("at zero it wakes nobody"));
    given.found.beside = vec!["iris-predictor".into()];
    let said = message(&given);
    assert!(said.contains("at zero it wakes it all the same") && !said.contains("delete"), "{said}");
}

#[test]
fn what_kserve_writes_is_over_at_once_when_kserve_leaves_replicas_alone() {
    let given = before_iris(RevisionFindings { rival: Some("write external".into()), ..RevisionFindings::default() });
    let mut facts = facts(&given);
    facts.conflicts = [("v1".to_owned(), "write external".to_owned())].into();
    let before = status(&facts, &Status::default(), at(0));
    assert_eq!(holds(&before, ConditionType::ScaleConflict), (Holds::True, "ScaledByOthers"));
    assert!(!names_conflict(&before, &RevisionKey::new("shop", "v1")));
}

#[test]
fn what_is_passed_over_is_the_revisions_reason_where_there_is_no_other() {
    let given =
        before_iris(RevisionFindings { passed_over: Some("scaleMetric cpu".into()), ..RevisionFindings::default() });
    let status = status(&facts(&given), &Status::default(), at(0));
    assert_eq!(status.revisions[0].reason.as_deref(), Some("scaleMetric cpu"));
}
