//! The real program with certificates in files: who is believed on which port, and new certificates.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs::{Authority, Files};
use forward::tls::{ClientTls, Parties, Pem};
use forward::{Exchange, LooseEnds, Pool, PoolOptions, Protocol, RequestBody, SendError, Timeouts, Trust};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{PATIENCE, client, get, hello_model, model, request, whole, within};

/// `queue-proxy` as a process, with what it says.
struct Program {
    process: Child,
    said: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(model: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_queue-proxy"));
    command.env("UPSTREAM", model.to_string()).env("LOG_FORMAT", "json").env("LOG", "info");
    for port in ["LISTEN", "PROXIED_LISTEN", "ADMIN_LISTEN"] {
        command.env(port, "127.0.0.1:0");
    }
    command
}

fn with_tls(mut command: Command, files: &Files) -> Command {
    command.env("PROXIED_TLS_CERT", &files.certificate);
    command.env("PROXIED_TLS_KEY", &files.key).env("PROXIED_TLS_CA", &files.authority);
    command
}

/// Where the program listens.
struct Ports {
    direct: SocketAddr,
    proxied: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    async fn start(mut command: Command) -> (Self, Ports) {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, heard) = (BufReader::new(process.stderr.take().unwrap()), said.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
                heard.lock().unwrap().push(line);
            }
        });
        let program = Self { process, said };
        let serving = program.says("serving").await;
        // The admin port stands in what `Option` says of itself.
        let port = |name: &str| {
            let said = serving[name].as_str().unwrap();
            said.trim_start_matches("Some(").trim_end_matches(')').parse().unwrap()
        };
        let ports = Ports { direct: port("direct"), proxied: port("proxied"), admin: port("admin") };
        let ready = async {
            while get(ports.admin, "/readyz").await.0 != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(ready).await;
        (program, ports)
    }

    /// Returns once it has said something that has `words` in it.
    async fn says(&self, words: &str) -> serde_json::Value {
        let heard = || self.said.lock().unwrap().iter().find(|line| line.to_string().contains(words)).cloned();
        let look = async {
            loop {
                if let Some(line) = heard() {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(line) => line,
            Err(_) => panic!("never said {words:?}: {:?}", self.said.lock().unwrap()),
        }
    }
}

pub(super) fn activator_of(authority: &Authority, believed: &str) -> ClientTls {
    let leaf = authority.activator();
    let pem = Pem {
        certificate: leaf.certificate.into_bytes(),
        key: leaf.key.into_bytes(),
        authority: believed.as_bytes().to_vec(),
    };
    ClientTls::new(Parties::OF_ACTIVATOR, &pem).unwrap()
}

pub(super) fn pool(target: SocketAddr, protocol: Protocol, tls: &ClientTls) -> Pool {
    Pool::new(target, PoolOptions::nearby(protocol).within(tls.clone()))
}

pub(super) async fn ask(pool: &Pool, headers: &[(&'static str, &str)]) -> Result<Response<String>, SendError> {
    let mut request = Request::new(RequestBody::whole("x"));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("host", "model.example".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = within(Exchange::own(request).send(pool, Timeouts::default(), Trust::SIDECAR)).await?;
    let (head, body) = answer.into_response((), &LooseEnds::new()).into_parts();
    let text = within(body.collect()).await.unwrap().to_bytes();
    Ok(Response::from_parts(head, String::from_utf8(text.to_vec()).unwrap()))
}

async fn stats(ports: &Ports) -> serde_json::Value {
    serde_json::from_str(&get(ports.admin, "/stats").await.1).unwrap()
}

/// A model that notes what it gets, and lies in what it answers.
async fn lying_model() -> (Arc<Mutex<HeaderMap>>, SocketAddr) {
    let noted = Arc::new(Mutex::new(HeaderMap::new()));
    let notes = noted.clone();
    let address = model(move |request| {
        *notes.lock().unwrap() = request.headers().clone();
        async {
            let answer = Response::builder().status(503).header("rouse-not-started", "leaving");
            answer.header("rouse-reason", "queue-full").body(whole("begun")).unwrap()
        }
    });
    (noted, address.await)
}

#[tokio::test]
async fn what_comes_with_a_certificate_is_proxied_and_no_header_makes_a_client_an_activator() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.sidecar().write(&authority.pem(), folder.path());
    let (noted, model) = lying_model().await;
    let (_program, ports) = Program::start(with_tls(command(model), &files)).await;
    let tls = activator_of(&authority, &authority.pem());
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let pool = pool(ports.proxied, protocol, &tls);
        // The model was asked, and has begun, whatever it says: the answer is an answer.
        let answer = ask(&pool, &[]).await.unwrap();
        assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "begun"));
        for lie in ["rouse-not-started", "rouse-reason"] {
            assert!(!answer.headers().contains_key(lie), "{answer:?}");
        }
        let ready = ask(&pool, &[("rouse-probe", "wait")]).await.unwrap();
        assert_eq!((ready.status(), ready.body().as_str()), (StatusCode::OK, "ready\n"));
    }
    let before = stats(&ports).await;
    assert_eq!((&before["requests"], &before["proxiedRequests"]), (&2.into(), &2.into()), "{before}");

    let pretences = [
        ("rouse-probe", "wait"),
        ("rouse-not-started", "leaving"),
        ("rouse-shadow", "true"),
        ("rouse-proxied", "true"),
        ("k-network-probe", "queue"),
        ("k-proxy-request", "activator"),
        ("user-agent", "kube-probe/1.33"),
        ("user-agent", "Knative-Activator-Probe"),
        ("user-agent", "rouse-activator"),
        ("x-forwarded-client-cert", "DNS=activator.rouse"),
    ];
    for (name, value) in pretences {
        let asked = request(ports.direct, "/").header(name, value).body(whole("")).unwrap();
        let answer = within(client().request(asked)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "the model's: {name}");
        assert!(!answer.headers().contains_key("rouse-not-started"), "{name}");
        let steers = name.starts_with("rouse-") || name.starts_with("k-");
        assert_eq!(noted.lock().unwrap().contains_key(name), !steers, "{name} at the model");
    }
    let after = stats(&ports).await;
    assert_eq!((&after["requests"], &after["proxiedRequests"]), (&12.into(), &2.into()), "{after}");
}

