//! The parts of an `apps/v1` Deployment that make a process of it: its first container's command and its probes.
//! Everything that only a cluster can use (the image, volumes, node selectors …) is accepted and left aside, so that
//! the same file works with `kubectl apply -f`. How it is read from YAML is in `deployment/read.rs`.

mod expand;
mod read;

pub use expand::{Invocation, expand};

use std::collections::BTreeMap;
use std::time::Duration;

use units::RevisionKey;

use crate::endpoint::{EndpointPort, Protocol};

/// One revision's workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its name.
    pub key: RevisionKey,
    /// Annotations of the Deployment.
    pub annotations: BTreeMap<String, String>,
    /// Annotations of its pod template.
    pub template_annotations: BTreeMap<String, String>,
    /// The first container of its pod template.
    pub container: Container,
    /// How long a start may take before it counts as failed.
    pub progress_deadline: Duration,
    /// How long a replica may take to leave.
    pub termination_grace: Duration,
}

impl Deployment {
    /// A workload with every default that runs `command`.
    pub fn new(key: RevisionKey, command: Vec<String>) -> Self {
        Self {
            key,
            annotations: BTreeMap::new(),
            template_annotations: BTreeMap::new(),
            container: Container {
                name: "model".to_owned(),
                image: None,
                command,
                args: Vec::new(),
                env: Vec::new(),
                working_dir: None,
                ports: Vec::new(),
                readiness: None,
                liveness: None,
                startup: None,
            },
            progress_deadline: Self::PROGRESS_DEADLINE,
            termination_grace: Self::TERMINATION_GRACE,
        }
    }

    /// Kubernetes' default.
    pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(600);
    /// Kubernetes' default.
    pub const TERMINATION_GRACE: Duration = Duration::from_secs(30);
}

/// What runs, and how to tell that it is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Not run here; kept so that it can be printed again.
    pub image: Option<String>,
    /// The program and its first arguments, `$(NAME)` not yet expanded. Never empty.
    pub command: Vec<String>,
    /// Further arguments, likewise.
    pub args: Vec<String>,
    /// Environment, in order: a value may refer to an earlier one as `$(NAME)`.
    pub env: Vec<EnvVar>,
    /// Where it runs, if not in the folder of the file it stands in; a relative one begins there.
    pub working_dir: Option<String>,
    /// The ports it says it listens on.
    pub ports: Vec<ContainerPort>,
    /// May requests be sent to it?
    pub readiness: Option<Probe>,
    /// Is it still alive?
    pub liveness: Option<Probe>,
    /// Has it started? The other probes wait for this one.
    pub startup: Option<Probe>,
}

impl Container {
    /// The port at which requests reach it, by its own number: the endpoint's `containerPort`, else the port named
    /// `http1`, `h2c` or `http`, else the first, else 8080. Locally each replica has a `PORT` of its own in its place.
    pub fn own_port(&self, endpoint: Option<&EndpointPort>) -> u16 {
        endpoint
            .and_then(|port| port.container_port)
            .or_else(|| self.http_port().or_else(|| self.ports.first()).map(|port| port.port))
            .unwrap_or(8080)
    }

    /// How it is spoken to where the endpoint does not say.
    pub fn protocol(&self) -> Protocol {
        match self.http_port().and_then(|port| port.name.as_deref()) {
            Some("h2c") => Protocol::H2c,
            Some(_) | None => Protocol::Http1,
        }
    }

    fn http_port(&self) -> Option<&ContainerPort> {
        self.ports.iter().find(|port| matches!(port.name.as_deref(), Some("http1" | "h2c" | "http")))
    }

    /// The number that a probe's port stands for; `None` for a name that no port has.
    pub fn port_number(&self, port: &PortRef) -> Option<u16> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                self.ports.iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.port)
            }
        }
    }
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, `$(NAME)` not yet expanded.
    pub value: String,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name; `http1`, `h2c` and `http` say that requests go there.
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
}

/// How to tell that a replica is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is tried.
    pub check: Check,
    /// How long after the start the first try is made.
    pub initial_delay: Duration,
    /// Time between tries.
    pub period: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// Successes in a row that make it well.
    pub success_threshold: u32,
    /// Failures in a row that make it unwell.
    pub failure_threshold: u32,
}

impl Probe {
    /// A probe with Kubernetes' defaults.
    pub fn new(check: Check) -> Self {
        Self {
            check,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
        }
    }
}

/// What a probe tries. Ports are the container's own, so locally every one of them is the replica's `PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Well if the answer's status is 200 to 399.
    HttpGet {
        /// Path and query, beginning with `/`.
        path: String,
        /// Where.
        port: PortRef,
        /// Further headers, by name and value.
        headers: Vec<(String, String)>,
    },
    /// Well if it accepts a connection.
    TcpSocket {
        /// Where.
        port: PortRef,
    },
    /// Well if `grpc.health.v1.Health/Check` says SERVING.
    Grpc {
        /// Where.
        port: u16,
        /// The service asked about; empty: the server as a whole.
        service: String,
    },
    /// Well if this command ends with 0.
    Exec {
        /// The program and its arguments. Never empty. Kubernetes expands nothing here.
        command: Vec<String>,
    },
}

/// A port, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By the name that one of the container's ports has.
    Name(String),
}
