//! A shadow beside a model, with real programs. `make bench-shadow` has the same with figures.

use std::time::Duration;

use loadtest::shadow::{Kind, Plan, measure};
use serde_json::Value;
use wired::{Up, eventually, rouse, secs};

const FILE: &str = include_str!("../../../examples/shadow.yaml");
const MIB: u64 = 1 << 20;

/// Sooner back to zero than Knative's defaults have it.
const SHORT: &str = r#"---
{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "config-autoscaler" },
  "data": { "stable-window": "6s", "scale-to-zero-grace-period": "1s" } }
"#;

async fn told(up: &Up, path: &str) -> Value {
    serde_json::from_slice(&up.admin(path).await.body).unwrap()
}

#[tokio::test]
async fn the_example_wakes_its_shadow_compares_and_both_go_back_to_zero() {
    let up = Up::start_text(&format!("{FILE}{SHORT}")).await;
    let client = up.client("recommender");
    for number in 0..20 {
        let path = "/v1/models/any:predict";
        let body = format!(r#"{{"instances": [[{number}, 2.5]]}}"#);
        let answer = client.ask(client.request(path).method("POST"), body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("rouse-revision")), (200, "recommender-v1"), "{answer:?}");
    }
    eventually(secs(20), "all are compared, and alike", async || {
        let shadow = told(&up, "/api/v1/shadows").await["shadows"][0].clone();
        let compared = &shadow["compared"];
        let is = |seen: &Value, wanted: f64| seen.as_f64() == Some(wanted);
        let all = is(&shadow["copies"]["answered"], 20.0) && is(&compared["alike"], 20.0);
        if all && is(&compared["agreement"], 1.0) { Ok(()) } else { Err(shadow.to_string()) }
    })
    .await;
    // Its own demand keeps it, and nobody else's; then both have none.
    up.until_state("recommender-v1", "zero", secs(40)).await;
    up.until_state("recommender-v2", "zero", secs(40)).await;
    let wakes = told(&up, "/api/v1/revisions/default/recommender-v2/wakes").await;
    assert_eq!(wakes["wakes"].as_array().map(Vec::len), Some(1), "{wakes}");
}

#[tokio::test]
async fn whatever_a_shadow_does_every_client_is_answered_every_copy_is_counted_and_memory_is_bounded() {
    let plan = Plan { rounds: 1, lasts: Duration::from_secs(1), apart: false };
    for kind in Kind::ALL {
        let row = measure(rouse(), kind, plan).await.unwrap();
        assert_eq!(row.answered, row.requests, "{row}");
        assert_eq!(row.counted(), row.requests, "{row}");
        // Copies have 64 MiB; beside that are the connections of 128 of them at two hops, a mebibyte each with what is on its
        // way. The large answers that were asked for come to hundreds of gibibytes.
        assert!(row.memory[1] - row.memory[0] < 384 * MIB, "{row}");
        let how = |word: &str| row.copies.get(word).copied().unwrap_or_default();
        match kind {
            Kind::Good => assert_eq!(how("answered"), row.requests, "{row}"),
            Kind::Hangs => assert_eq!(row.under_way, row.requests.min(128), "{row}"),
            // Its sidecar answers in its place.
            Kind::Fails | Kind::Garbage => assert_eq!(how("error"), row.requests, "{row}"),
            Kind::Crashes => assert!(0 < how("answered"), "{row}"),
            Kind::Floods => assert!(0 < how("answer-too-large"), "{row}"),
        }
    }
}
