//! The stand-in model server as a process, seen from its socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `rouse predictor`; killed when dropped.
struct Predictor {
    process: Child,
    address: SocketAddr,
}

impl Predictor {
    fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_rouse"))
            .args(["predictor", "--port", "0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        Self { process, address }
    }

    /// Sends the text as it stands.
    fn send(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    /// One request on a connection of its own; everything that came back until the end of the connection.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let mut socket = self.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: model\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ));
        let mut answer = Vec::new();
        // A server that dies may reset; what came before counts.
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Predictor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn v1_and_v2_answer_with_sums() {
    let model = Predictor::start(&[]);
    let v1 = model.ask("POST", "/v1/models/iris:predict", "", r#"{"instances":[[1,2,3],[4]]}"#);
    assert!(v1.ends_with(r#"{"predictions":[6.0,4.0]}"#), "{v1}");
    let v2 = model.ask("POST", "/v2/models/iris/infer", "", r#"{"inputs":[{"shape":[1,2],"data":[4.0,0.5]}]}"#);
    assert!(v2.contains(r#""data":[4.5]"#), "{v2}");
    assert!(model.ask("GET", "/v2/health/ready", "", "").starts_with("HTTP/1.1 200"));
    assert!(model.ask("GET", "/nowhere", "", "").starts_with("HTTP/1.1 404"));
}

#[test]
fn echo_gives_back_the_body_before_it_has_ended() {
    let model = Predictor::start(&[]);
    let mut socket =
        model.send("POST /echo HTTP/1.1\r\nhost: model\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"hello") {
        let mut some = [0; 256];
        let read = socket.read(&mut some).unwrap();
        assert_ne!(read, 0, "the answer ended early");
        seen.extend_from_slice(&some[..read]);
    }
}

#[test]
fn events_come_as_many_as_asked() {
    let model = Predictor::start(&[]);
    let answer = model.ask("GET", "/events?n=3&every=5ms", "", "");
    assert_eq!(answer.matches("data: ").count(), 3, "{answer}");
}

#[test]
fn a_web_socket_echoes() {
    let model = Predictor::start(&[]);
    let mut socket = model.send(
        "GET /ws HTTP/1.1\r\nhost: model\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    // The answer to the key of RFC 6455, section 1.3.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // "hi" as a text frame, masked with zeros; it comes back unmasked.
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut frame = [0; 4];
    socket.read_exact(&mut frame).unwrap();
    assert_eq!(frame, [0x81, 0x02, b'h', b'i']);
}

#[test]
fn every_nth_fails_as_told_while_health_stays_honest() {
    let model = Predictor::start(&["--fail", "50%"]);
    let statuses: Vec<bool> = (0..4).map(|_| model.ask("GET", "/", "", "").starts_with("HTTP/1.1 500")).collect();
    assert_eq!(statuses, [false, true, false, true]);
    assert!((0..3).all(|_| model.ask("GET", "/healthz", "", "").starts_with("HTTP/1.1 200")));
}

#[test]
fn garbage_is_no_http() {
    let model = Predictor::start(&["--garbage"]);
    assert!(!model.ask("GET", "/", "", "").contains("HTTP/1.1"));
    assert!(model.ask("GET", "/healthz", "", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_was_begun_stands_in_the_log_also_after_a_crash() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut model = Predictor::start(&["--crash-after", "2", "--log", log.path().to_str().unwrap()]);
    assert!(model.ask("GET", "/", "x-request-id: one\r\n", "").starts_with("HTTP/1.1 200"));
    assert_eq!(model.ask("GET", "/", "x-request-id: two\r\n", ""), "");
    assert!(!model.process.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "one\ntwo\n");
}

#[test]
fn sigterm_lets_what_is_in_flight_finish() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut model = Predictor::start(&["--service-time", "300ms", "--log", log.path().to_str().unwrap()]);
    let mut socket = model.send("GET / HTTP/1.1\r\nhost: model\r\nx-request-id: slow\r\n\r\n");
    let deadline = Duration::from_secs(20);
    wait_until(deadline, || std::fs::read_to_string(log.path()).unwrap() == "slow\n");
    let pid = model.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(model.process.wait().unwrap().success());
}

#[test]
fn the_port_is_closed_until_it_has_started() {
    // A port that was free a moment ago; whoever takes it in between makes this fail, not pass.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut process = Command::new(env!("CARGO_BIN_EXE_rouse"))
        .args(["predictor", "--startup", "1h"])
        .env("PORT", port.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let model = Predictor { process, address: SocketAddr::from(([127, 0, 0, 1], port)) };
    assert_eq!(line, "loading for 3600s\n");
    assert!(TcpStream::connect(model.address).is_err());
}

fn wait_until(deadline: Duration, condition: impl Fn() -> bool) {
    let pause = Duration::from_millis(5);
    for _ in 0..deadline.as_millis() / pause.as_millis() {
        if condition() {
            return;
        }
        std::thread::sleep(pause);
    }
    panic!("did not happen within {deadline:?}");
}
