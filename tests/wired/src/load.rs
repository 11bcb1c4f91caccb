//! Many numbered requests, and what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::client::{Answer, Client};

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

impl Outcome {
    fn of(answer: &Result<Answer, String>) -> Self {
        match answer {
            Ok(answer) if answer.status == 200 => Self::Good,
            Ok(answer) => Self::Bad(answer.status.as_u16(), answer.header("rouse-reason").to_owned(), answer.text()),
            Err(error) => Self::Lost(error.clone()),
        }
    }
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
            async move { Outcome::of(&client.ask(request.header("x-request-id", &id), Bytes::new()).await) }
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

/// One request of a [`Paced`] load.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its `x-request-id`.
    pub id: String,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub ended: Instant,
    /// Which revision answered; empty if none did.
    pub revision: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A load that goes on until it is ended: so many requests a second, each sent when it is due, whether or not others are
/// answered (an open loop).
#[derive(Debug)]
pub struct Paced {
    sending: JoinSet<JoinSet<Asked>>,
    enough: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Paced {
    /// Starts it: POST, without a body. The id of the nth request is `request-<n>`.
    pub fn start(client: &Client, per_second: u32) -> Self {
        let (enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (client, is_enough, counted) = (client.clone(), Arc::clone(&enough), Arc::clone(&sent));
        let mut sending = JoinSet::new();
        sending.spawn(async move {
            let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut asked = JoinSet::new();
            for number in 0_u64.. {
                due.tick().await;
                if is_enough.load(Ordering::Relaxed) {
                    break;
                }
                counted.store(number + 1, Ordering::Relaxed);
                asked.spawn(ask(client.clone(), format!("request-{number}")));
            }
            asked
        });
        Self { sending, enough, sent }
    }

    /// Requests sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more, and waits for the answers; in the order in which they were sent.
    ///
    /// # Panics
    /// If it has ended by itself.
    pub async fn end(mut self) -> Vec<Asked> {
        self.enough.store(true, Ordering::Relaxed);
        let asked = self.sending.join_next().await.expect("it is running");
        let mut all = asked.expect("who sends does not panic").join_all().await;
        all.sort_by_key(|asked| asked.sent);
        all
    }
}

async fn ask(client: Client, id: String) -> Asked {
    let request = client.request("/").method(Method::POST).header("x-request-id", &id);
    let sent = Instant::now();
    let answer = client.ask(request, Bytes::new()).await;
    let revision = answer.as_ref().map_or("", |answer| answer.header("rouse-revision")).to_owned();
    Asked { id, sent, ended: Instant::now(), revision, outcome: Outcome::of(&answer) }
}
