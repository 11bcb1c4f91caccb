//! Deployments from YAML. Fields that exist in Kubernetes and mean nothing on one machine are passed over; fields that
//! exist nowhere are refused, as `kubectl apply` does.

use std::time::Duration;

use units::RevisionKey;

use super::{Check, Container, ContainerPort, Deployment, EnvVar, PortRef, Probe};
use crate::meta::{read_meta, read_template_annotations};
use crate::read::{Fields, NameRule, Spot};

const DEPLOYMENT_SPEC: [&str; 6] =
    ["replicas", "selector", "strategy", "minReadySeconds", "revisionHistoryLimit", "paused"];

const POD_SPEC: [&str; 40] = [
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
    "workloadRef",
];

const CONTAINER: [&str; 14] = [
    "imagePullPolicy",
    "lifecycle",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
];

/// A day, as the longest that a start or a farewell may take.
const MAX_SECONDS: u64 = 24 * 3600;

impl Deployment {
    /// Reads one document. What is at fault has been noted and stands here as its default, so that what depends on
    /// the rest can still be checked; `None` if not even its name is known.
    pub(crate) fn read(root: Spot<'_>) -> Option<Self> {
        let mut document = root.fields()?;
        document.ignore(&["apiVersion", "kind", "status"]);
        let meta = read_meta(&mut document, NameRule::Subdomain);
        let spec = document.need("spec", "at least a template").and_then(Spot::fields);
        document.done();
        let meta = meta?;
        let mut workload = Self::new(RevisionKey::new(meta.namespace, meta.name), Vec::new());
        workload.annotations = meta.annotations;
        if let Some(mut spec) = spec {
            if let Some(spot) = spec.get("progressDeadlineSeconds") {
                let seconds = spot.whole(1..=MAX_SECONDS);
                workload.progress_deadline = seconds.map_or(Self::PROGRESS_DEADLINE, Duration::from_secs);
            }
            if let Some(template) = spec.need("template", "a pod template").and_then(Spot::fields) {
                workload.read_template(template);
            }
            spec.ignore(&DEPLOYMENT_SPEC);
            spec.done();
        }
        Some(workload)
    }

    fn read_template(&mut self, mut template: Fields<'_>) {
        if let Some(spot) = template.get("metadata") {
            self.template_annotations = read_template_annotations(spot);
        }
        if let Some(mut pod) = template.need("spec", "at least a list of containers").and_then(Spot::fields) {
            if let Some(spot) = pod.get("terminationGracePeriodSeconds") {
                let seconds = spot.whole(0..=MAX_SECONDS);
                self.termination_grace = seconds.map_or(Self::TERMINATION_GRACE, Duration::from_secs);
            }
            let container = pod.need("containers", "a list; the first one is run").and_then(|spot| first_of(&spot));
            if let Some(container) = container.and_then(Container::read) {
                self.container = container;
            }
            pod.ignore(&POD_SPEC);
            pod.done();
        }
        template.done();
    }
}

/// Only the first container is run; the others are a cluster's business.
fn first_of<'a>(spot: &Spot<'a>) -> Option<Spot<'a>> {
    let first = spot.items()?.into_iter().next();
    if first.is_none() {
        spot.refuse("at least one container; the first one is run");
    }
    first
}

