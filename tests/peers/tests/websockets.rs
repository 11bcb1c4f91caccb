//! websockets, as client and as model: through the sidecar, and through the activator and the sidecar.

use peers::{Stage, passes};

async fn check(name: &str) {
    passes("ws_client.py", name, &Stage::all("ws_server.py", &[]).await).await;
}

#[tokio::test]
async fn messages_of_text_and_bytes_come_back_as_they_were() {
    check("echoes").await;
}

#[tokio::test]
async fn large_frames_and_messages_in_many_frames_pass() {
    check("carries_large_frames").await;
}

#[tokio::test]
async fn pings_are_answered_by_the_other_end_in_both_directions() {
    check("pings_both_ways").await;
}

#[tokio::test]
async fn the_model_hears_why_a_client_closes() {
    check("says_why_it_closes").await;
}

#[tokio::test]
async fn a_client_hears_why_the_model_closes() {
    check("hears_why_it_is_closed").await;
}

#[tokio::test]
async fn subprotocol_and_extensions_are_agreed_on_by_the_two_ends() {
    check("agrees_on_subprotocol_and_extension").await;
}

#[tokio::test]
async fn a_handshake_that_the_model_refuses_is_answered_with_its_words() {
    check("is_told_no").await;
}
