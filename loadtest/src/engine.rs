//! Sends each request when it is due, whether or not others are answered.
//!
//! A client that waits for an answer before it asks again asks less while the server stalls, and does not see the wait of
//! those who would have asked meanwhile ("coordinated omission"). Here times count from when a request was *due*.

use std::fmt;
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

/// A target, with connections to it that are kept from one load to the next.
#[derive(Debug)]
pub struct Client {
    target: Target,
    connections: Arc<Connections>,
}

impl Client {
    /// Without a connection yet.
    pub fn of(target: Target) -> Self {
        Self { connections: Arc::new(Connections::to(target.address)), target }
    }

    /// As [`run`], over the connections that there are.
    ///
    /// # Errors
    /// If the request cannot be written down as HTTP.
    pub async fn run(&self, scenario: &Scenario, options: &Options, live: &Live) -> anyhow::Result<Results> {
        send(scenario, self, options, live, std::future::pending()).await
    }
}

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
    /// From a URL such as `http://127.0.0.1:8080`, or `http://127.0.0.1:8080/prefix`. Names below `localhost` are this
    /// machine, whatever its resolver knows of them (RFC 6761, 6.3).
    ///
    /// # Errors
    /// [`Nowhere::NoUrl`] if it is none of that kind; [`Nowhere::NoAddress`] if its host is not known.
    pub async fn of(url: &str) -> Result<Self, Nowhere> {
        let uri: Uri = url.parse().map_err(|_| Nowhere::NoUrl)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(Nowhere::NoUrl)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() || authority.host().is_empty() {
            return Err(Nowhere::NoUrl);
        }
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let here = host.ends_with(".localhost");
        let no_address = |why: &dyn fmt::Display| Nowhere::NoAddress(format!("{host} has no address: {why}"));
        let mut addresses = tokio::net::lookup_host((if here { "localhost" } else { host }, port))
            .await
            .map_err(|error| no_address(&error))?;
        let address = addresses.next().ok_or_else(|| no_address(&"none is known"))?;
        Ok(Self { address, host: authority.to_string(), prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// A URL that nobody can be asked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// It is no `http://HOST:PORT`.
    NoUrl,
    /// Its host has no address; why.
    NoAddress(String),
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
    run_until(scenario, target, options, live, std::future::pending()).await
}

/// The same, until `stopped`: then nothing more is sent, what is on its way is given up, and what came so far is told.
///
/// # Errors
/// As for [`run`].
pub async fn run_until(
    scenario: &Scenario,
    target: &Target,
    options: &Options,
    live: &Live,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<Results> {
    let client = Client::of(target.clone());
    let results = send(scenario, &client, options, live, stopped).await?;
    // A connection in the middle of an answer would be waited for until the server ends it.
    if let Some(connections) = Arc::into_inner(client.connections).filter(|_| !results.interrupted) {
        connections.end().await;
    }
    Ok(results)
}

async fn send(
    scenario: &Scenario,
    Client { target, connections }: &Client,
    options: &Options,
    live: &Live,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<Results> {
    tokio::pin!(stopped);
    let mut interrupted = false;
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
            () = &mut stopped => {
                interrupted = true;
                break;
            }
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
                    let (connections, asked) = (Arc::clone(connections), Arc::clone(&asked));
                    let (live, patience) = (live.clone(), options.patience);
                    under_way.spawn(async move {
                        let sent = begin.elapsed();
                        let stage = live.is_sent(sent);
                        let exchange = timeout(patience, connections.exchange(&asked, (number, id), begin));
                        let ended = exchange.await.unwrap_or(Err(Failure::TimedOut));
                        live.has_ended(due, (sent, stage), begin.elapsed(), ended);
                    });
                }
                None => break,
            },
            _ = seconds.tick() => live.reaches(begin.elapsed()),
        }
    }
    while !interrupted {
        tokio::select! {
            () = &mut stopped => interrupted = true,
            ended = under_way.join_next() => match ended {
                Some(ended) => ended.context("a request's task")?,
                None => break,
            },
            _ = seconds.tick() => live.reaches(begin.elapsed()),
        }
    }
    let lasted = begin.elapsed();
    under_way.shutdown().await;
    live.are_given_up();
    Ok(live.results(Results { interrupted, ..Results::of(scenario, target, options, lasted) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_is_an_address_a_host_and_what_stands_before_each_path() {
        let target = Target::of("http://[::1]:9000/v9/").await.unwrap();
        assert_eq!(target.address, "[::1]:9000".parse().unwrap());
        assert_eq!((target.host.as_str(), target.prefix.as_str()), ("[::1]:9000", "/v9"));
        let named = Target::of("http://recommender.localhost:8080").await.unwrap();
        assert!(named.address.ip().is_loopback());
        assert_eq!((named.host.as_str(), named.prefix.as_str()), ("recommender.localhost:8080", ""));
    }

    #[tokio::test]
    async fn what_is_no_plain_url_is_refused() {
        for url in [
            "",
            "nonsense url",
            "127.0.0.1:8080",
            "https://127.0.0.1",
            "http://",
            "http://a@127.0.0.1",
            "http://127.0.0.1/?a",
        ] {
            assert_eq!(Target::of(url).await, Err(Nowhere::NoUrl), "{url}");
        }
    }
}
