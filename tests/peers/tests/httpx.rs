//! httpx, as a client of a model under uvicorn: through the sidecar, and through the activator and the sidecar.

use peers::{Sidecar, Stage, passes};

async fn check(name: &str) {
    passes("http_client.py", name, &Stage::all("asgi.py", &[]).await).await;
}

#[tokio::test]
async fn a_client_keeps_one_connection_for_requests_of_all_kinds() {
    check("keeps_its_connection").await;
}

#[tokio::test]
async fn an_upload_of_unknown_length_streams_to_the_model_whole() {
    check("streams_an_upload").await;
}

#[tokio::test]
async fn each_event_is_passed_on_before_the_next_is_sent() {
    check("hears_each_event_at_once").await;
}

#[tokio::test]
async fn an_answer_that_the_model_cuts_is_never_taken_for_a_whole_one() {
    check("notices_a_cut_answer").await;
}

#[tokio::test]
async fn the_model_learns_that_a_client_has_left() {
    check("leaves_in_the_middle").await;
}

#[tokio::test]
async fn who_sends_json_is_refused_in_json() {
    // A port that nobody listens on: the model is never ready, and nobody may wait.
    let sidecar = Sidecar::beside("127.0.0.1:9".parse().unwrap(), &[("QUEUE_DEPTH", "0")]).await;
    let Some(mut client) = peers::python("http_client.py") else { return };
    client.args(["is_refused_in_json", &sidecar.url("")]);
    peers::succeeds(client).await.unwrap();
}
