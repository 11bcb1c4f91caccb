//! `rouse up`: serves the endpoints of a file, or one command, with replicas as child processes.
//!
//! Read the files or the short form (`source`, `short`), look at the machine (`machine`), make a plan of it (`plan`),
//! and either say it (`--check`, `--print`) or run it (`run`), following the files (`follow`).

mod follow;
mod machine;
mod plan;
mod run;
mod short;
mod source;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use api::{Fault, Faults};
use daemon::Draining;

use follow::Follower;
use machine::Machine;
use plan::Planner;
use run::Settings;
pub(crate) use run::{Addresses, Outlet, Tell, usual_levels};
use short::Flags;
use source::Source;

/// Serve model endpoints on this machine, with replicas as child processes
///
/// Each replica is a process with a PORT of its own: in its environment, and wherever $(PORT) stands in the command.
/// Nothing runs until the first request comes; after a minute without requests nothing runs any more.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A file with ModelEndpoints and their Deployments; may be given several times. Changes are followed
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where all endpoints are reached, told apart by Host; each has a port of its own as well, from the next one up
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where `rouse get` asks; also /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    admin: String,
    /// Only look for faults, tell all of them at once, and say what would be served
    #[arg(long)]
    check: bool,
    /// Only write the YAML that the command, or the files, stand for
    #[arg(long)]
    print: bool,
    /// With a command: the most replicas there may be [default: 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max: Option<String>,
    /// With a command: the most requests a replica may work on at once [default: no limit]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    concurrency: Option<String>,
    /// With a command: what the endpoint is called [default: from the command]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For replicas that are slow to start: work off what piles up meanwhile, in place of ordering more and more for it
    #[arg(long)]
    startup_aware: bool,
    /// What requests may take in memory while they wait, all together; more are refused with 503 `activator-full`
    /// [default: half of the memory that this program may use]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// Write the addresses into this file, as JSON, once requests are taken: for scripts that ask for port 0
    #[arg(long, value_name = "FILE")]
    announce: Option<PathBuf>,
    /// What each replica runs. Put $(PORT) in single quotes, or the shell takes it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  rouse up -- python serve.py --port '$(PORT)'              one command, 0 to 4 replicas
  rouse up --max 8 --concurrency 2 -- ./server '$(PORT)'    at most 8 replicas, each with 2 requests at a time
  rouse up --print -- ./server '$(PORT)' > server.yaml      the file that this stands for, to go on from
  rouse up -f server.yaml                                   the same from the file, which is followed
  rouse up --check -f server.yaml                           every fault of the file at once; 64 if there is one

In a file, `rouse` as a command is this very program, replicas run in the folder of the file (a relative workingDir
begins there), and a port of 1024 or more in spec.ports is the endpoint's own port here too. With images that exist,
kubectl takes the same file.";

/// Does what the flags say.
///
/// # Errors
/// [`Faults`] if the flags or the files are wrong, or the machine does not have what they need; else what `run` says.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = daemon::runtime(daemon::default_workers(MOST_WORKERS))?;
    runtime.block_on(up(args))
}

/// More threads than this do not help to move requests between processes of one machine, which needs them itself.
const MOST_WORKERS: usize = 8;

