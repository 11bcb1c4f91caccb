//! Strings in, [`Config`] out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use breaker::Budget;
use daemon::{Problem, Problems, Telemetry, Token, Vars, default_workers};
use forward::{ByClass, Timeouts};
use units::ConcurrencyLimit;

use crate::foreign::Strangers;
use crate::probe::Probe;
use crate::proof::{AutoscalerTrust, autoscaler_trust};
use crate::trust::{ProxiedTls, proxied_tls};

/// What a sidecar needs to run. Past this point nothing is a string, and nothing is checked again.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the model listens.
    pub upstream: SocketAddr,
    /// Where it takes gRPC, over HTTP/2 without TLS. Most often the same.
    pub upstream_grpc: SocketAddr,
    /// For clients and the kubelet's Service. What comes here is *direct*.
    pub listen: SocketAddr,
    /// For activators. What comes here is *proxied*, and only here the headers between programs are believed.
    pub proxied_listen: SocketAddr,
    /// Who is believed there. `None`: by certificates from an autoscaler, with `autoscaler_trust`; without, whoever reaches
    /// it, which is for loopback.
    pub proxied_tls: Option<ProxiedTls>,
    /// Health, metrics, numbers. `None`: no such port.
    pub admin_listen: Option<SocketAddr>,
    /// Who brings it there may say from elsewhere too that this replica or its model leaves. `None`: that is said on
    /// loopback only.
    pub admin_token: Option<Token>,
    /// The most requests at the model at once, until an autoscaler says otherwise.
    pub container_concurrency: ConcurrencyLimit,
    /// The most requests that wait. `None`: ten times the limit, as Knative; without a limit, [`UNLIMITED_DEPTH`], for
    /// then they wait only while the model is not ready.
    pub queue_depth: Option<u32>,
    /// What is read of bodies while their requests wait, all together: shared with whatever else holds requests in this
    /// process.
    pub budget: Budget,
    /// From hand-over to the model, until an autoscaler says otherwise.
    pub timeouts: Timeouts,
    /// When is the model ready?
    pub probe: Probe,
    /// How long what is in flight is given, each class from being told to leave. The longest should end within the grace
    /// of the pod: what is there then is killed, and nobody counts it.
    pub drain: ByClass<Duration>,
    /// While leaving, how long no new direct request may have come before the ports are closed. At most half of what
    /// unary requests are given.
    pub quiet: Duration,
    /// Autoscalers to report to, `host:port` each: all of the addresses that a name has, as they come and go.
    pub autoscalers: Vec<String>,
    /// How it knows them, and proves itself to them. `None`: plain TCP.
    pub autoscaler_trust: Option<AutoscalerTrust>,
    /// For whom it reports.
    pub identity: Identity,
    /// Who goes round it. Sidecars of one process share it.
    pub strangers: Strangers,
}

/// Whose numbers these are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod, or of the local replica.
    pub pod_name: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// The revision it belongs to.
    pub revision: String,
}

/// Requests that may wait for a model that has no limit and is not ready.
pub const UNLIMITED_DEPTH: u32 = 1_000;

/// Endpoints of a Service learn of a pod's end within a second or two; ingresses take a little longer.
const QUIET: Duration = Duration::from_secs(5);

/// A request that is answered once: within the grace that Kubernetes gives a pod unless told otherwise. A stream: as long
/// as the request time-out would have let it go on. An upgraded connection does not end by itself, and its client knows
/// how to connect again; so it is not what a pod waits five minutes for.
const DRAIN: ByClass<Duration> =
    ByClass { unary: Duration::from_secs(30), streaming: Duration::from_secs(300), upgraded: Duration::from_secs(60) };

/// As Knative's `timeoutSeconds`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// A sidecar spends its life beside a model that wants the processors.
const MOST_WORKERS: usize = 2;

/// A sidecar's settings, and those of its process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The sidecar.
    pub config: Config,
    /// Log lines.
    pub telemetry: Telemetry,
    /// Threads.
    pub workers: usize,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To run.
    Serve,
    /// To tell the sidecar that runs here to leave.
    Leave,
    /// To say this.
    Say(String),
}

