//! grpcio, as client and as model: through the sidecar, and through the activator and the sidecar.

use peers::{Server, Sidecar, Stage, curl, passes};

async fn check(name: &str) {
    passes("grpc_client.py", name, &Stage::all("grpc_server.py", &[]).await).await;
}

#[tokio::test]
async fn the_health_service_is_asked_and_watched() {
    check("asks_the_health_service").await;
}

#[tokio::test]
async fn a_unary_call_has_metadata_at_both_ends() {
    check("calls_with_metadata_at_both_ends").await;
}

#[tokio::test]
async fn a_status_comes_with_its_message_in_any_script() {
    check("reads_a_status_with_its_message").await;
}

#[tokio::test]
async fn a_stream_of_answers_ends_with_its_status() {
    check("reads_a_stream_to_its_status").await;
}

#[tokio::test]
async fn a_stream_of_requests_is_answered() {
    check("sends_a_stream").await;
}

#[tokio::test]
async fn both_sides_of_a_stream_talk_in_turns() {
    check("talks_in_turns").await;
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_call_at_both_ends() {
    check("is_told_that_its_deadline_has_passed").await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_model() {
    check("cancels").await;
}

#[tokio::test]
async fn more_calls_at_once_than_one_connection_has_streams_are_all_answered() {
    check("makes_many_calls_at_once").await;
}

/// A port that nobody listens on: the model is never ready.
const NOBODY: &str = "127.0.0.1:9";

#[tokio::test]
async fn a_refusal_is_unavailable_in_trailers_only() {
    let sidecar = Sidecar::beside(NOBODY.parse().unwrap(), &[("QUEUE_DEPTH", "0")]).await;
    client("is_refused", &sidecar).await;
}

#[tokio::test]
async fn the_deadline_of_a_call_bounds_its_wait_for_the_model() {
    let sidecar = Sidecar::beside(NOBODY.parse().unwrap(), &[]).await;
    // curl keeps no deadline itself, as grpcio does: here the sidecar must.
    let call = ["--http2-prior-knowledge", "--header", "content-type: application/grpc", "--header", "te: trailers"];
    let url = sidecar.url("/peers.Model/Unary");
    let Some(seen) = curl(&[&call[..], &["--header", "grpc-timeout: 300m", "--data", "", &url]].concat()).await else {
        return;
    };
    assert_eq!((seen.statuses(), seen.header("rouse-reason")), (vec!["200"], vec!["waited-too-long"]), "{seen:?}");
    assert_eq!(seen.header("grpc-status"), ["14"]);
}

#[tokio::test]
async fn a_call_to_an_endpoint_that_nobody_knows_is_not_found() {
    let models = ["one", "two"].map(|name| wired::Model::predictor(name, &[]));
    let up = wired::Up::start(&wired::File::of_all(models.to_vec())).await;
    run("is_told_that_nobody_has_that_name", &format!("http://{}", up.shared())).await;
}

#[tokio::test]
async fn calls_wait_until_the_models_own_health_service_says_serving() {
    let Some(server) = Server::start("grpc_server.py", &["asleep"]).await else { return };
    let port = server.address().port();
    let probe = format!("{{\"grpc\":{{\"port\":{port}}},\"periodSeconds\":1}}");
    let sidecar = Sidecar::beside(server.address(), &[("READINESS_PROBE", &probe)]).await;
    client("puts_a_limit_on_the_wait", &sidecar).await;
    // Past the sidecar, as the model itself would.
    run("wakes_it", &format!("http://{}", server.address())).await;
    client("asks_the_health_service", &sidecar).await;
}

async fn client(check: &str, sidecar: &Sidecar) {
    run(check, &sidecar.url("")).await;
}

async fn run(check: &str, url: &str) {
    let Some(mut client) = peers::python("grpc_client.py") else { return };
    client.args([check, url]);
    peers::succeeds(client).await.unwrap();
}
