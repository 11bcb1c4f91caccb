//! Many numbered requests, and what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use crate::client::Client;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200.
    Good,
    /// Another answer: its status, `rouse-reason`, and its body.
    Bad(u16, String, String),
    /// No answer, or half of one.
    Lost(String),
}

/// A load that goes on until it is ended: so many connections, each with one request after the other (a closed loop).
#[derive(Debug)]
pub struct Load {
    connections: JoinSet<Vec<(String, Outcome)>>,
    enough: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
}

impl Load {
    /// Starts it. The id of the nth request is `request-<n>`.
    pub fn start(client: &Client, connections: usize, method: &Method, path: &str) -> Self {
        let (client, method, path) = (client.clone(), method.clone(), path.to_owned());
        Self::of(connections, move |id| {
            let (client, request) = (client.clone(), client.request(&path).method(method.clone()));
            async move {
                match client.ask(request.header("x-request-id", &id), Bytes::new()).await {
                    Ok(answer) if answer.status == 200 => Outcome::Good,
                    Ok(answer) => {
                        let reason = answer.header("rouse-reason").to_owned();
                        Outcome::Bad(answer.status.as_u16(), reason, answer.text())
                    }
                    Err(error) => Outcome::Lost(error),
                }
            }
        })
    }

    /// The same with WebSockets: each is opened, talks for a second, and is closed.
    pub fn talking(client: &Client, connections: usize) -> Self {
        let client = client.clone();
        Self::of(connections, move |_| {
            let client = client.clone();
            async move {
                let talked = client.talk(10, Duration::from_millis(100)).await;
                talked.map_or_else(Outcome::Lost, |()| Outcome::Good)
            }
        })
    }

    fn of<Asked>(connections: usize, ask: impl Fn(String) -> Asked + Clone + Send + 'static) -> Self
    where
        Asked: Future<Output = Outcome> + Send,
    {
        let (enough, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut running = JoinSet::new();
        for _ in 0..connections {
            let (ask, enough, begun) = (ask.clone(), Arc::clone(&enough), Arc::clone(&begun));
            running.spawn(async move {
                let mut outcomes = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    let id = format!("request-{}", begun.fetch_add(1, Ordering::Relaxed));
                    let outcome = ask(id.clone()).await;
                    outcomes.push((id, outcome));
                }
                outcomes
            });
        }
        Self { connections: running, enough, begun }
    }

    /// Requests begun so far.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Begins no more, and waits for the answers; by id.
    pub async fn end(mut self) -> BTreeMap<String, Outcome> {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        while let Some(outcomes) = self.connections.join_next().await {
            all.extend(outcomes.expect("a connection of the load does not panic"));
        }
        all
    }
}
