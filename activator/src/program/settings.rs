//! Strings in, [`Settings`] out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use activator::ByClass;
use daemon::{Problem, Problems, Telemetry, Vars, default_workers};
use kubernetes::Site;
use kubernetes::flags::{self, About, Flag};

/// What it says of itself.
pub(crate) const ABOUT: About = About {
    program: "activator",
    version: env!("CARGO_PKG_VERSION"),
    does: "Stands in front of models on a cluster: finds the endpoint, picks the revision, holds what comes for one without \
           a replica and wakes it, picks the replica, forwards, and reports demand.",
    after: "\
MEMORY_BUDGET is worked out from the memory limit of the pod's container unless it is set.
LOG_FORMAT is text on a terminal, else json.

The cluster is found by the pod's ServiceAccount, else by KUBECONFIG. deploy/base has the whole.

Exit codes: 0 done, 1 failed, 64 a setting is wrong (all faults are told at once), 69 a port is taken or there is no
cluster, 130 interrupted.",
    flags: &[
        Flag {
            name: "listen",
            variable: "LISTEN",
            value: "ADDRESS",
            default: Some("[::]:8080"),
            help: "The port that all endpoints share: the Host decides",
        },
        Flag {
            name: "streams-port",
            variable: "STREAMS_PORT",
            value: "PORT",
            default: Some("8081"),
            help: "Where autoscalers take streams",
        },
        Flag {
            name: "autoscaler-token",
            variable: "AUTOSCALER_TOKEN",
            value: "FILE",
            default: Some("/var/run/secrets/rouse.dev/token"),
            help: "The ServiceAccount token that proves to autoscalers who this is, for the audience rouse",
        },
        Flag {
            name: "quiet",
            variable: "QUIET",
            value: "TIME",
            default: Some("15s"),
            help: "When leaving: serves on for so long once it is out of every path",
        },
        Flag {
            name: "drain",
            variable: "DRAIN",
            value: "TIME",
            default: Some("300s"),
            help: "When leaving, from SIGTERM: for requests with one answer, held ones too",
        },
        Flag {
            name: "drain-streaming",
            variable: "DRAIN_STREAMING",
            value: "TIME",
            default: Some("300s"),
            help: "When leaving: for answers of unknown length (SSE, chunks)",
        },
        Flag {
            name: "drain-upgraded",
            variable: "DRAIN_UPGRADED",
            value: "TIME",
            default: Some("60s"),
            help: "When leaving: for WebSockets",
        },
        Flag {
            name: "memory-budget",
            variable: "MEMORY_BUDGET",
            value: "SIZE",
            default: None,
            help: "What requests may take while they wait, all together [default: half of the memory limit]",
        },
    ],
};

/// What an activator on a cluster needs to run. Past this point nothing is a string, and nothing is checked again.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) site: Site,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    /// Bytes that requests may take while they wait.
    pub(crate) memory_budget: u64,
    /// The file of the token that proves who this is.
    pub(crate) token: PathBuf,
    pub(crate) quiet: Duration,
    pub(crate) drain: ByClass<Duration>,
}

/// Its settings, and those of its process.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) config: Settings,
    pub(crate) telemetry: Telemetry,
    pub(crate) workers: usize,
}

/// More threads than this do not help to move requests.
const MOST_WORKERS: usize = 64;

impl Launch {
    /// Reads the settings, which have their defaults.
    ///
    /// # Errors
    /// With every fault at once.
    pub(crate) fn parse(vars: &Vars) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        let launch = parse(vars, &mut problems);
        problems.or_value(launch)
    }
}

fn parse(vars: &Vars, problems: &mut Problems) -> Option<Launch> {
    let address = "ADDRESS:PORT, for example [::]:8080 or 0.0.0.0:8080";
    let time = "a time such as 15s or 5m";
    let telemetry = Telemetry::parse(vars, problems);
    let site = flags::site(vars, problems);
    let listen = problems.needed(vars, "LISTEN", address, str::parse::<SocketAddr>);
    let admin_listen = problems.needed(vars, "ADMIN_LISTEN", address, str::parse);
    let streams_port = problems.needed(vars, "STREAMS_PORT", "a port from 1", flags::port);
    let memory_budget = daemon::memory_budget(vars, problems);
    let token = problems.needed(vars, "AUTOSCALER_TOKEN", "the path of a file", str::parse::<PathBuf>);
    let quiet = problems.needed(vars, "QUIET", time, humantime::parse_duration);
    let unary = problems.needed(vars, "DRAIN", time, humantime::parse_duration);
    let streaming = problems.needed(vars, "DRAIN_STREAMING", time, humantime::parse_duration);
    let upgraded = problems.needed(vars, "DRAIN_UPGRADED", time, humantime::parse_duration);
    let workers = flags::workers(vars, problems, default_workers(MOST_WORKERS));
    let (quiet, drain) = (quiet?, ByClass { unary: unary?, streaming: streaming?, upgraded: upgraded? });
    for (name, limit) in
        [("DRAIN", drain.unary), ("DRAIN_STREAMING", drain.streaming), ("DRAIN_UPGRADED", drain.upgraded)]
    {
        if limit <= quiet {
            problems.add(Problem {
                name: name.to_owned(),
                value: vars.get(name).map(str::to_owned),
                fault: format!("would be over before the quiet time is (QUIET = {quiet:?})"),
                allowed: "more than QUIET, and less than terminationGracePeriodSeconds of the pod".to_owned(),
            });
        }
    }
    let site = Site { shared_port: listen?.port(), streams_port: streams_port?, ..site? };
    let config = Settings {
        site,
        listen: listen?,
        admin_listen: admin_listen?,
        memory_budget: memory_budget?,
        token: token?,
        quiet,
        drain,
    };
    Some(Launch { config, telemetry: telemetry?, workers: workers? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(more: &[(&str, &str)]) -> Result<Launch, Problems> {
        let pod = [("POD_NAMESPACE", "rouse"), ("POD_NAME", "activator-1"), ("POD_UID", "uid-1")];
        let mut vars = Vars::default();
        pod.iter().chain(more).for_each(|(name, value)| vars.set(name, value));
        Launch::parse(&flags::read(&ABOUT, ["activator".into()], vars).unwrap())
    }

    #[test]
    fn in_a_pod_nothing_needs_to_be_set() {
        let Launch { config, .. } = parse_with(&[]).unwrap();
        assert_eq!((config.listen.port(), config.admin_listen.port()), (8080, 9090));
        assert_eq!((config.site.shared_port, config.site.streams_port), (8080, 8081));
        assert_eq!((config.quiet.as_secs(), config.drain.unary.as_secs()), (15, 300));
        assert_eq!(config.memory_budget, daemon::memory_limit() / 2);
    }

    #[test]
    fn a_pod_is_given_longer_than_it_takes_to_leave() {
        let yaml = include_str!("../../../deploy/base/activator.yaml");
        let grace = yaml.split_once("terminationGracePeriodSeconds: ").and_then(|(_, rest)| rest.lines().next());
        let grace = Duration::from_secs(grace.unwrap().parse().unwrap());
        let Launch { config, .. } = parse_with(&[]).unwrap();
        assert!(config.drain.most() + super::super::CLOSING < grace, "{grace:?}");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let bad = [("LISTEN", "8080"), ("POD_UID", ""), ("STREAMS_PORT", "0"), ("DRAIN", "10s"), ("WORKERS", "none")];
        let problems = parse_with(&bad).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["POD_UID", "LISTEN", "STREAMS_PORT", "WORKERS", "DRAIN"]);
    }
}
