//! Many seeds of the toy cluster, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use sim::{Plan, Tally, Violation};

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
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Laws { from, seeds, hours } => laws(from, seeds, hours),
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
