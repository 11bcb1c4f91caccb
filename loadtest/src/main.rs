//! `loadtest`: measures, and says how each figure stands to its budget.
//!
//! Every figure in `docs/performance.md` has its command here. This file only reads the flags.

mod http1;
mod proxy;
mod table;
mod up;
mod wake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// Measures Rouse, and says how each figure stands to its budget.
///
/// Build with the profile that is delivered, or the figures mean little: `make bench-wake` does. Measure on a machine
/// that does nothing else. Exit codes: 0 measured, also where a budget is not kept (the table says so); 1 not measured.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Wake(Wake),
    Proxy(Proxy),
    /// Forwards with hyper and does nothing else: a peer of `proxy`
    #[command(hide = true)]
    BareProxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// Writes down when it began, and becomes COMMAND: how `wake` learns when a replica's process was there
    #[command(hide = true)]
    Begun {
        /// Where to write it: nanoseconds since 1970
        file: PathBuf,
        /// What to become
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Rouse's share of a wake: request in → child spawned, and ready → forwarded
///
/// Serves many endpoints with `rouse up`, all at zero, and asks them one after the other, so that one wake never meets
/// another. Then it waits until all of them are back at zero, and goes round again. The model is the stand-in
/// `rouse predictor --startup 0ms`; what it needs itself to start and to answer is told, but has no budget.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest wake --rouse target/dist/rouse --wakes 200")]
struct Wake {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    rouse: PathBuf,
    /// How many wakes to measure
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    wakes: u32,
    /// How many endpoints to go round; more are fewer rounds, each of which waits about ten seconds for zero
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    endpoints: u32,
    /// For people or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// What the sidecar costs each request, beside nginx, HAProxy and a bare hyper proxy
///
/// Each has one worker thread and 64 kept connections on both sides, and passes the same small JSON on; the sidecar with all
/// it does in production, and a limit of 100 requests at once that is never reached. All take turns in each round, and are
/// started anew for it, so that a slow moment of the machine slows all alike: trust the ratios. CPU is the processor time of
/// the whole process tree. Latency is measured at 1,000 requests a second from when each was due, less what the model
/// answers by itself. nginx and HAProxy are taken from PATH and /usr/sbin.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest proxy --queue-proxy target/dist/queue-proxy --row docs/performance.md")]
struct Proxy {
    /// How often all are measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Requests to each in each round
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// How long latency is measured, of each in each round
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    paced: u64,
    /// The program to measure
    #[arg(long, value_name = "PATH", default_value = "target/dist/queue-proxy")]
    queue_proxy: PathBuf,
    /// Another build of it, to compare with in the same rounds
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Knative's queue-proxy, to measure it too
    #[arg(long, value_name = "PATH")]
    knative_queue_proxy: Option<PathBuf>,
    /// Only these, with commas between them
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    only: Vec<proxy::Kind>,
    /// For people or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
    /// Adds a row to the table of this file, which is `docs/performance.md`
    #[arg(long, value_name = "FILE")]
    row: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Table,
    Json,
}

/// The sidecar's: a bare proxy with another would be measured with it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().what {
        What::Begun { file, command } => Err(wake::begin(&file, &command)),
        What::Wake(flags) => measure_wakes(&flags),
        What::Proxy(flags) => measure_proxies(&flags),
        What::BareProxy { listen, upstream } => {
            runtime().and_then(|runtime| runtime.block_on(proxy::serve_bare(listen, upstream)))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_wakes(flags: &Wake) -> anyhow::Result<()> {
    let table = runtime()?.block_on(wake::measure(&flags.rouse, flags.wakes, flags.endpoints))?;
    match flags.output {
        Form::Table => print!("{table}"),
        Form::Json => println!("{}", serde_json::to_string_pretty(&table)?),
    }
    Ok(())
}

/// One thread: what is measured has the others.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn measure_proxies(flags: &Proxy) -> anyhow::Result<()> {
    let (peers, left_out) = peers(flags)?;
    for left_out in &left_out {
        eprintln!("LEFT OUT: {left_out}");
    }
    let plan = proxy::Plan { rounds: flags.rounds, requests: flags.requests, paced: Duration::from_secs(flags.paced) };
    let report = runtime()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            report = proxy::measure(plan, &peers, left_out) => report,
            // Dropped in the middle, it ends whatever it started.
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminated.recv() => anyhow::bail!("terminated"),
        }
    })?;
    match flags.output {
        Form::Table => print!("{report}"),
        Form::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    flags.row.as_ref().map_or(Ok(()), |file| proxy::add_row(file, &report))
}

/// Who is here of those that are asked for, and why the others are not.
fn peers(flags: &Proxy) -> anyhow::Result<(Vec<proxy::Peer>, Vec<String>)> {
    let path = std::env::var_os("PATH");
    let (mut here, mut left_out) = (Vec::new(), Vec::new());
    let asked = |kind: &proxy::Kind| match kind {
        proxy::Kind::Other => flags.against.is_some(),
        _ => flags.only.is_empty() || flags.only.contains(kind),
    };
    for kind in proxy::Kind::ALL.into_iter().filter(asked) {
        let server = |name| proxy::find(name, path.as_deref()).ok_or(format!("no program {name} in PATH or /usr/sbin"));
        let program = match kind {
            proxy::Kind::QueueProxy => Ok(flags.queue_proxy.clone()),
            proxy::Kind::Other => flags.against.clone().ok_or("no --against".to_owned()),
            proxy::Kind::Bare => Ok(std::env::current_exe().context("where is this program?")?),
            proxy::Kind::Nginx => server("nginx"),
            proxy::Kind::Haproxy => server("haproxy"),
            proxy::Kind::Knative => flags.knative_queue_proxy.clone().ok_or("no --knative-queue-proxy".to_owned()),
        };
        match program {
            Ok(program) => {
                anyhow::ensure!(program.is_file(), "{}: no such program: {}", kind.name(), program.display());
                here.push(proxy::Peer { kind, program });
            }
            Err(why) => left_out.push(format!("{}: {why}", kind.name())),
        }
    }
    anyhow::ensure!(!here.is_empty(), "nobody is left to be measured: {}", left_out.join("; "));
    Ok((here, left_out))
}