impl Container {
    fn read(spot: Spot<'_>) -> Option<Self> {
        let mut fields = spot.fields()?;
        let name = fields.get("name").map_or(Some("model".to_owned()), |spot| spot.name(NameRule::Label));
        let image = fields.get("image").map_or(Some(None), |spot| spot.text().map(Some));
        let args = fields.get("args").map_or(Some(Vec::new()), |spot| spot.words());
        let command = match fields.get("command") {
            Some(spot) => read_command(&spot),
            None => {
                let why = "the program and its arguments; the image is not run here, so its own command is not known";
                fields.refuse_field("command", "missing", why);
                None
            }
        };
        let env = fields.get("env").map_or(Some(Vec::new()), |spot| read_env(&spot));
        if let Some(spot) = fields.get("envFrom") {
            spot.refuse("NotYetSupported: ConfigMaps and Secrets are not read on one machine; give `env` with values");
        }
        let working_dir = fields.get("workingDir").map_or(Some(None), |spot| spot.text().map(Some));
        let ports = fields.get("ports").map_or(Some(Vec::new()), |spot| read_ports(&spot));
        let readiness = fields.get("readinessProbe").map_or(Some(None), |spot| Probe::read(spot, true).map(Some));
        let liveness = fields.get("livenessProbe").map_or(Some(None), |spot| Probe::read(spot, false).map(Some));
        let startup = fields.get("startupProbe").map_or(Some(None), |spot| Probe::read(spot, false).map(Some));
        fields.ignore(&CONTAINER);
        fields.done();
        Some(Self {
            name: name.unwrap_or_default(),
            image: image.flatten(),
            command: command.unwrap_or_default(),
            args: args.unwrap_or_default(),
            env: env.unwrap_or_default(),
            working_dir: working_dir.flatten(),
            ports: ports.unwrap_or_default(),
            readiness: readiness.flatten(),
            liveness: liveness.flatten(),
            startup: startup.flatten(),
        })
    }
}

fn read_command(spot: &Spot<'_>) -> Option<Vec<String>> {
    let words = spot.words()?;
    if words.first().is_none_or(String::is_empty) {
        spot.refuse("the program and its arguments, at least the program");
        return None;
    }
    if let Some(item) = spot.items()?.iter().find(|item| item.plain().is_some_and(|word| word.contains('\0'))) {
        item.refuse("text without NUL");
        return None;
    }
    Some(words)
}

fn read_env(spot: &Spot<'_>) -> Option<Vec<EnvVar>> {
    let variables = spot.items()?.into_iter().map(|item| {
        let mut fields = item.fields()?;
        let name = fields.need("name", "the variable's name").and_then(|spot| {
            let name = spot.text()?;
            let fits = !name.is_empty() && !name.contains(['=', '\0']);
            if !fits {
                spot.refuse("a name without `=`");
            }
            fits.then_some(name)
        });
        let value = fields.get("value").map_or(Some(String::new()), |spot| spot.text());
        if let Some(spot) = fields.get("valueFrom") {
            spot.refuse(
                "NotYetSupported: Secrets, ConfigMaps and pod fields are not read on one machine; give `value`",
            );
        }
        fields.done();
        Some(EnvVar { name: name?, value: value? })
    });
    Some(variables.flatten().collect())
}

fn read_ports(spot: &Spot<'_>) -> Option<Vec<ContainerPort>> {
    let ports = spot.items()?.into_iter().map(|item| {
        let mut fields = item.fields()?;
        let name = fields.get("name").map_or(Some(None), |spot| spot.name(NameRule::Label).map(Some));
        let port = fields.need("containerPort", "1 to 65535").and_then(|spot| spot.small(1..=65_535));
        fields.ignore(&["hostIP", "hostPort", "protocol"]);
        fields.done();
        Some(ContainerPort { name: name?, port: port? })
    });
    Some(ports.flatten().collect())
}

impl Probe {
    /// Only readiness may ask for several successes in a row, as in Kubernetes.
    fn read(spot: Spot<'_>, several_successes: bool) -> Option<Self> {
        let whole = spot.clone();
        let mut fields = spot.fields()?;
        let kinds = ["httpGet", "tcpSocket", "grpc", "exec"];
        let given: Vec<_> = kinds.into_iter().filter_map(|kind| Some((kind, fields.get(kind)?))).collect();
        if given.len() != 1 {
            whole.refuse(format!("exactly one of {}", kinds.join(", ")));
        }
        let check = if given.len() == 1 { given.into_iter().next() } else { None };
        let check = check.and_then(|(kind, spot)| match kind {
            "httpGet" => read_http_get(spot),
            "tcpSocket" => read_tcp_socket(spot),
            "grpc" => read_grpc(spot),
            _ => read_exec(spot),
        });
        let mut seconds = |name, default, least| match fields.get(name) {
            Some(spot) => spot.whole(least..=MAX_SECONDS).map(Duration::from_secs),
            None => Some(Duration::from_secs(default)),
        };
        let initial_delay = seconds("initialDelaySeconds", 0, 0);
        let period = seconds("periodSeconds", 10, 1);
        let timeout = seconds("timeoutSeconds", 1, 1);
        let most = if several_successes { 1000 } else { 1 };
        let success_threshold = fields.get("successThreshold").map_or(Some(1), |spot| spot.small(1..=most));
        let failure_threshold = fields.get("failureThreshold").map_or(Some(3), |spot| spot.small(1..=100_000));
        fields.ignore(&["terminationGracePeriodSeconds"]);
        fields.done();
        Some(Self {
            check: check?,
            initial_delay: initial_delay.unwrap_or_default(),
            period: period.unwrap_or_default(),
            timeout: timeout.unwrap_or_default(),
            success_threshold: success_threshold.unwrap_or_default(),
            failure_threshold: failure_threshold.unwrap_or_default(),
        })
    }
}

