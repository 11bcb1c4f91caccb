//! An API server for tests: a function from calls to answers, without a socket.
//!
//! `store` is one that keeps objects.

pub(crate) mod store;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use daemon::Clock;
use futures_util::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use parking_lot::Mutex;
use platform::Boards;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::site::Site;
use crate::world::World;

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// `null` if there was none.
    pub(crate) body: Value,
}

/// A cluster whose API server is `answer`: a status code and a body.
pub(crate) fn cluster<F>(answer: F) -> Cluster
where
    F: Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let answer = Arc::clone(&answer);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let call = Call {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            };
            Ok::<_, kube::Error>(answer(call).await)
        }
    });
    of_client(kube::Client::new(service, "default"))
}

/// A cluster whose API server is whoever answers this client.
pub(crate) fn of_client(client: kube::Client) -> Cluster {
    let site = Site {
        namespace: "rouse".into(),
        pod_name: "autoscaler-0".into(),
        pod_uid: "pod-uid".into(),
        cluster_domain: "cluster.local".into(),
        own_ports: Site::OWN_PORTS,
        shared_port: 8080,
        streams_port: 8081,
        plaintext: true,
    };
    Cluster {
        site: Arc::new(site),
        clock: Clock::start(),
        patient: client.clone(),
        prompt: client,
        world: Arc::new(World::new()),
        boards: Arc::new(Boards::new()),
        authority: Arc::default(),
    }
}

/// An answer of the API server.
pub(crate) type Reply = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// An answer that is there in whole.
pub(crate) fn answer(code: u16, body: &Value) -> Reply {
    let body = Full::from(serde_json::to_vec(body).unwrap()).map_err(|never| match never {}).boxed_unsync();
    http::Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

/// A refusal as the API server words it.
pub(crate) fn refusal(code: u16, message: &str) -> Value {
    // By this word a client tells what is missing from what is wrong.
    let reason = if code == 404 { "NotFound" } else { "" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason })
}

/// What the API server does next.
pub(crate) enum Next {
    Says(u16, Value),
    /// Nothing, ever.
    IsSilent,
}

/// A cluster that answers by a script, and what it was asked.
pub(crate) fn scripted(script: impl Into<VecDeque<Next>>) -> (Cluster, Arc<Mutex<Vec<Call>>>) {
    let script = Mutex::new(script.into());
    let asked: Arc<Mutex<Vec<Call>>> = Arc::default();
    let log = Arc::clone(&asked);
    let cluster = cluster(move |call| {
        log.lock().push(call);
        let next = script.lock().pop_front();
        Box::pin(async move {
            match next {
                Some(Next::Says(code, body)) => answer(code, &body),
                Some(Next::IsSilent) => std::future::pending().await,
                None => answer(500, &refusal(500, "this was not in the script")),
            }
        })
    });
    (cluster, asked)
}
