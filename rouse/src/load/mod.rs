//! `rouse load`: a load from a file, sent on time, and what came of it.
//!
//! Here: the flags and the run. How it looks as a page: `report`, with what the admin port says of it: `beside`.

mod beside;
pub(crate) mod report;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::{Fault, Faults};
use beside::Watch;
use daemon::{Interrupted, Stop};
use loadtest::scenario::MOST_REQUESTS;
use loadtest::{Live, Nowhere, Options, Results, Scenario, Target};

use crate::admin::Server;

/// Send requests when they are due, whether or not others are answered, and say how long the answers took
///
/// Times count from when a request was due. A tool that waits for an answer before it asks again asks less while the
/// server stalls, and does not see the wait of those who would have asked meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// step, spike, ramp, on-off, streaming or trace; or a file of your own, such as ./mine.yaml
    #[arg(required_unless_present = "list")]
    scenario: Option<String>,
    /// Who is asked, such as http://127.0.0.1:8080
    #[arg(required_unless_present = "list")]
    url: Option<String>,
    /// Say which scenarios there are
    #[arg(long)]
    list: bool,
    /// So many times the rate
    #[arg(long, value_name = "FACTOR", default_value = "1", allow_hyphen_values = true)]
    faster: String,
    /// Draw other arrivals; the same seed gives the same ones [default: the scenario's]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// A CSV file whose second column is the rate over time, instead of the trace that the scenario names
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "300s", allow_hyphen_values = true)]
    timeout: String,
    /// How many may be on their way at once; what is due beyond is counted as not sent
    #[arg(long, value_name = "N", default_value = "10000", allow_hyphen_values = true)]
    max_in_flight: String,
    /// What a server wrote with `rouse predictor --log FILE`: tells what was lost, and what was begun twice. Can be
    /// given several times: the logs of all servers are needed
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// Write a page for a browser, in one file: load, latency and replicas over one axis
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// The admin port of `rouse up`: replicas and decisions stand on the page too
    #[arg(long, value_name = "URL", requires = "report")]
    admin: Option<String>,
    /// table, or json (loadtest/results.schema.json)
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: String,
}

const EXAMPLES: &str = "\
Examples:
  rouse load step http://127.0.0.1:8080                          from nothing to 40 requests a second
  rouse load spike http://127.0.0.1:8080 --faster 2              the same shape, twice as much of it
  rouse load trace http://127.0.0.1:8080 --trace requests.csv    a load of your own, in two minutes
  rouse load ./mine.yaml http://127.0.0.1:8080 -o json           one of your own, for a program (loadtest/scenarios)
  rouse load ramp http://127.0.0.1:8080 --report ramp.html --admin http://127.0.0.1:8090    and a page of it

What was executed, and not only answered:
  rouse up -- rouse predictor --log begun.log --service-time 200ms --port '$(PORT)'
  rouse load spike http://127.0.0.1:8080 --log begun.log

Exit codes: 0 every request has its answer (and with --log none was lost or duplicated); 1 not so; 64 bad input;
69 nobody is there; 130 interrupted: what came until then is told and written.";

/// Does what the flags say.
///
/// # Errors
/// [`Faults`] if the flags or the file are wrong; else if something was lost.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        return say(&list());
    }
    let runtime = daemon::runtime(daemon::default_workers(2))?;
    let target = runtime.block_on(Target::of(args.url.as_deref().unwrap_or_default()));
    let plan = Plan::read(args, target)?;
    let begin = crate::demo::wall_clock();
    let mut watch = plan.admin.clone().map(|admin| Watch::new(admin, begin));
    let mut results = runtime.block_on(send(&plan, watch.as_mut()))?;
    // What came of it is told even if one of the files cannot be had.
    let held = hold_against(&args.logs, &mut results);
    let text = if plan.json { format!("{}\n", serde_json::to_string_pretty(&results)?) } else { results.to_string() };
    say(&text)?;
    held?;
    if let Some(file) = &args.report {
        let beside = watch.map_or_else(Vec::new, |watch| watch.were_up());
        let page = page::report(&report::report(&plan.scenario.about, &results, &beside, begin));
        std::fs::write(file, page).with_context(|| format!("--report {}", file.display()))?;
        eprintln!("the page, for a browser: {}", file.display());
    }
    if results.interrupted {
        return Err(Interrupted.into());
    }
    match &results.executed {
        Some(executed) if !executed.is_right() => {
            bail!("{} lost and {} duplicated of {} requests", executed.lost, executed.duplicated, results.counts.due)
        }
        _ if !results.nothing_was_lost() => {
            bail!("{} of {} requests have no answer", results.counts.due - results.counts.answered, results.counts.due)
        }
        _ => Ok(()),
    }
}