fn read_http_get(spot: Spot<'_>) -> Option<Check> {
    let mut fields = spot.fields()?;
    let path = fields.get("path").map_or(Some("/".to_owned()), |spot| {
        let path = spot.text()?;
        let fits = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            spot.refuse("a path such as /healthz, beginning with `/`, without spaces");
        }
        fits.then_some(path)
    });
    let port = fields.need("port", PORT).and_then(|spot| read_port(&spot));
    let headers = fields.get("httpHeaders").map_or(Some(Vec::new()), |spot| read_headers(&spot));
    if let Some(spot) = fields.get("host") {
        spot.refuse("NotYetSupported: a probe goes to the replica itself; leave it out");
    }
    if let Some(spot) = fields.get("scheme") {
        if spot.plain() == Some("HTTPS") {
            spot.not_yet("probes over TLS are not served");
        } else {
            spot.one_of(&[("HTTP", ())]);
        }
    }
    fields.done();
    Some(Check::HttpGet { path: path?, port: port?, headers: headers? })
}

const PORT: &str = "the container's port, by number or by name";

fn read_headers(spot: &Spot<'_>) -> Option<Vec<(String, String)>> {
    let headers = spot.items()?.into_iter().map(|item| {
        let mut fields = item.fields()?;
        let name = fields.need("name", "the header's name").and_then(|spot| {
            let name = spot.text()?;
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            let fits = !name.is_empty() && name.bytes().all(token);
            if !fits {
                spot.refuse("the name of a header: letters, digits and `-`");
            }
            fits.then_some(name)
        });
        let value = fields.need("value", "the header's value").and_then(|spot| {
            let value = spot.text()?;
            let fits = !value.contains(char::is_control);
            if !fits {
                spot.refuse("a line of text");
            }
            fits.then_some(value)
        });
        fields.done();
        Some((name?, value?))
    });
    Some(headers.flatten().collect())
}

fn read_tcp_socket(spot: Spot<'_>) -> Option<Check> {
    let mut fields = spot.fields()?;
    let port = fields.need("port", PORT).and_then(|spot| read_port(&spot));
    if let Some(spot) = fields.get("host") {
        spot.refuse("NotYetSupported: a probe goes to the replica itself; leave it out");
    }
    fields.done();
    Some(Check::TcpSocket { port: port? })
}

fn read_grpc(spot: Spot<'_>) -> Option<Check> {
    let mut fields = spot.fields()?;
    let port = fields.need("port", "the container's port, by number").and_then(|spot| spot.small(1..=65_535));
    let service = fields.get("service").map_or(Some(String::new()), |spot| spot.text());
    fields.done();
    Some(Check::Grpc { port: port?, service: service? })
}

fn read_exec(spot: Spot<'_>) -> Option<Check> {
    let mut fields = spot.fields()?;
    let command = fields.need("command", "the program and its arguments").and_then(|spot| read_command(&spot));
    fields.done();
    Some(Check::Exec { command: command? })
}

/// A number, or a name; which of the two is as in Kubernetes a question of quotes.
fn read_port(spot: &Spot<'_>) -> Option<PortRef> {
    let word = spot.plain().unwrap_or_default();
    if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        return spot.small(1..=65_535).map(PortRef::Number);
    }
    spot.name(NameRule::Label).map(PortRef::Name)
}
