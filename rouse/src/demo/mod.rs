//! `rouse demo`: a model that wakes, grows, shrinks and sleeps, in under a minute and a half, with nothing but this program.
//!
//! It serves `model.yaml` as `rouse up` would, in the same process; asks it as `story` says, with the load of `rouse load`;
//! and looks at the admin port as anybody could (`watch`). What is seen is told as it happens (`plain`, or a live view on a
//! terminal) and at the end (`summary`, and the report).
//!
//! Two others are beside it: `canary`, and `shadow`.

mod canary;
mod plain;
mod report;
mod shadow;
mod story;
mod summary;
mod teller;
mod watch;

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::{Fault, Faults};
use daemon::{Draining, Stop};
use jiff::Timestamp;
use loadtest::{Live, Options, Results, Target};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Server;
use crate::up;
use crate::view::Screen;
pub(crate) use report::mark;
use story::Course;
use teller::{Lines, Teller};
use watch::Seen;

/// Watch a model wake, grow under a burst, shrink and sleep: about a minute, nothing else needed
///
/// Serves a stand-in model, asks it, and writes a report to look at. Ends well only if every request was answered and the
/// model went from zero to several replicas and back.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the report is written; with --shadow it is rouse-demo-shadow.html unless said
    #[arg(
        long,
        value_name = "FILE",
        default_value = "rouse-demo.html",
        default_value_if("shadow", "true", "rouse-demo-shadow.html")
    )]
    report: PathBuf,
    /// Where log lines and what replicas print are written; with --shadow it is rouse-demo-shadow.log unless said
    #[arg(
        long,
        value_name = "FILE",
        default_value = "rouse-demo.log",
        default_value_if("shadow", "true", "rouse-demo-shadow.log")
    )]
    log: PathBuf,
    /// Where the live page is, while it runs; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    admin: String,
    /// Draw other arrivals; the same seed gives the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Lines instead of a live view, as where standard output is no terminal
    #[arg(long)]
    plain: bool,
    /// Instead: a new version beside the old one, and shares that are moved while load runs, by you or by the demonstration
    #[arg(long, group = "another")]
    canary: bool,
    /// Instead: two candidates that get copies of what a model is asked, of which one is no good: about 40 s
    #[arg(long, group = "another")]
    shadow: bool,
    /// With --canary or --shadow: where the file is written that changes while load runs; with --shadow it is
    /// rouse-shadow.yaml unless said
    #[arg(
        long,
        value_name = "FILE",
        default_value = "rouse-canary.yaml",
        requires = "another",
        default_value_if("shadow", "true", "rouse-shadow.yaml")
    )]
    file: PathBuf,
    /// A third of the time, for tests
    #[arg(long, hide = true, requires = "shadow")]
    brief: bool,
    /// Only write the file that is served: rouse demo --print > model.yaml; rouse up -f model.yaml
    #[arg(long)]
    print: bool,
}

const EXAMPLES: &str = "\
Examples:
  rouse demo                              then open rouse-demo.html in a browser
  rouse demo --admin 127.0.0.1:8090       and look at http://127.0.0.1:8090 meanwhile
  rouse demo | cat                        lines, for a pipe or a slow terminal
  rouse demo --canary                     move a new version's share, in a file, while load runs
  rouse demo --shadow                     is a candidate as good? Then open rouse-demo-shadow.html
  rouse demo --print                      what is served, to go on from";

/// What is served.
const MODEL: (&str, &str) = ("model.yaml", include_str!("model.yaml"));

/// How long it is waited for the first requests to be taken.
const START: Duration = Duration::from_secs(20);

/// How long the admin port may take for an answer. It is our own: a machine that is busy starting replicas answers late, and
/// what was to be seen goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the curve may take to come to its end.
const CLOSE: Duration = Duration::from_secs(5);

/// Does what the flags say.
///
/// # Errors
/// [`Faults`] if the flags are wrong; else if it did not go as it should.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if args.print {
        return print(match (args.canary, args.shadow) {
            (true, _) => canary::MODEL,
            (false, true) => shadow::MODEL,
            (false, false) => MODEL.1,
        });
    }
    let admin = admin_address(&args.admin)?;
    let log = File::create(&args.log).with_context(|| format!("--log {}", args.log.display()))?;
    if args.canary {
        canary::begin(&args.file)?;
    }
    if args.shadow {
        shadow::begin(&args.file)?;
    }
    // A fault of the path should not wait for the end; the report of an earlier run stays until there is a new one.
    let report = File::options().append(true).create(true).open(&args.report);
    drop(report.with_context(|| format!("--report {}", args.report.display()))?);
    let mut problems = daemon::Problems::none();
    let telemetry = daemon::Telemetry::parse_with(&daemon::Vars::of_process(), up::usual_levels(), &mut problems);
    let mut telemetry = problems.or_value(telemetry)?;
    (telemetry.format, telemetry.colour) = (daemon::LogFormat::Text, false);
    telemetry.init_into(log.try_clone()?)?;
    let runtime = daemon::runtime(daemon::default_workers(2))?;
    runtime.block_on(show(&args, admin, log))
}

fn admin_address(text: &str) -> Result<SocketAddr, Faults> {
    let why = "an address and a port, such as 127.0.0.1:8090";
    text.parse().map_err(|_| Faults(vec![Fault::of_flag("--admin", text, why)]))
}

