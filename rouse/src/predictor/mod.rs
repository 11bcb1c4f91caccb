//! `rouse predictor`: a stand-in model server, so that everything else can be tried without a model.
//!
//! It speaks the two common inference protocols (V1 and V2), and misbehaves when told to: starts slowly, works slowly,
//! fails, hangs, answers rubbish, dies; or has other weights than the model that it is to replace. The health URLs stay honest throughout: what is tried is what happens to work.
//!
//! `--startup` keeps the port closed, as servers do that load their model before they serve (KServe's own, Triton,
//! vLLM); a connection is refused until then.
//!
//! Here: the flags and the connections. What is answered: `answers.rs`, and of what model: `model.rs`; what flows for longer: `streams.rs`.

mod answers;
mod begun;
mod garbage;
mod model;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

use answers::Server;
use begun::Begun;
use garbage::MaybeGarbage;

/// The longest that requests in flight are waited for after SIGTERM: what Kubernetes grants by default.
const DRAIN: Duration = Duration::from_secs(30);

/// A stand-in model server: V1 and V2 inference, health, echo, server-sent events, WebSocket
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// How long to load before the port is opened, as 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) startup: Duration,
    /// How long one request is worked on
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) service_time: Duration,
    /// How many requests are worked on at once; the others wait inside [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: Option<u32>,
    /// Share of the work that is answered 500, spread evenly: 5% is every twentieth
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    pub(crate) fail: f64,
    /// Factor on the service time, as 2x
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = factor)]
    pub(crate) slow: f64,
    /// Begin work and never answer it
    #[arg(long)]
    pub(crate) hang: bool,
    /// Answer work with bytes that are no HTTP
    #[arg(long)]
    pub(crate) garbage: bool,
    /// Answer work with so many bytes, as 1Gi
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) flood: Option<u64>,
    /// Die, unclean and at once, on beginning the Nth piece of work; 0: before the port is opened
    #[arg(long, value_name = "N")]
    pub(crate) crash_after: Option<u64>,
    /// Say in rouse-outcome how good each answer is, on average so good
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = number)]
    pub(crate) outcome: Option<f64>,
    /// How far those numbers scatter: their standard deviation
    #[arg(long, value_name = "NUMBER", default_value = "0.1", value_parser = number)]
    pub(crate) outcome_spread: f64,
    /// Answer each row with so many scores that add up to 1, as a classifier does, and not with its sum
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) scores: Option<u32>,
    /// How far the model's weights are from those of one without this flag: other answers to the same input
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    pub(crate) drift: f64,
    /// Append the x-request-id of each request that has one, a line each, before it is served
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT; then takes no more, finishes what is in flight, and returns.
///
/// # Errors
/// If the log cannot be opened or the port cannot be had.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    // One thread: a replica is one of many on its machine, and should start in a millisecond.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let begun = args.log.as_deref().map(Begun::open).transpose()?;
    let listen = SocketAddr::new(args.host, args.port);

    if !args.startup.is_zero() {
        println!("loading for {:?}", args.startup);
    }
    tokio::select! {
        () = tokio::time::sleep(args.startup) => {}
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    }
    let crash_after = args.crash_after;
    anyhow::ensure!(crash_after != Some(0), "the model could not be loaded (--crash-after 0)");
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    // To stdout, so that a test that asked for port 0 can read it.
    println!("serving on http://{} (pid {})", listener.local_addr()?, std::process::id());

    let streams = TaskTracker::new();
    let server = Arc::new(Server::new(args, begun, streams.clone()));
    let connections = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of descriptors, most likely; accepting again at once would spin.
                    eprintln!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        };
        // Small answers must not wait for an acknowledgement; that it fails means that the client has gone.
        let _ = socket.set_nodelay(true);
        let server = Arc::clone(&server);
        let (io, spoil) = MaybeGarbage::new(socket);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(75));
        builder.http2().timer(TokioTimer::new());
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            let spoil = spoil.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request, &spoil).await) }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that hangs up is no news to a model server.
            let _ = connection.await;
        });
    }
    drop(listener);
    connections.close();
    streams.close();
    let finished = async {
        graceful.shutdown().await;
        connections.wait().await;
        streams.wait().await;
    };
    anyhow::ensure!(
        tokio::time::timeout(DRAIN, finished).await.is_ok(),
        "requests were still in flight after {DRAIN:?}"
    );
    Ok(())
}

/// "5%" as 0.05.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "a share from 0% to 100% is allowed".to_owned())
}

/// "1Gi" as its bytes.
fn size(text: &str) -> Result<u64, String> {
    api::parse_size(text).ok_or_else(|| "a size such as 512Ki, 10Mi or 1Gi is allowed".to_owned())
}

/// "2x" as 2.
fn factor(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|factor| (0.0..=1000.0).contains(factor))
        .ok_or_else(|| "a factor from 0x to 1000x is allowed".to_owned())
}

/// What may stand in `rouse-outcome`.
fn number(text: &str) -> Result<f64, String> {
    traffic::outcome::outcome_of(text.as_bytes()).ok_or_else(|| "a number from -1e9 to 1e9 is allowed".to_owned())
}

#[cfg(test)]
mod tests;