#[tokio::test]
async fn who_has_no_certificate_gets_nothing_and_is_counted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let files = authority.sidecar().write(&authority.pem(), folder.path());
    let (_program, ports) = Program::start(with_tls(command(hello_model().await), &files)).await;

    let mut plain = TcpStream::connect(ports.proxied).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nrouse-probe: now\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    within(plain.read_to_end(&mut said)).await.unwrap();
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");

    let stranger = activator_of(&other, &(authority.pem() + &other.pem()));
    let error = ask(&pool(ports.proxied, Protocol::Http1, &stranger), &[]).await.unwrap_err();
    assert!(!error.possibly_started(), "{error:?}");

    let counted = |reason: &str| format!("rouse_tls_refusals_total{{reason=\"{reason}\"}} 1\n");
    let wanted = [counted("not-tls"), counted("other-authority")];
    within(async {
        loop {
            let (_, metrics) = get(ports.admin, "/metrics").await;
            if wanted.iter().all(|line| metrics.contains(line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(stats(&ports).await["requests"], 0);
    // The model's own clients notice nothing.
    assert_eq!(get(ports.direct, "/").await, (StatusCode::OK, "hello".to_owned()));
}

#[tokio::test]
async fn new_files_are_taken_under_load_and_bad_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let both = old.pem() + &new.pem();
    let folder = tempfile::tempdir().unwrap();
    let files = old.sidecar().write(&old.pem(), folder.path());
    let (program, ports) = Program::start(with_tls(command(hello_model().await), &files)).await;

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let tls = activator_of(&old, &both);
    let (stop, count, proxied) = (over.clone(), answered.clone(), ports.proxied);
    let load = tokio::spawn(async move {
        // One connection that goes on through everything, and one more with each request.
        let kept = pool(proxied, Protocol::H2c, &tls);
        while !stop.load(Ordering::Relaxed) {
            for pool in [&kept, &pool(proxied, Protocol::Http1, &tls)] {
                assert_eq!(ask(pool, &[]).await.unwrap().body(), "hello");
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    // Half of a change, or a mistake: the old ones stay.
    std::fs::write(&files.key, &old.sidecar().key).unwrap();
    program.says("the new certificates are refused").await;
    new.sidecar().write(&both, folder.path());
    program.says("took new certificates").await;
    let newcomer = pool(ports.proxied, Protocol::Http1, &activator_of(&new, &new.pem()));
    within(async {
        while ask(&newcomer, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let enough = answered.load(Ordering::Relaxed) + 20;
    within(async {
        while answered.load(Ordering::Relaxed) < enough && !load.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    over.store(true, Ordering::Relaxed);
    within(load).await.unwrap();
}

#[tokio::test]
async fn a_port_for_activators_that_anyone_may_reach_is_warned_of() {
    let mut open = command(hello_model().await);
    open.env("PROXIED_LISTEN", "0.0.0.0:0");
    let (program, _ports) = Program::start(open).await;
    assert_eq!(program.says("whoever reaches it is believed").await["level"], "WARN");
}

#[tokio::test]
async fn a_set_that_cannot_be_used_is_told_and_nothing_starts_but_leaving_goes_on() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.activator().write(&authority.pem(), folder.path());
    let mut faulty = with_tls(command(([127, 0, 0, 1], 1).into()), &files);
    let output = faulty.env("WORKERS", "0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(
        said.contains("PROXIED_TLS_CERT = ") && said.contains("sidecar.rouse") && said.contains("WORKERS"),
        "{said}"
    );

    // It finds nobody to tell, which is a fault of another kind.
    let told = with_tls(command(([127, 0, 0, 1], 1).into()), &files).arg("leave").output().unwrap();
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stderr));
}