impl Asked {
    /// Reads the arguments, without the program's name.
    ///
    /// # Errors
    /// If there are any that mean nothing.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, Problems> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Ok(Self::Serve),
            ["leave"] => Ok(Self::Leave),
            ["--help" | "-h"] => Ok(Self::Say(HELP.to_owned())),
            ["--version" | "-V"] => Ok(Self::Say(format!("queue-proxy {}\n", env!("CARGO_PKG_VERSION")))),
            _ => {
                let mut problems = Problems::none();
                problems.add(Problem {
                    name: "arguments".to_owned(),
                    value: Some(arguments.join(" ")),
                    fault: "mean nothing here; settings are environment variables".to_owned(),
                    allowed: "none, leave, --help or --version".to_owned(),
                });
                Err(problems)
            }
        }
    }

    /// Reads the environment as far as it matters for this.
    ///
    /// # Errors
    /// With every fault at once.
    pub fn launch(&self, vars: &Vars) -> Result<Launch, Problems> {
        match self {
            Self::Leave => Launch::parse_to_leave(vars),
            Self::Serve | Self::Say(_) => Launch::parse(vars),
        }
    }
}

impl Config {
    /// Beside a model on this machine: free ports on loopback, no admin port, no quiet period, and every default.
    pub fn local(upstream: SocketAddr) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            upstream,
            upstream_grpc: upstream,
            listen: loopback,
            proxied_listen: loopback,
            proxied_tls: None,
            admin_listen: None,
            admin_token: None,
            container_concurrency: ConcurrencyLimit::Unlimited,
            queue_depth: None,
            budget: Budget::new(daemon::memory_limit() / 2),
            timeouts: Timeouts { request: Some(REQUEST_TIMEOUT), response_start: None, idle: None },
            probe: Probe::tcp(upstream),
            drain: DRAIN,
            quiet: Duration::ZERO,
            autoscalers: Vec::new(),
            autoscaler_trust: None,
            identity: Identity::default(),
            strangers: Strangers::default(),
        }
    }
}

impl Launch {
    /// Reads the environment.
    ///
    /// # Errors
    /// With every fault at once.
    pub fn parse(vars: &Vars) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        let proxied_tls = proxied_tls(vars, &mut problems);
        let launch = parse(vars, proxied_tls, &mut problems);
        problems.or_value(launch)
    }

    /// Without looking into files: a pod must be able to leave while they are changed.
    fn parse_to_leave(vars: &Vars) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        let launch = parse(vars, Some(None), &mut problems);
        problems.or_value(launch)
    }
}

