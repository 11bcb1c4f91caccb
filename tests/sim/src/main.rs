//! Many seeds of the toy cluster, on every core.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use sim::{Compared, Plan, Shape, Tally, Violation};

/// The laws over many seeds.
#[derive(Parser)]
enum Command {
    /// Runs seeds with a fault a minute, and checks every law.
    Laws {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// How many seeds.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// Simulated hours each.
        #[arg(long, default_value_t = 24)]
        hours: u64,
    },
    /// Startup-aware scaling beside plain, as a table.
    Startup {
        /// The first seed. How much of a start a backlog may take was chosen on seeds 1 and 2 of the made-up loads.
        #[arg(long, default_value_t = 3)]
        from: u64,
        /// How many seeds of each load.
        #[arg(long, default_value_t = 10)]
        seeds: u64,
        /// A folder of traces, `*.csv` with rows of time and count over five minutes; each seed is another day.
        #[arg(long, env = "TRACES_DIR")]
        traces: Option<PathBuf>,
        /// A row for each seed.
        #[arg(long)]
        each: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Laws { from, seeds, hours } => laws(from, seeds, hours),
        Command::Startup { from, seeds, traces, each } => startup(from..from + seeds, traces.as_deref(), each),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is part of what is told; the toy has a clock of its own"
)]
fn laws(from: u64, seeds: u64, hours: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let done = Mutex::new((Tally::default(), 0_u64, began));
    let violations: Mutex<Vec<Violation>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if seeds <= number {
                return;
            }
            let result = sim::run(&Plan::of_seed(from + number, hours));
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.1 += 1;
            match result {
                Ok(tally) => add(&mut done.0, &tally),
                Err(violation) => {
                    eprintln!("{violation}");
                    violations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(violation);
                }
            }
            if 10 <= done.2.elapsed().as_secs() {
                done.2 = Instant::now();
                eprintln!("{} of {seeds} seeds, {:.0} s", done.1, began.elapsed().as_secs_f64());
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let violations = violations.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (tally, ..) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds x {hours} h in {seconds:.0} s: {} events, {} decisions, {} faults, {} changes of scale, {} to zero",
        tally.events,
        tally.decisions,
        tally.faults,
        tally.scales.len(),
        tally.scales.iter().filter(|(_, _, to)| *to == 0).count()
    );
    println!("{} requests: {:?}", tally.arrived, tally.ends);
    let seeds_of: Vec<u64> = violations.iter().map(|violation| violation.seed).collect();
    anyhow::ensure!(
        seeds_of.is_empty(),
        "a law is broken by seeds {seeds_of:?}; one again: cargo run -p sim -- laws --from SEED --seeds 1 --hours {hours}"
    );
    println!("every law holds");
    Ok(())
}

fn add(all: &mut Tally, one: &Tally) {
    all.events += one.events;
    all.decisions += one.decisions;
    all.faults += one.faults;
    all.arrived += one.arrived;
    all.scales.extend(&one.scales);
    for (how, count) in &one.ends {
        *all.ends.entry(how).or_default() += count;
    }
}

/// A load by its name, with its requests of each seed.
type Named = (String, bool, Vec<(u64, Arc<[u32]>)>);

fn startup(seeds: std::ops::Range<u64>, traces: Option<&Path>, each: bool) -> anyhow::Result<()> {
    let mut loads: Vec<Named> = Shape::ALL
        .into_iter()
        .map(|shape| {
            let of_seeds = seeds.clone().map(|seed| (seed, shape.counts(seed))).collect();
            (shape.name().to_owned(), shape == Shape::Slower, of_seeds)
        })
        .collect();
    if let Some(folder) = traces {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .with_context(|| format!("reading the folder {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
            .collect();
        files.sort();
        for path in files {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let days = seeds.clone().filter_map(|seed| Some((seed, sim::trace(&text, seed as usize - 1, seed)?)));
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            loads.push((name, false, days.collect()));
        }
    }
    println!(
        "| load | seeds | requests | replica-hours: plain | aware | | delayed > 1 s or refused: plain | aware | | most replicas: plain | aware |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, slower, of_seeds) in loads {
        let numbers = match (of_seeds.first(), of_seeds.last()) {
            (Some((first, _)), Some((last, _))) => format!("{first} to {last}"),
            _ => "none".to_owned(),
        };
        let compared = in_parallel(&of_seeds, |(seed, counts)| sim::compare(counts, slower, *seed))?;
        if each {
            for ((seed, _), compared) in of_seeds.iter().zip(&compared) {
                println!("{}", row(&name, &seed.to_string(), std::slice::from_ref(compared)));
            }
        }
        println!("{}", row(&name, &numbers, &compared));
    }
    Ok(())
}

fn in_parallel<T: Sync, R: Send>(
    all: &[T],
    work: impl Fn(&T) -> Result<R, Violation> + Sync,
) -> Result<Vec<R>, Violation> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let of_core = |core: usize| all.iter().skip(core).step_by(cores).map(&work).collect::<Result<Vec<R>, Violation>>();
    let mut columns = thread::scope(|scope| {
        let running: Vec<_> = (0..cores).map(|core| scope.spawn(move || of_core(core))).collect();
        let ended =
            running.into_iter().map(|ending| ending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.map(|column| column.map(Vec::into_iter)).collect::<Result<Vec<_>, Violation>>()
    })?;
    Ok((0..all.len()).filter_map(|number| columns[number % cores].next()).collect())
}

fn row(name: &str, seeds: &str, compared: &[Compared]) -> String {
    let plain = Sums::of(compared.iter().map(|one| &one.plain));
    let aware = Sums::of(compared.iter().map(|one| &one.aware));
    let percent = |before: f64, after: f64| if before == 0.0 { 0.0 } else { (after / before - 1.0) * 100.0 };
    format!(
        "| {name} | {seeds} | {} | {:.1} | {:.1} | {:+.1} % | {} | {} | {:+.1} % | {} | {} |",
        plain.arrived,
        plain.replica_hours,
        aware.replica_hours,
        percent(plain.replica_hours, aware.replica_hours),
        plain.waited,
        aware.waited,
        percent(plain.waited as f64, aware.waited as f64),
        plain.most,
        aware.most,
    )
}

/// What some runs came to together.
#[derive(Default)]
struct Sums {
    arrived: u64,
    replica_hours: f64,
    waited: u64,
    most: u32,
}

impl Sums {
    fn of<'a>(runs: impl Iterator<Item = &'a Tally>) -> Self {
        runs.fold(Self::default(), |sums, run| Self {
            arrived: sums.arrived + run.arrived,
            replica_hours: sums.replica_hours + run.replica_millis as f64 / sim::HOUR as f64,
            waited: sums.waited + run.delayed + run.refused(),
            most: run.scales.iter().map(|(_, _, to)| *to).fold(sums.most, u32::max),
        })
    }
}
