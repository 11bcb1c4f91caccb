//! Sends each request when it is due, whether or not others are answered.
//!
//! A client that waits for an answer before it asks again asks less while the server stalls, and does not see the wait of
//! those who would have asked meanwhile ("coordinated omission"). Here times count from when a request was *due*.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderValue, Uri};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::exchange::{Asked, Connections, Failure};
use crate::results::Results;
use crate::scenario::Scenario;
use crate::tally::{Due, Live};

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// What `Host` says.
    pub host: String,
    /// What stands before each path; without a `/` at its end.
    pub prefix: String,
}

impl Target {
    /// From a URL such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If it is none, is not plain HTTP, or its host has no address.
    pub async fn of(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL such as http://127.0.0.1:8080"))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "{url}: a URL that begins with http://");
        let host = uri.host().context("a URL with a host")?;
        let port = uri.port_u16().unwrap_or(80);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses =
            tokio::net::lookup_host((bare, port)).await.with_context(|| format!("looking for {host}"))?;
        let address = addresses.next().with_context(|| format!("{host} has no address"))?;
        let authority = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        Ok(Self { address, host: authority, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// How a load is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What each `x-request-id` begins with; `-1`, `-2` … follow.
    pub run: String,
    /// How many may be on their way at once; what is due beyond is counted as not sent.
    pub most_in_flight: usize,
    /// How long one may take, from when it was sent.
    pub patience: Duration,
}

impl Options {
    /// As `rouse load` without flags. `run` names the load in each request's id.
    pub fn usual(run: impl Into<String>) -> Self {
        Self { run: run.into(), most_in_flight: 10_000, patience: Duration::from_secs(300) }
    }
}

/// Runs it to its end: until the last request that was due is answered, or given up.
///
/// Dropped in the middle it leaves nothing behind; `live` tells how far it came.
///
/// # Errors
/// If the request cannot be written down as HTTP.
pub async fn run(scenario: &Scenario, target: &Target, options: &Options, live: &Live) -> anyhow::Result<Results> {
    let connections = Arc::new(Connections::to(target.address));
    let asked = Arc::new(Asked::of(&scenario.request, target)?);
    let mut under_way = JoinSet::new();
    let begin = Instant::now();
    let mut seconds = interval_at(begin, Duration::from_millis(100));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut moments = scenario.moments().enumerate().peekable();
    let end = begin + scenario.lasts();
    loop {
        let next = moments.peek().map_or(end, |(_, due)| begin + *due);
        tokio::select! {
            biased;
            () = sleep_until(next) => match moments.next() {
                Some((number, due)) => {
                    let due = Due { number, at: due };
                    live.is_due(due);
                    while under_way.try_join_next().is_some() {}
                    if options.most_in_flight <= under_way.len() {
                        live.was_not_sent(due, begin.elapsed());
                        continue;
                    }
                    let id = HeaderValue::try_from(format!("{}-{}", options.run, number + 1)).context("the run's name")?;
                    let (connections, asked) = (Arc::clone(&connections), Arc::clone(&asked));
                    let (live, patience) = (live.clone(), options.patience);
                    under_way.spawn(async move {
                        let sent = begin.elapsed();
                        live.is_sent(sent);
                        let exchange = timeout(patience, connections.exchange(&asked, id, begin));
                        let ended = exchange.await.unwrap_or(Err(Failure::TimedOut));
                        live.has_ended(due, sent, begin.elapsed(), ended);
                    });
                }
                None => break,
            },
            _ = seconds.tick() => live.reaches(begin.elapsed()),
        }
    }
    loop {
        tokio::select! {
            ended = under_way.join_next() => match ended {
                Some(ended) => ended.context("a request's task")?,
                None => break,
            },
            _ = seconds.tick() => live.reaches(begin.elapsed()),
        }
    }
    let lasted = begin.elapsed();
    if let Some(connections) = Arc::into_inner(connections) {
        connections.end().await;
    }
    Ok(live.results(Results::of(scenario, target, options, lasted)))
}