fn parse(vars: &Vars, proxied_tls: Option<Option<ProxiedTls>>, problems: &mut Problems) -> Option<Launch> {
    let everywhere = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let place = "HOST:PORT, for example 127.0.0.1:8080";
    let listening = "HOST:PORT, for example [::]:8012; port 0 takes a free one";
    let span = "a time such as 300s, 2m or 500ms; 0 for no limit";
    let whole = "a whole number from 0";

    let telemetry = Telemetry::parse(vars, problems);
    let upstream = problems.needed(vars, "UPSTREAM", place, address);
    let upstream_grpc = problems.optional(vars, "UPSTREAM_GRPC", place, address);
    let listen = problems.or_default(vars, "LISTEN", everywhere(8012), listening, address);
    let proxied_listen = problems.or_default(vars, "PROXIED_LISTEN", everywhere(8013), listening, address);
    let admin_listen = problems.or_default(vars, "ADMIN_LISTEN", everywhere(8022), listening, address);
    let admin_token = daemon::admin_token(vars, problems);
    let limit = problems.or_default(vars, "CONTAINER_CONCURRENCY", 0, "a whole number; 0 for no limit", str::parse);
    let queue_depth = problems.optional(vars, "QUEUE_DEPTH", whole, str::parse);
    let budget = daemon::memory_budget(vars, problems);
    let request = problems.or_default(vars, "REQUEST_TIMEOUT", Some(REQUEST_TIMEOUT), span, limit_of_time);
    let start = problems.or_default(vars, "RESPONSE_START_TIMEOUT", None, span, limit_of_time);
    let idle = problems.or_default(vars, "IDLE_TIMEOUT", None, span, limit_of_time);
    let time = "a time such as 30s";
    let drain = problems.or_default(vars, "DRAIN", DRAIN.unary, time, duration);
    let drain_streaming = problems.or_default(vars, "DRAIN_STREAMING", DRAIN.streaming, time, duration);
    let drain_upgraded = problems.or_default(vars, "DRAIN_UPGRADED", DRAIN.upgraded, time, duration);
    let workers = problems.or_default(vars, "WORKERS", default_workers(MOST_WORKERS), "1 to 256", |value| {
        value.parse().ok().filter(|workers| (1..=256).contains(workers)).ok_or("is not such a number")
    });
    let autoscalers = problems.or_default(
        vars,
        "AUTOSCALER",
        Vec::new(),
        "HOST:PORT, or several with commas between them",
        host_ports,
    );
    let autoscaler_trust = autoscaler_trust(vars, problems);
    let probe = match upstream {
        None => None,
        Some(upstream) => problems.or_default(
            vars,
            "READINESS_PROBE",
            Probe::tcp(upstream),
            r#"a Kubernetes probe as JSON, for example {"httpGet":{"path":"/v1/models/m","port":8080}}"#,
            |json| Probe::parse(json, upstream),
        ),
    };
    let text = |name| vars.get(name).unwrap_or_default().to_owned();
    let identity = Identity {
        namespace: text("NAMESPACE"),
        pod_name: text("POD_NAME"),
        pod_uid: text("POD_UID"),
        revision: text("REVISION"),
    };
    let autoscalers = autoscalers?;
    if !autoscalers.is_empty() {
        for name in ["NAMESPACE", "POD_NAME", "REVISION"].into_iter().filter(|name| vars.get(name).is_none()) {
            problems.add(Problem {
                name: name.to_owned(),
                value: None,
                fault: "is not set, and AUTOSCALER needs to know for whom it hears".to_owned(),
                allowed: "the name, as the downward API gives it".to_owned(),
            });
        }
    }
    if autoscaler_trust.as_ref().is_some_and(Option::is_some) {
        // Who it is has to be known in full to be proven.
        let needed = if autoscalers.is_empty() { &["AUTOSCALER"][..] } else { &["POD_UID"] };
        for name in needed.iter().filter(|name| vars.get(name).is_none()) {
            problems.add(Problem {
                name: (*name).to_owned(),
                value: None,
                fault: "is not set, and AUTOSCALER_CA needs it".to_owned(),
                allowed: "as it is written for the sidecar when it is injected".to_owned(),
            });
        }
    }
    let drain = ByClass { unary: drain?, streaming: drain_streaming?, upgraded: drain_upgraded? };
    let upstream = upstream?;
    let config = Config {
        upstream,
        upstream_grpc: upstream_grpc?.unwrap_or(upstream),
        listen: listen?,
        proxied_listen: proxied_listen?,
        proxied_tls: proxied_tls?,
        admin_listen: Some(admin_listen?),
        admin_token: admin_token?,
        container_concurrency: ConcurrencyLimit::from_field(limit?),
        queue_depth: queue_depth?,
        budget: Budget::new(budget?),
        timeouts: Timeouts { request: request?, response_start: start?, idle: idle? },
        probe: probe?,
        drain,
        quiet: QUIET.min(drain.unary / 2),
        autoscalers,
        autoscaler_trust: autoscaler_trust?,
        identity,
        strangers: Strangers::default(),
    };
    Some(Launch { config, telemetry: telemetry?, workers: workers? })
}

/// `localhost` is what people write.
fn address(value: &str) -> Result<SocketAddr, String> {
    if let Some(port) = value.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    value.parse().map_err(|_| match value.parse::<IpAddr>() {
        Ok(_) => "has no port".to_owned(),
        Err(_) => "is not an address with a port".to_owned(),
    })
}

fn duration(value: &str) -> Result<Duration, humantime::DurationError> {
    if value == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(value) }
}

/// 0 is no limit at the border, and nowhere else.
fn limit_of_time(value: &str) -> Result<Option<Duration>, humantime::DurationError> {
    duration(value).map(|limit| (!limit.is_zero()).then_some(limit))
}

fn host_ports(value: &str) -> Result<Vec<String>, String> {
    let is_host_port = |part: &&str| {
        part.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0))
    };
    let parts: Vec<&str> = value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    match parts.iter().find(|part| !is_host_port(part)) {
        Some(part) => Err(format!("{part:?} has no host or no port")),
        None => Ok(parts.into_iter().map(str::to_owned).collect()),
    }
}

/// What `--help` says.
pub const HELP: &str = "\
queue-proxy stands beside a model server: it counts what is in flight, bounds it, knows when the model is ready,
reports, and lets the pod leave without a loss.

    UPSTREAM=127.0.0.1:8080 queue-proxy
    queue-proxy leave              tells the one that runs here to leave (for a preStop hook)
    queue-proxy --help | --version