fn list() -> String {
    Scenario::known().into_iter().fold(String::new(), |mut text, (name, about)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12} {about}");
        text
    })
}

/// What the flags ask for, checked.
struct Plan {
    scenario: Scenario,
    /// The error: it cannot be said where that is, which is no fault of the flags.
    target: Result<Target, daemon::Unavailable>,
    options: Options,
    /// For programs; else for people.
    json: bool,
    admin: Option<Server>,
}

impl Plan {
    fn read(args: &Args, target: Result<Target, Nowhere>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let target = target.map_err(|nowhere| match nowhere {
            Nowhere::NoUrl => {
                let url = args.url.as_deref().unwrap_or_default();
                faults.push(Fault::of_flag("URL", url, "one such as http://127.0.0.1:8080"));
                daemon::Unavailable(String::new())
            }
            Nowhere::NoAddress(why) => daemon::Unavailable(why),
        });
        let json = match args.output.as_str() {
            "table" => false,
            "json" => true,
            other => {
                faults.push(Fault::of_flag("--output", other, "json or table"));
                false
            }
        };
        let factor = args.faster.parse().ok().filter(|factor: &f64| factor.is_finite() && 0.0 < *factor);
        if factor.is_none() {
            faults.push(Fault::of_flag("--faster", &args.faster, "a factor above 0, such as 2 or 0.5"));
        }
        let patience = humantime::parse_duration(&args.timeout).ok().filter(|time| !time.is_zero());
        if patience.is_none() {
            faults.push(Fault::of_flag("--timeout", &args.timeout, "a time above 0, such as 90s or 5m"));
        }
        let most = args.max_in_flight.parse().ok().filter(|most| (1..=MOST_IN_FLIGHT).contains(most));
        if most.is_none() {
            let allowed = format!("a whole number from 1 to {MOST_IN_FLIGHT}");
            faults.push(Fault::of_flag("--max-in-flight", &args.max_in_flight, allowed));
        }
        let seed = args.seed.as_deref().map(|seed| (seed, seed.parse::<u64>().ok()));
        if let Some((seed, None)) = seed {
            faults.push(Fault::of_flag("--seed", seed, "a whole number, 0 or more"));
        }
        let usual = Options::usual(format!("load-{:08x}", fastrand::u32(..)));
        let options = Options {
            most_in_flight: most.unwrap_or(usual.most_in_flight),
            patience: patience.unwrap_or(usual.patience),
            ..usual
        };
        let admin = args.admin.as_deref().and_then(|url| {
            let server = Server::parse(url);
            if server.is_none() {
                faults.push(Fault::of_flag("--admin", url, "a URL such as http://127.0.0.1:8090"));
            }
            server
        });
        let folder = args.report.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            faults.push(Fault::of_flag("--report", folder.display().to_string(), "a file in a folder that is there"));
        }
        let name = args.scenario.as_deref().unwrap_or_default();
        match scenario(name, args.trace.as_deref()) {
            Ok(scenario) => {
                let mut scenario = scenario.faster(factor.unwrap_or(1.0));
                scenario.seed = seed.and_then(|(_, seed)| seed).unwrap_or(scenario.seed);
                if MOST_REQUESTS < scenario.requests() {
                    let allowed = format!("at most 10 million requests; these are {:.0}", scenario.requests());
                    faults.push(Fault::of_flag("--faster", &args.faster, allowed));
                }
                Faults(faults).into_result().map(|()| Self { scenario, target, options, json, admin })
            }
            Err(more) => {
                faults.extend(more.0);
                Err(Faults(faults))
            }
        }
    }
}

