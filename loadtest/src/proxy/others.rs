//! How the others are set up: as fast as they go, with one worker, nothing logged and nothing written but where they may.

use std::net::SocketAddr;
use std::path::Path;

use crate::proxy::peers::{MOST_CONNECTIONS, Wire};
use crate::proxy::trust::Trust;

pub(crate) fn nginx(listen: SocketAddr, wire: Wire, trust: &Trust, upstream: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let [certificate, key, authority] = [&trust.certificate, &trust.key, &trust.authority].map(|path| path.display());
    let wire = match wire {
        Wire::Http1 => ";".to_owned(),
        Wire::Http2 => " http2;".to_owned(),
        Wire::Tls => format!(
            " ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_client_certificate {authority};
        ssl_verify_client on;
        ssl_protocols TLSv1.3;"
        ),
    };
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections {sockets}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream model {{
        server {upstream};
        keepalive {MOST_CONNECTIONS};
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen}{wire}
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
",
        sockets = 2 * MOST_CONNECTIONS + 64,
    )
}

/// `at_once`: the most requests that the model gets; the others wait.
pub(crate) fn haproxy(listen: SocketAddr, wire: Wire, trust: &Trust, upstream: SocketAddr, at_once: u32) -> String {
    let wire = match wire {
        Wire::Http1 => String::new(),
        Wire::Http2 => " proto h2".to_owned(),
        Wire::Tls => format!(
            " ssl crt {} ca-file {} verify required ssl-min-ver TLSv1.3",
            trust.both.display(),
            trust.authority.display()
        ),
    };
    format!(
        "global
    nbthread 1
    maxconn {MOST_CONNECTIONS}
defaults
    mode http
    timeout connect 2s
    timeout queue 60s
    timeout client 600s
    timeout server 300s
    http-reuse always
frontend clients
    bind {listen}{wire}
    default_backend model
backend model
    server model {upstream} maxconn {at_once}
"
    )
}

/// What Knative's sidecar must be told. It serves plain HTTP on the first port, TLS on the second (unused here), and its own
/// probes and statistics elsewhere.
pub(crate) fn knative(
    listen: SocketAddr,
    tls: SocketAddr,
    upstream: SocketAddr,
    container_concurrency: u32,
) -> Vec<(&'static str, String)> {
    let port = upstream.port();
    let probe = format!(r#"{{"tcpSocket":{{"host":"127.0.0.1","port":{port}}},"successThreshold":1}}"#);
    let text = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let mut all = vec![
        ("QUEUE_SERVING_PORT", listen.port().to_string()),
        ("QUEUE_SERVING_TLS_PORT", tls.port().to_string()),
        ("USER_PORT", port.to_string()),
        ("SERVING_READINESS_PROBE", probe),
        ("CONTAINER_CONCURRENCY", container_concurrency.to_string()),
    ];
    all.extend(
        [
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

    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4001);
    const MODEL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4002);

    #[test]
    fn others_are_set_up_as_fast_as_they_go_and_write_only_where_they_may() {
        let folder = tempfile::tempdir().unwrap();
        let trust = &Trust::new(folder.path()).unwrap();
        let nginx = nginx(LISTEN, Wire::Http2, trust, MODEL, Path::new("/made-up"));
        for line in ["worker_processes 1;", "access_log off;", "listen 127.0.0.1:4001 http2;", "server 127.0.0.1:4002;"]
        {
            assert!(nginx.contains(line), "{line} is not in\n{nginx}");
        }
        assert!(nginx.contains("keepalive 1100;") && nginx.contains("proxy_set_header Connection \"\";"), "{nginx}");
        let paths = nginx.lines().filter(|line| line.contains("_path") || line.contains("pid "));
        assert!(paths.clone().count() == 6 && paths.clone().all(|line| line.contains(" /made-up/")), "{nginx}");
        let haproxy = haproxy(LISTEN, Wire::Tls, trust, MODEL, 8);
        for line in
            ["nbthread 1", "bind 127.0.0.1:4001 ssl", "server model 127.0.0.1:4002 maxconn 8", "http-reuse always"]
        {
            assert!(haproxy.contains(line), "{line} is not in\n{haproxy}");
        }
    }

    #[test]
    fn knatives_sidecar_is_told_where_the_model_is() {
        let vars = knative(LISTEN, LISTEN, MODEL, 7);
        let get = |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!((get("QUEUE_SERVING_PORT"), get("USER_PORT")), (Some("4001"), Some("4002")));
        assert_eq!(get("CONTAINER_CONCURRENCY"), Some("7"));
        assert!(get("SERVING_READINESS_PROBE").is_some_and(|probe| probe.contains("\"port\":4002")));
    }
}
