//! Who is measured, and how each is set up: one worker thread, HTTP/1.1 and kept connections on both sides, bodies passed on
//! as they come, nothing logged for a request. The others add no header; ours does all it does in production.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

use crate::proxy::CONNECTIONS;
use crate::proxy::model::Behind;
use crate::proxy::process::Running;

/// A program that forwards requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Ours.
    QueueProxy,
    /// Another build of ours.
    Other,
    /// `loadtest bare-proxy`.
    Bare,
    Nginx,
    Haproxy,
    /// Knative's queue-proxy.
    Knative,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::QueueProxy, Self::Other, Self::Bare, Self::Nginx, Self::Haproxy, Self::Knative];

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QueueProxy => "queue-proxy",
            Self::Other => "another build of it",
            Self::Bare => "bare hyper proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Knative => "Knative's queue-proxy",
        }
    }
}

/// One that is here.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
}

/// More than the connections that there are, so that nobody waits; but counted and bounded as in production.
const CONTAINER_CONCURRENCY: &str = "100";

impl Peer {
    /// Starts it in front of the model. `folder` is its own, and empty.
    pub(crate) async fn start(&self, behind: &Behind, folder: &Path) -> anyhow::Result<Running> {
        let [listen, other, third] = free_ports()?;
        let model = behind.model;
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::QueueProxy | Kind::Other => {
                command.env_clear();
                command.env("UPSTREAM", model.to_string()).env("LISTEN", listen.to_string());
                command.env("PROXIED_LISTEN", "127.0.0.1:0").env("ADMIN_LISTEN", "127.0.0.1:0");
                command.env("CONTAINER_CONCURRENCY", CONTAINER_CONCURRENCY).env("WORKERS", "1");
                command.env("AUTOSCALER", behind.autoscaler.to_string());
                command.env("NAMESPACE", "default").env("REVISION", "iris-v1").env("POD_NAME", "iris-v1-0");
            }
            Kind::Bare => {
                command.args(["bare-proxy", "--listen"]).arg(listen.to_string());
                command.arg("--upstream").arg(model.to_string());
            }
            Kind::Nginx => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, nginx(listen, model, folder))?;
                command.arg("-p").arg(folder).arg("-c").arg(file).arg("-e").arg(folder.join("error.log"));
            }
            Kind::Haproxy => {
                let file = folder.join("haproxy.cfg");
                std::fs::write(&file, haproxy(listen, model))?;
                command.arg("-db").arg("-q").arg("-f").arg(file);
            }
            Kind::Knative => {
                command.env_clear().env("GOMAXPROCS", "1").envs(knative(listen, [other, third], model));
            }
        }
        let running = Running::start(command, listen, &folder.join("output")).await;
        running.with_context(|| format!("{} cannot be measured", self.kind.name()))
    }

    /// Bytes of its binary.
    pub(crate) fn binary_bytes(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.program).with_context(|| self.program.display().to_string())?.len())
    }
}

/// Where a program lies: in the folders of `path`, and in those where servers are installed.
pub(crate) fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path.into_iter().flat_map(std::env::split_paths);
    let servers = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    folders.chain(servers).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Free until now. All are held at once, so that they differ.
fn free_ports() -> anyhow::Result<[SocketAddr; 3]> {
    let taken = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
    for (port, listener) in ports.iter_mut().zip(&taken) {
        *port = listener.as_ref().map_err(|error| anyhow::anyhow!("no free port: {error}"))?.local_addr()?;
    }
    Ok(ports)
}

fn nginx(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream model {{
        server {upstream};
        keepalive {CONNECTIONS};
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"
    )
}

fn haproxy(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 1024
defaults
    mode http
    timeout connect 2s
    timeout client 600s
    timeout server 300s
    http-reuse always
frontend clients
    bind {listen}
    default_backend model
backend model
    server model {upstream}
"
    )
}

/// What Knative's sidecar must be told. It serves plain HTTP on the first port, TLS on the second (unused here), and its own
/// probes and statistics elsewhere.
fn knative(listen: SocketAddr, others: [SocketAddr; 2], upstream: SocketAddr) -> Vec<(&'static str, String)> {
    let port = upstream.port();
    let probe = format!(r#"{{"tcpSocket":{{"host":"127.0.0.1","port":{port}}},"successThreshold":1}}"#);
    let text = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let mut all = vec![
        ("QUEUE_SERVING_PORT", listen.port().to_string()),
        ("QUEUE_SERVING_TLS_PORT", others[0].port().to_string()),
        ("USER_PORT", port.to_string()),
        ("SERVING_READINESS_PROBE", probe),
    ];
    all.extend(
        [
            ("CONTAINER_CONCURRENCY", CONTAINER_CONCURRENCY),
            ("REVISION_TIMEOUT_SECONDS", "300"),
            ("SERVING_LOGGING_CONFIG", ""),
            ("SERVING_LOGGING_LEVEL", "error"),
            ("SERVING_NAMESPACE", "default"),
            ("SERVING_CONFIGURATION", "iris"),
            ("SERVING_REVISION", "iris-v1"),
            ("SERVING_POD", "iris-v1-0"),
            ("SERVING_POD_IP", "127.0.0.1"),
        ]
        .map(text),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4001);
    const MODEL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4002);

    #[test]
    fn others_are_set_up_as_fast_as_they_go_and_write_only_where_they_may() {
        let nginx = nginx(LISTEN, MODEL, Path::new("/made-up"));
        for line in ["worker_processes 1;", "access_log off;", "listen 127.0.0.1:4001;", "server 127.0.0.1:4002;"] {
            assert!(nginx.contains(line), "{line} is not in\n{nginx}");
        }
        assert!(nginx.contains("keepalive 64;") && nginx.contains("proxy_set_header Connection \"\";"), "{nginx}");
        let paths = nginx.lines().filter(|line| line.contains("_path") || line.contains("pid "));
        assert!(paths.clone().count() == 6 && paths.clone().all(|line| line.contains(" /made-up/")), "{nginx}");
        let haproxy = haproxy(LISTEN, MODEL);
        for line in ["nbthread 1", "bind 127.0.0.1:4001", "server model 127.0.0.1:4002", "http-reuse always"] {
            assert!(haproxy.contains(line), "{line} is not in\n{haproxy}");
        }
    }

    #[test]
    fn knatives_sidecar_is_told_where_the_model_is() {
        let vars = knative(LISTEN, [LISTEN; 2], MODEL);
        let get = |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!((get("QUEUE_SERVING_PORT"), get("USER_PORT")), (Some("4001"), Some("4002")));
        assert!(get("SERVING_READINESS_PROBE").is_some_and(|probe| probe.contains("\"port\":4002")));
    }

    #[test]
    fn a_program_is_looked_for_in_the_path_first() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nginx");
        std::fs::write(&program, "").unwrap();
        assert_eq!(find("nginx", Some(folder.path().as_os_str())), Some(program));
        assert_eq!(find("no-such-proxy", Some(folder.path().as_os_str())), None);
    }
}
