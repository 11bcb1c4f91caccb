//! What decisions cost, beside their budgets: one, ten thousand revisions at once, and a day.
//!
//! One thread, no clock of the system in what is measured, no input or output: the figures are those of the rules alone.
//! Run it in the profile that is delivered, on a machine that does nothing else: `make bench-kpa`.

mod counting;
mod revision;
mod table;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use revision::Revision;
use table::{Row, Table};

const REVISIONS: usize = 10_000;
const TICK: u64 = 2;
const DAY: u64 = 86_400;

/// What decisions cost, beside their budgets
#[derive(Debug, Parser)]
struct Cli {
    /// For people or for programs
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
    /// Adds a row to the table of this file, which is `docs/performance.md`
    #[arg(long, value_name = "FILE")]
    row: Option<PathBuf>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Table,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let machine = table::machine();
    let (one, frames) = one_decision();
    let rows = vec![one, ten_thousand_revisions(), a_day(), frames];
    let table = Table { machine, rows };
    match cli.output {
        Form::Table => print!("{table}"),
        Form::Json => println!("{}", table.to_json()),
    }
    match cli.row.map_or(Ok(()), |file| table.add_to(&file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decisions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Load that changes its mind: up, down, bursts and idle stretches, each for a while. The same every time.
fn load(second: u64, of: u64) -> u32 {
    let phase = (second + of * 37) / 90 % 8;
    let jitter = (second * 7 + of * 13) % 20;
    let level = [0, 30, 90, 400, 60, 0, 1500, 210][phase as usize];
    if level == 0 { 0 } else { level + jitter as u32 }
}

/// More by day than by night, none for some hours, and a burst each hour that there is any.
fn load_of_a_day(second: u64) -> u32 {
    let hour = second / 3600;
    if hour < 5 {
        return 0;
    }
    let wave = 600.0 * (1.0 - (std::f64::consts::TAU * second as f64 / DAY as f64).cos());
    let burst = if second % 3600 < 40 { 1500 } else { 0 };
    wave as u32 + burst + (second % 17) as u32
}

#[expect(clippy::disallowed_methods, reason = "this is a stopwatch")]
fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let answer = what();
    (begun.elapsed(), answer)
}

/// One revision, warm, with a full ring. What the stopwatch itself needs is in the times.
fn one_decision() -> (Row, Row) {
    let mut revision = Revision::new();
    let (mut decisions, mut frames) = (Vec::with_capacity(DAY as usize), Vec::with_capacity(DAY as usize));
    let mut second = 0;
    while revision.entries() < 256 {
        second += 1;
        revision.hear(second, load(second, 0));
        if second.is_multiple_of(TICK) {
            let step = revision.tick(second);
            revision.obey(second, step);
        }
        assert!(second < 10 * DAY, "the load does not change its mind often enough to fill the ring");
    }
    let mut allocated = 0;
    for second in second + 1..=second + DAY {
        let heard = load(second, 0);
        frames.push(timed(|| revision.hear(second, black_box(heard))).0);
        if second.is_multiple_of(TICK) {
            let before = counting::allocations();
            let (time, step) = timed(|| black_box(revision.tick(second)));
            allocated += counting::allocations() - before;
            decisions.push(time);
            revision.obey(second, step);
        }
    }
    let one = Row::new("one decision, made and kept", decisions, Some(Duration::from_micros(1))).allocating(allocated);
    (one, Row::new("for scale: a second's frames of one revision", frames, None))
}

/// Each with its own load; the caches hold few of them. Frames are taken in between, outside of the times.
fn ten_thousand_revisions() -> Row {
    let mut revisions: Vec<_> = (0..REVISIONS).map(|_| Revision::new()).collect();
    let mut ticks = Vec::new();
    for tick in 1..=360 {
        for (of, revision) in revisions.iter_mut().enumerate() {
            for second in [tick * TICK - 1, tick * TICK] {
                revision.hear(second, load(second, of as u64));
            }
        }
        let mut steps = Vec::with_capacity(REVISIONS);
        let (time, ()) = timed(|| steps.extend(revisions.iter_mut().map(|revision| revision.tick(tick * TICK))));
        for (revision, step) in revisions.iter_mut().zip(steps) {
            revision.obey(tick * TICK, step);
        }
        // The first two minutes fill the windows.
        if 60 < tick {
            ticks.push(time);
        }
    }
    Row::new("10,000 revisions, one decision each", ticks, Some(Duration::from_millis(20)))
}

/// Every second's frames and every second second's decision.
fn a_day() -> Row {
    let mut days = Vec::new();
    for _ in 0..20 {
        let mut revision = Revision::new();
        let mut most = 0;
        let (time, ()) = timed(|| {
            for second in 1..=DAY {
                revision.hear(second, load_of_a_day(second));
                if second.is_multiple_of(TICK) {
                    let step = revision.tick(second);
                    revision.obey(second, step);
                    most = most.max(revision.ready());
                }
            }
        });
        assert!(20 < most, "a day's load asks for more than {most} replicas");
        days.push(time);
    }
    Row::new("a day of one revision", days, Some(Duration::from_millis(100)))
}
