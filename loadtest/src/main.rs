//! `loadtest`: measures, and says how each figure stands to its budget.
//!
//! Every figure in `docs/performance.md` has its command here. This file only reads the flags.

mod proxy;
mod table;
mod wake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use loadtest::{http1, memory, shadow, storm, up};
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
    Proxy(Box<proxy::Flags>),
    Storm(Storm),
    Memory(Sizes),
    Shadow(Shadow),
    /// Forwards with hyper and does nothing else: a peer of `proxy`
    #[command(hide = true)]
    BareProxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
        #[arg(long)]
        h2c: bool,
    },
    /// Forwards with our activator alone: a peer of `proxy`
    #[command(hide = true)]
    Activator(proxy::Between),
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

/// Is anything lost or begun twice while replicas come, go and are killed?
///
/// Keeps so many requests in flight through `rouse up`: GET, POST with and without an idempotency-key, bodies, slow bodies,
/// streams. Each second, by chance, replicas are added, removed, replaced, killed or asked to end. Then what the clients saw is held
/// against what the replicas wrote down. Exit code 1 if anything was lost or duplicated; what was written is kept then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest storm --rouse target/release/rouse --seed 7")]
struct Storm {
    /// The program that is to stand it
    #[arg(long, value_name = "PATH", default_value = "target/release/rouse")]
    rouse: PathBuf,
    /// How long it lasts
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=5000))]
    in_flight: u32,
    /// Where chance begins [default: another each time; it is told]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Keep what was written also if nothing was wrong
    #[arg(long)]
    keep: bool,
}

/// Does memory grow with what passes through, or with what has passed?
///
/// One request of a gigabyte whose answer is as large, through `rouse up` (activator and sidecar) and through a sidecar
/// alone. Ten thousand requests that wait for a model at zero and are then answered, and a thousand with bodies of 64 KiB.
/// Says what the program's own memory was before, meanwhile, and three and ten seconds after.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest memory --rouse target/dist/rouse --queue-proxy target/dist/queue-proxy")]
struct Sizes {
    /// The program with the activator
    #[arg(long, value_name = "PATH", default_value = "target/dist/rouse")]
    rouse: PathBuf,
    /// The sidecar
    #[arg(long, value_name = "PATH", default_value = "target/dist/queue-proxy")]
    queue_proxy: PathBuf,
    /// How large the large body is
    #[arg(long, value_name = "MEBIBYTES", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    body: u64,
    /// How many wait
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    waiting: u32,
}

/// Do clients notice a shadow that hangs, crashes, fails, answers garbage or a gibibyte?
///
/// Three endpoints with like models behind one `rouse up`, one of them with a shadow, are asked in turn at 30 % of what the
/// model can answer. Says how many times as long 99 of 100 clients wait with the shadow, and how far the two without one are
/// apart; what became of each copy; memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: loadtest shadow --rouse target/dist/rouse")]
struct Shadow {
    /// The program to measure
    #[arg(long, value_name = "PATH", default_value = "target/dist/rouse")]
    rouse: PathBuf,
    /// How often all are asked, for each kind of shadow
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each is asked in a round
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only these kinds of shadow
    #[arg(long, value_name = "KIND,..", value_delimiter = ',')]
    only: Vec<shadow::Kind>,
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
        What::Storm(flags) => stand_storm(&flags),
        What::Memory(flags) => measure_memory(&flags),
        What::Shadow(flags) => measure_shadows(&flags),
        What::BareProxy { listen, upstream, h2c } => {
            runtime().and_then(|runtime| runtime.block_on(proxy::serve_bare(listen, upstream, h2c)))
        }
        What::Activator(between) => runtime().and_then(|runtime| runtime.block_on(proxy::serve_activator(&between))),
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

fn stand_storm(flags: &Storm) -> anyhow::Result<()> {
    let plan = storm::Plan {
        lasts: Duration::from_secs(flags.seconds),
        in_flight: flags.in_flight as usize,
        seed: flags.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        keep: flags.keep,
    };
    eprintln!("a storm of {} s, seed {}", flags.seconds, plan.seed);
    let report = runtime()?.block_on(storm::run(&flags.rouse, plan))?;
    println!("{report}");
    anyhow::ensure!(report.verdict.is_right(), "something was lost or duplicated");
    Ok(())
}

fn measure_shadows(flags: &Shadow) -> anyhow::Result<()> {
    let plan = shadow::Plan { rounds: flags.rounds, lasts: Duration::from_secs(flags.seconds), apart: true };
    runtime()?.block_on(async {
        println!(
            "clients' p99 with a shadow that … over that without; the budget for the median of rounds is {}",
            shadow::BUDGET
        );
        let kinds = if flags.only.is_empty() { &shadow::Kind::ALL[..] } else { &flags.only };
        for &kind in kinds {
            println!("{}", shadow::measure(&flags.rouse, kind, plan).await?);
        }
        Ok(())
    })
}

fn measure_memory(flags: &Sizes) -> anyhow::Result<()> {
    let files = memory::raise_open_files()?;
    // Beside the connections there are a few for the program itself.
    let waiting = flags.waiting.min(u32::try_from(files.saturating_sub(1_000)).unwrap_or(u32::MAX));
    if waiting < flags.waiting {
        eprintln!("LEFT OUT: {} of those that wait: a process may open {files} files here", flags.waiting - waiting);
    }
    runtime()?.block_on(async {
        println!("{}", memory::through_rouse_up(&flags.rouse, flags.body << 20).await?);
        println!("{}", memory::through_sidecar(&flags.rouse, &flags.queue_proxy, flags.body << 20).await?);
        for of in [
            memory::Holding { requests: waiting, bytes: 100 },
            memory::Holding { requests: waiting.min(1_000), bytes: 64 << 10 },
        ] {
            println!("{}", memory::hold(&flags.rouse, of).await?);
        }
        Ok(())
    })
}

/// One thread: what is measured has the others.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn measure_proxies(flags: &proxy::Flags) -> anyhow::Result<()> {
    let report = runtime()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            report = proxy::measure(flags) => report,
            // Dropped in the middle, it ends whatever it started.
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminated.recv() => anyhow::bail!("terminated"),
        }
    })?;
    match flags.output {
        Form::Table => print!("{report}"),
        Form::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    flags.row.as_ref().map_or(Ok(()), |file| proxy::add_rows(file, &report))
}
