use serde_json::{Value, json};

use super::judge::judge;
use crate::schema::status;
use crate::status::{Condition, ConditionType, Holds, Revision, Rollout, Share, Status, Verdict};

/// A status in which everything is said.
fn full_status() -> Status {
    Status {
        observed_generation: Some(3),
        url: Some("http://recommender.shop.svc".to_owned()),
        activator_port: Some(20_417),
        traffic: vec![Share { revision: "v1".to_owned(), percent: 100 }],
        rollout: Some(Rollout {
            step: 1,
            verdict: Verdict::Waiting,
            hash: "5f2c".to_owned(),
            step_since: Some("2026-01-01T00:00:00Z".to_owned()),
            reason: Some("40 of 100 requests".to_owned()),
        }),
        revisions: vec![Revision {
            name: "v1".to_owned(),
            deployment: Some("v1".to_owned()),
            state: Some(crate::admin::State::Zero),
            path: Some(crate::admin::Path::Proxied),
            mode: Some(crate::admin::Mode::Stable),
            reason: Some("nothing asks for it".to_owned()),
        }],
        conditions: ConditionType::ALL
            .iter()
            .map(|kind| Condition {
                kind: kind.word().to_owned(),
                status: Holds::True,
                observed_generation: Some(3),
                last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
                reason: "Because".to_owned(),
                message: String::new(),
            })
            .collect(),
    }
}

#[test]
fn a_status_is_what_the_schema_says_and_reads_back() {
    let full = full_status();
    let json = serde_json::to_value(&full).unwrap();
    let schema = status().to_json();
    assert_eq!(judge(&schema, "status", &json), []);
    assert_all_said(&schema, &json, "status");
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), full);
    assert_eq!(serde_json::to_value(Status::default()).unwrap(), json!({}));
}

#[test]
fn every_word_of_a_status_is_in_the_schema() {
    use crate::admin::{Mode, Path, State};

    fn words<T: serde::Serialize>(all: &[T]) -> Value {
        serde_json::to_value(all).unwrap()
    }
    let schema = status().to_json();
    let revision = &schema["properties"]["revisions"]["items"]["properties"];
    let states = [State::Zero, State::Waking, State::Active, State::Draining, State::Failed];
    assert_eq!(revision["state"]["enum"], words(&states));
    assert_eq!(revision["path"]["enum"], words(&[Path::Proxied, Path::Direct]));
    assert_eq!(revision["mode"]["enum"], words(&[Mode::Stable, Mode::Panic]));
    let verdicts = [Verdict::Progressing, Verdict::Waiting, Verdict::Promoted, Verdict::Aborted];
    assert_eq!(schema["properties"]["rollout"]["properties"]["verdict"]["enum"], words(&verdicts));
    let holds = &schema["properties"]["conditions"]["items"]["properties"]["status"]["enum"];
    assert_eq!(*holds, words(&[Holds::True, Holds::False, Holds::Unknown]));
}

/// Every field of the schema is there.
fn assert_all_said(schema: &Value, value: &Value, path: &str) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        assert!(!value[name].is_null(), "{path}.{name}");
        assert_all_said(schema, &value[name], &format!("{path}.{name}"));
    }
    if schema["items"].is_object() {
        assert_all_said(&schema["items"], &value[0], &format!("{path}[]"));
    }
}