async fn up(args: Args) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let listen = address("--listen", &args.listen, &mut faults);
    let admin = address("--admin", &args.admin, &mut faults);
    let memory_budget = args.memory_budget.as_deref().map(|text| budget("--memory-budget", text, &mut faults));
    let flags = Flags { command: args.command, max: args.max, concurrency: args.concurrency, name: args.name };
    let source = Source::of(args.files, flags, &mut faults);
    let reading = source.read();
    for warning in &reading.warnings {
        eprintln!("warning: {warning}");
    }
    faults.extend(reading.faults.0);
    if args.print {
        // What is written is what was read; whether this machine could run it is another question.
        Faults(faults).into_result()?;
        let imageless = reading.documents.deployments.iter().any(|placed| placed.value.container.image.is_none());
        let lacking = if imageless { FOR_A_CLUSTER } else { "" };
        return say(&format!("{lacking}{}", api::to_yaml(&reading.documents)?));
    }
    let mut planner = Planner::new(listen, admin, Machine::this());
    let mut taken = Vec::new();
    planner.look(&reading.documents, true, &mut faults, &mut taken);
    if args.check {
        for warning in &taken {
            eprintln!("warning: {warning}");
        }
    } else {
        faults.extend(taken);
    }
    Faults(faults).into_result()?;
    let plan = planner.plan(&reading.documents);
    if args.check {
        return say(&plan.describe());
    }
    let mut problems = daemon::Problems::none();
    let telemetry = daemon::Telemetry::parse_with(&daemon::Vars::of_process(), run::usual_levels(), &mut problems);
    let telemetry = problems.or_value(telemetry)?;
    let colour = telemetry.colour;
    telemetry.init()?;
    let follower = Follower::new(source, planner)?;
    let addresses = Tell::People { announce: args.announce };
    let outlet = Outlet { replicas: Box::new(std::io::stderr()), colour, addresses };
    let mut settings = Settings::usual();
    settings.autoscaler.startup_aware = args.startup_aware;
    settings.memory_budget = memory_budget.unwrap_or(settings.memory_budget);
    run::serve(plan, settings, follower, outlet).await
}

/// Serves documents that this program carries with it, until `draining` begins. `listen` and `admin` are looked at first.
///
/// # Errors
/// [`Faults`] if an address is taken; else what [`run`] says.
pub(crate) async fn serve_text(
    (name, text): (&'static str, &'static str),
    addresses: (SocketAddr, SocketAddr),
    outlet: Outlet,
    draining: Draining,
) -> anyhow::Result<()> {
    serve_source(Source::Text(name, text), addresses, outlet, draining).await
}

/// The same, of a file, which is followed.
///
/// # Errors
/// As for [`serve_text`].
pub(crate) async fn serve_file(
    file: PathBuf,
    addresses: (SocketAddr, SocketAddr),
    outlet: Outlet,
    draining: Draining,
) -> anyhow::Result<()> {
    serve_source(Source::Files(vec![file]), addresses, outlet, draining).await
}

async fn serve_source(
    source: Source,
    (listen, admin): (SocketAddr, SocketAddr),
    outlet: Outlet,
    draining: Draining,
) -> anyhow::Result<()> {
    let reading = source.read();
    let mut faults = reading.faults.0;
    let mut taken = Vec::new();
    let mut planner = Planner::new(listen, admin, Machine::this());
    planner.look(&reading.documents, true, &mut faults, &mut taken);
    faults.extend(taken);
    Faults(faults).into_result()?;
    let plan = planner.plan(&reading.documents);
    let follower = Follower::new(source, planner)?;
    run::up(plan, Settings::usual(), follower, outlet, draining).await
}

/// What a command does not say, and kubectl asks for.
const FOR_A_CLUSTER: &str = "\
# On this machine as it is. A cluster also asks for these two in the container; they change nothing here:
#   image: example.com/model:v1
#   env: [{ name: PORT, value: \"8080\" }]
";

/// An address to listen on; the fault is noted, and then it is one that is always free.
fn address(flag: &str, text: &str, faults: &mut Vec<Fault>) -> SocketAddr {
    text.parse().unwrap_or_else(|_| {
        faults.push(Fault::of_flag(flag, text, "an address and a port, such as 127.0.0.1:8080 or [::]:8080"));
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

/// A size of memory; the fault is noted, and then it is none.
fn budget(flag: &str, text: &str, faults: &mut Vec<Fault>) -> u64 {
    daemon::budget_of(text).unwrap_or_else(|| {
        faults.push(Fault::of_flag(flag, text, daemon::BUDGETS));
        0
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // `rouse up --print | head`: who has seen enough need not be told so.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
