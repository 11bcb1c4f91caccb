//! uvicorn closes idle connections, and requests come just then.
//!
//! Uvicorn's own time is 5 s, and a client with a request every 5.0 s is what met the close in other proxies. Here it
//! closes after 2 s, and requests come every 2.0 s, give or take some milliseconds: sooner than the sidecar drops an idle
//! connection itself (4 s), which with 5 s it does first. Whether one meets the very moment is chance; what becomes of
//! it then is shown with a model that closes at the worst moment each time, in the tests of `queue-proxy`.

use peers::{Server, Sidecar};

async fn every_two_seconds(method: &str) {
    let Some(server) = Server::start("asgi.py", &["2"]).await else { return };
    let sidecar = Sidecar::beside(server.address(), &[]).await;
    let Some(mut clients) = peers::python("keep_alive.py") else { return };
    clients.args([&sidecar.url(""), "2.0", "12", "24", method]);
    println!("{}", peers::succeeds(clients).await.unwrap());
}

#[tokio::test]
async fn a_post_that_comes_as_the_model_closes_is_begun_once_and_answered() {
    every_two_seconds("POST").await;
}

#[tokio::test]
async fn a_put_that_comes_as_the_model_closes_is_answered() {
    every_two_seconds("PUT").await;
}