fn scenario(name: &str, trace: Option<&Path>) -> Result<Scenario, Faults> {
    let looks_like_a_file = name.contains('/') || name.contains('.');
    match (Scenario::named(name, trace), looks_like_a_file) {
        (Some(known), false) => known,
        (None, false) => {
            let names: Vec<&str> = Scenario::known().into_iter().map(|(name, _)| name).collect();
            let allowed = format!("{}, or a path such as ./{name}.yaml", names.join(", "));
            Err(Faults(vec![Fault::of_flag("SCENARIO", name, allowed)]))
        }
        (_, true) => match std::fs::read_to_string(name) {
            Ok(text) => Scenario::in_file(Path::new(name), &text, trace),
            Err(error) => {
                Err(Faults(vec![Fault::of_flag("SCENARIO", name, format!("a file that can be read: {error}"))]))
            }
        },
    }
}

/// The most that may be on their way at once: more connections than a machine has ports.
const MOST_IN_FLIGHT: usize = 1_000_000;

/// How often it is said how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// How often the admin port is asked. It keeps ten minutes, and 256 decisions of each revision.
const LOOK: Duration = Duration::from_secs(60);

/// Sends it all, or until a signal; meanwhile looks at the admin port, if there is one to look at.
async fn send(plan: &Plan, mut watch: Option<&mut Watch>) -> anyhow::Result<Results> {
    let Plan { scenario, target, options, .. } = plan;
    let target = target.as_ref().map_err(Clone::clone)?;
    let url = format!("http://{}{}", target.host, target.prefix);
    // Whether anybody is there at all is said now, and not after a minute.
    let there = tokio::net::TcpStream::connect(target.address).await;
    there.map_err(|error| daemon::Unavailable(format!("nobody is at {url}: {error}")))?;
    if let Some(watch) = &mut watch {
        watch.look().await?;
    }
    let live = Live::default();
    let (lasts, expected) = (scenario.lasts(), scenario.requests());
    eprintln!("{}: about {expected:.0} requests in {} at {url}", scenario.about, humantime::format_duration(lasts));
    let progress = async {
        let mut ticks = tokio::time::interval(PROGRESS);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let so_far = live.snapshot();
            eprintln!(
                "{} due, {} answered, {} on their way, {} lost",
                so_far.due, so_far.answered, so_far.in_flight, so_far.unanswered
            );
        }
    };
    let looking = async {
        let Some(watch) = &mut watch else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK).await;
            // The load goes on; at the end it is asked once more.
            drop(watch.look().await);
        }
    };
    let stop = Stop::on_signals().context("listening for signals")?;
    let results = stop.guard(async |stopped| {
        tokio::select! {
            results = loadtest::run_until(scenario, target, options, &live, stopped.begun()) => results,
            () = progress => unreachable!("it goes on for ever"),
            () = looking => unreachable!("it goes on for ever"),
        }
    });
    let results = results.await?;
    if let Some(watch) = watch
        && let Err(error) = watch.look().await
    {
        eprintln!("--admin: {error:#}; the page has what was heard before");
    }
    Ok(results)
}

fn hold_against(files: &[PathBuf], results: &mut Results) -> anyhow::Result<()> {
    let read = |log: &PathBuf| std::fs::read_to_string(log).with_context(|| format!("--log {}", log.display()));
    let logs: Vec<String> = files.iter().map(read).collect::<anyhow::Result<_>>()?;
    if !logs.is_empty() {
        results.hold_against(logs.iter().map(String::as_str));
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