/// Serves and directs, until the end of the story or a signal.
async fn show(args: &Args, admin: SocketAddr, log: File) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("listening for signals")?;
    stop.guard(async |interrupted: Draining| {
        let (tell, addresses) = oneshot::channel();
        let outlet = up::Outlet { replicas: Box::new(log), colour: false, addresses: up::Tell::Caller(tell) };
        let over = CancellationToken::new();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let serving = async {
            let (both, draining) = ((listen, admin), Draining::when(over.clone()));
            match args.canary || args.shadow {
                true => up::serve_file(args.file.clone(), both, outlet, draining).await,
                false => up::serve_text(MODEL, both, outlet, draining).await,
            }
        };
        tokio::pin!(serving);
        let directing = async {
            match (args.canary, args.shadow) {
                (true, _) => canary::direct(args, addresses).await,
                (false, true) => shadow::direct(args, addresses).await,
                (false, false) => direct(args, addresses).await,
            }
        };
        let told = tokio::select! {
            told = directing => told,
            () = interrupted.begun() => Err(daemon::Interrupted.into()),
            // Why it cannot serve is the answer, in its own words and with its own code.
            served = &mut serving => {
                served?;
                bail!("serving ended before the demonstration did");
            }
        };
        over.cancel();
        let served = serving.await;
        told.and(served)
    })
    .await
}

/// Tells the story, and what came of it.
async fn direct(args: &Args, addresses: oneshot::Receiver<up::Addresses>) -> anyhow::Result<()> {
    let addresses = tokio::time::timeout(START, addresses).await.context("no requests are taken")??;
    let page = format!("http://{}", addresses.admin);
    let admin = Server::parse(&page).context("the admin port's own address")?.with_patience(PATIENCE);
    eprintln!("live page  {page}");
    eprintln!("log        {}", args.log.display());
    let target = Target { address: addresses.listen, host: addresses.listen.to_string(), prefix: String::new() };
    let load = story::load(args.seed);
    let (options, live) = (Options::usual("demo"), Live::default());
    tokio::time::timeout(START, watch::until_known(&admin)).await.context("the model is not known")??;
    let mut seen = Seen::default();
    let mut teller = teller(args, page)?;
    seen.look(&admin).await?;
    let (begin, began) = (Instant::now(), wall_clock());
    let results = tokio::select! {
        results = loadtest::run(&load, &target, &options, &live) => results?,
        // It goes on for as long as the load does, unless somebody leaves or nothing answers.
        watched = watch(&admin, begin, &mut seen, &mut teller, |_| false) => {
            watched?;
            bail!("watching ended before the load");
        }
    };
    let asleep = watch(&admin, begin, &mut seen, &mut teller, Seen::is_asleep);
    let asleep = tokio::time::timeout(story::SLEEP_WITHIN, asleep).await;
    if let Ok(ended) = asleep {
        ended?;
    }
    // The second in which it ended has to be over before it is a point of the curve.
    let told = tokio::time::timeout(CLOSE, watch_on(&admin, &mut seen)).await;
    if let Ok(ended) = told {
        ended?;
    }
    // The terminal is given back before anything is to stay on it.
    drop(teller);
    conclude(args, &results, &seen, began)
}

fn teller(args: &Args, page: String) -> anyhow::Result<Teller> {
    let vars = daemon::Vars::of_process();
    if args.plain || !Screen::is_possible(vars.get("TERM")) {
        return Ok(Teller::Lines(Lines::default()));
    }
    let screen = Box::new(Screen::enter().context("the terminal")?);
    Ok(Teller::Live { screen, page })
}

/// Looks until the curve has come to its end too.
async fn watch_on(admin: &Server, seen: &mut Seen) -> anyhow::Result<()> {
    while seen.points.last().is_some_and(|point| point.ready_replicas != 0) {
        tokio::time::sleep(watch::EVERY).await;
        seen.look(admin).await?;
    }
    Ok(())
}

/// Looks and tells, until what was seen is enough.
async fn watch(
    admin: &Server,
    begin: Instant,
    seen: &mut Seen,
    teller: &mut Teller,
    is_enough: impl Fn(&Seen) -> bool,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(watch::EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = teller.wants_to_leave() => return Err(daemon::Interrupted.into()),
        }
        seen.look(admin).await?;
        teller.tell(begin.elapsed(), seen)?;
        if is_enough(seen) {
            return Ok(());
        }
    }
}

fn conclude(args: &Args, results: &Results, seen: &Seen, began: Timestamp) -> anyhow::Result<()> {
    let course = Course::of(&seen.ready);
    let (text, well) = summary::summary(results, course, seen);
    print(&text)?;
    let report = page::report(&report::report(results, course, seen, began));
    hand_over(args, &report, well)
}

/// Writes the report, and says how it went.
fn hand_over(args: &Args, report: &str, well: bool) -> anyhow::Result<()> {
    std::fs::write(&args.report, report).with_context(|| format!("--report {}", args.report.display()))?;
    print(&format!("\n  the report, for a browser: {}\n", args.report.display()))?;
    if !well {
        bail!("it did not go as it should; {} says more", args.log.display());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a page says at what time of day it was made; nothing is decided by it")]
pub(crate) fn wall_clock() -> Timestamp {
    std::time::SystemTime::now().try_into().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who has seen enough need not be told so.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod fixture;
