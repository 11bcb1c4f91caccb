//! Strings in, [`Settings`] out.

use std::net::SocketAddr;
use std::time::Duration;

use daemon::{Problem, Problems, Telemetry, Token, Vars, default_workers};
use kubernetes::flags::{self, About, Flag};
use kubernetes::{Site, Timing};

/// What it says of itself.
pub(crate) const ABOUT: About = About {
    program: "autoscaler",
    version: env!("CARGO_PKG_VERSION"),
    does: "Decides on a cluster how many replicas each revision has, from what is in flight, and orders them; one of \
           several leads, by a Lease.",
    after: "\
ADMIN_TOKEN (16 characters or more) lets who brings it ask /api/v1 from elsewhere, as `authorization: Bearer TOKEN`;
without one that is told on loopback only, as through a port-forward. LOG_FORMAT is text on a terminal, else json.

The cluster is found by the pod's ServiceAccount, else by KUBECONFIG. deploy/base has the whole.

Exit codes: 0 done, 1 failed, 64 a setting is wrong (all faults are told at once), 69 a port is taken or there is no
cluster, 130 interrupted.",
    flags: &[
        Flag {
            name: "streams-listen",
            variable: "STREAMS_LISTEN",
            value: "ADDRESS",
            default: Some("[::]:8081"),
            help: "Where activators and sidecars report",
        },
        Flag {
            name: "activator-port",
            variable: "ACTIVATOR_PORT",
            value: "PORT",
            default: Some("8080"),
            help: "The port that all endpoints share on an activator",
        },
        Flag {
            name: "own-ports",
            variable: "OWN_PORTS",
            value: "FIRST-LAST",
            default: Some("20000-29999"),
            help: "The ports on activators of which each endpoint gets one of its own",
        },
        Flag {
            name: "startup-aware",
            variable: "STARTUP_AWARE",
            value: "BOOL",
            default: Some("false"),
            help: "Work off what piles up while replicas start, in place of ordering more and more for it",
        },
        Flag {
            name: "webhook-listen",
            variable: "WEBHOOK_LISTEN",
            value: "ADDRESS",
            default: Some("[::]:8443"),
            help: "Where the API server asks which sidecar a new pod gets",
        },
        Flag {
            name: "sidecar-image",
            variable: "SIDECAR_IMAGE",
            value: "IMAGE",
            default: Some(concat!("rouse.dev/queue-proxy:", env!("CARGO_PKG_VERSION"))),
            help: "The image of queue-proxy that such a pod gets",
        },
        Flag {
            name: "authority-renewal",
            variable: "AUTHORITY_RENEWAL",
            value: "TIME",
            default: Some("365d"),
            help: "Rouse's own authority is followed by another when it is so old",
        },
        Flag {
            name: "authority-step",
            variable: "AUTHORITY_STEP",
            value: "TIME",
            default: Some("24h"),
            help: "Everyone has heard within so long what is to be believed: between two steps of such a change",
        },
    ],
};

/// What an autoscaler on a cluster needs to run. Past this point nothing is a string, and nothing is checked again.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) site: Site,
    pub(crate) streams_listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) admin_token: Option<Token>,
    pub(crate) startup_aware: bool,
    pub(crate) webhook_listen: SocketAddr,
    /// Of queue-proxy, as pods are to name it.
    pub(crate) sidecar_image: String,
    /// Of Rouse's own authority.
    pub(crate) timing: Timing,
}

/// Its settings, and those of its process.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) config: Settings,
    pub(crate) telemetry: Telemetry,
    pub(crate) workers: usize,
}