Settings are environment variables. Only UPSTREAM is needed.

  UPSTREAM                 where the model listens, HOST:PORT
  UPSTREAM_GRPC            where it takes gRPC (h2c)                      [UPSTREAM]
  LISTEN                   for clients                                    [[::]:8012]
  PROXIED_LISTEN           for activators                                 [[::]:8013]
  PROXIED_TLS_CERT         TLS 1.3 there: certificate for sidecar.rouse   [plain TCP]
  PROXIED_TLS_KEY          its private key
  PROXIED_TLS_CA           of it, and of who is let in (activator.rouse)
                           PEM files, all or none; read again on a change
  ADMIN_LISTEN             /healthz /readyz /metrics /stats, and what is
                           done on loopback only: /drained /leave         [[::]:8022]
  ADMIN_TOKEN              done elsewhere too for who brings it there
                           (authorization: Bearer TOKEN), as in a hook    [nobody]
  CONTAINER_CONCURRENCY    requests at the model at once; 0: no limit     [0]
  QUEUE_DEPTH              requests that wait                             [10 x the limit; 1000 without one]
  MEMORY_BUDGET            read of bodies that wait, a size such as 64Mi  [half of the memory limit]
  REQUEST_TIMEOUT          from hand-over to the last byte; 0: none       [300s]
  RESPONSE_START_TIMEOUT   from hand-over to the answer's head; 0: none   [0]
  IDLE_TIMEOUT             without a byte either way; 0: none             [0]
  READINESS_PROBE          JSON of a Kubernetes probe                     [TCP connect to UPSTREAM]
  DRAIN                    when leaving, for requests with one answer     [30s]
  DRAIN_STREAMING          for answers of unknown length (SSE, chunks)    [300s]
  DRAIN_UPGRADED           for WebSockets; all three from SIGTERM on, and
                           within terminationGracePeriodSeconds           [60s]
  WORKERS                  threads                                        [processors, at most 2]
  AUTOSCALER               HOST:PORT to report to, with commas between;
                           of a name to every address that it has, which
                           is looked up every 5 s                         [none]
  AUTOSCALER_CA            TLS 1.3 there: whom to believe (autoscaler.rouse),
                           PEM as text; then PROXIED_LISTEN has TLS too,
                           with a certificate from there                  [plain TCP]
  AUTOSCALER_TOKEN         file of the ServiceAccount token that proves
                           which pod this is; needed with AUTOSCALER_CA
  NAMESPACE REVISION POD_NAME POD_UID   for whom it reports; the first three are needed with AUTOSCALER
  LOG                      error warn info debug trace                    [info]
  LOG_FORMAT               text or json                                   [text on a terminal, else json]

Exit codes: 0 done, 1 failed, 64 a setting is wrong, 69 a port is taken, 130 interrupted.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_is_all_that_is_needed() {
        let Launch { config, .. } = Launch::parse(&Vars::from([("UPSTREAM", "localhost:9000")])).unwrap();
        assert_eq!(config.upstream, SocketAddr::from(([127, 0, 0, 1], 9000)));
        assert_eq!(config.upstream_grpc, config.upstream);
        assert_eq!((config.listen.port(), config.proxied_listen.port()), (8012, 8013));
        assert_eq!(config.container_concurrency, ConcurrencyLimit::Unlimited);
        assert_eq!(config.timeouts.request, Some(Duration::from_secs(300)));
        assert_eq!(config.timeouts.idle, None);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let vars = Vars::from([
            ("LISTEN", "8012"),
            ("ADMIN_TOKEN", "guess me"),
            ("CONTAINER_CONCURRENCY", "-3"),
            ("MEMORY_BUDGET", "half"),
            ("REQUEST_TIMEOUT", "soon"),
            ("WORKERS", "0"),
            ("AUTOSCALER", "autoscaler:8081,oops"),
        ]);
        let problems = Launch::parse(&vars).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "UPSTREAM",
                "LISTEN",
                "ADMIN_TOKEN",
                "CONTAINER_CONCURRENCY",
                "MEMORY_BUDGET",
                "REQUEST_TIMEOUT",
                "WORKERS",
                "AUTOSCALER"
            ]
        );
    }

    #[test]
    fn who_reports_says_for_whom() {
        let vars = Vars::from([("UPSTREAM", "127.0.0.1:1"), ("AUTOSCALER", "a:1, b:2"), ("NAMESPACE", "shop")]);
        let problems = Launch::parse(&vars).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["POD_NAME", "REVISION"]);
    }

    #[test]
    fn help_names_every_variable_that_is_read() {
        let source = concat!(include_str!("config.rs"), include_str!("trust.rs"));
        let read = source.split("(vars, \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
        for name in read {
            assert!(HELP.contains(name), "{name}");
        }
    }
}