/// Thousands of revisions are less than a processor's work.
const MOST_WORKERS: usize = 4;

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
    let address = "ADDRESS:PORT, for example [::]:8081 or 0.0.0.0:8081";
    let telemetry = Telemetry::parse(vars, problems);
    let site = flags::site(vars, problems);
    let streams_listen = problems.needed(vars, "STREAMS_LISTEN", address, str::parse::<SocketAddr>);
    let admin_listen = problems.needed(vars, "ADMIN_LISTEN", address, str::parse);
    let admin_token = daemon::admin_token(vars, problems);
    let shared_port = problems.needed(vars, "ACTIVATOR_PORT", "a port from 1", flags::port);
    let own_ports = problems.needed(vars, "OWN_PORTS", "two ports from 1024, for example 20000-29999", flags::ports);
    let startup_aware = problems.needed(vars, "STARTUP_AWARE", "true or false", str::parse);
    let webhook_listen = problems.needed(vars, "WEBHOOK_LISTEN", address, str::parse);
    // A pod with another is refused by the API server, and would not start.
    let sidecar_image = problems.needed(vars, "SIDECAR_IMAGE", "the name of an image, without spaces", |value| {
        if value.contains(char::is_whitespace) { Err("is not the name of an image") } else { Ok(value.to_owned()) }
    });
    let time = "a time such as 24h or 365d";
    let renewal = problems.needed(vars, "AUTHORITY_RENEWAL", time, humantime::parse_duration);
    let step = problems.needed(vars, "AUTHORITY_STEP", "a time of 1s or more, such as 24h", |value| {
        let step = humantime::parse_duration(value).map_err(|error| error.to_string())?;
        if step < Duration::from_secs(1) { Err("is less than a second".to_owned()) } else { Ok(step) }
    });
    if let (Some(renewal), Some(step)) = (renewal, step)
        && renewal < step * 12
    {
        problems.add(Problem {
            name: "AUTHORITY_RENEWAL".to_owned(),
            value: vars.get("AUTHORITY_RENEWAL").map(str::to_owned),
            fault: format!("leaves no time for the steps of a change (AUTHORITY_STEP = {step:?})"),
            allowed: "twelve times AUTHORITY_STEP, or more".to_owned(),
        });
    }
    let workers = flags::workers(vars, problems, default_workers(MOST_WORKERS));
    let streams_port = streams_listen?.port();
    let site = Site { own_ports: own_ports?, shared_port: shared_port?, streams_port, ..site? };
    let config = Settings {
        site,
        streams_listen: streams_listen?,
        admin_listen: admin_listen?,
        admin_token: admin_token?,
        startup_aware: startup_aware?,
        webhook_listen: webhook_listen?,
        sidecar_image: sidecar_image?,
        timing: Timing { renewal: renewal?, step: step? },
    };
    Some(Launch { config, telemetry: telemetry?, workers: workers? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(more: &[(&str, &str)]) -> Result<Launch, Problems> {
        let pod = [("POD_NAMESPACE", "rouse"), ("POD_NAME", "autoscaler-1"), ("POD_UID", "uid-1")];
        let mut vars = Vars::default();
        pod.iter().chain(more).for_each(|(name, value)| vars.set(name, value));
        Launch::parse(&flags::read(&ABOUT, ["autoscaler".into()], vars).unwrap())
    }

    #[test]
    fn in_a_pod_nothing_needs_to_be_set() {
        let Launch { config, .. } = parse_with(&[]).unwrap();
        assert_eq!((config.streams_listen.port(), config.admin_listen.port()), (8081, 9090));
        assert_eq!((config.site.shared_port, config.site.streams_port), (8080, 8081));
        assert_eq!((config.site.own_ports, config.startup_aware), (Site::OWN_PORTS, false));
        assert_eq!(config.timing, Timing::ROUSE);
        assert_eq!(config.webhook_listen.port(), 8443);
        assert!(config.sidecar_image.starts_with("rouse.dev/queue-proxy:"), "{}", config.sidecar_image);
        assert_eq!(&*config.site.namespace, "rouse");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let bad = [
            ("STREAMS_LISTEN", ":1"),
            ("POD_NAME", ""),
            ("OWN_PORTS", "80-90"),
            ("ADMIN_TOKEN", "guess me"),
            ("AUTHORITY_RENEWAL", "1h"),
        ];
        let problems = parse_with(&bad).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["POD_NAME", "STREAMS_LISTEN", "ADMIN_TOKEN", "OWN_PORTS", "AUTHORITY_RENEWAL"]);
    }
}
