//! nghttp2's programs: h2load and nghttp as clients, nghttpd as a model that speaks HTTP/2 without TLS.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use peers::{Model, Server, Sidecar, Taken, foreign, succeeds, whole};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use wired::{File, Up, eventually, secs};

const UNTESTED: &str = "the tests with nghttp2's programs";

/// A model of HTTP/2 alone. It serves `file`, sends back what is uploaded, and ends with a trailer.
struct Nghttpd {
    _process: Child,
    _folder: TempDir,
    address: SocketAddr,
}

/// Its arguments, but for the port.
fn nghttpd_arguments(folder: &TempDir) -> Vec<String> {
    fs::write(folder.path().join("file"), "x".repeat(1_000)).unwrap();
    let folder = folder.path().to_str().unwrap();
    let arguments = ["--address=127.0.0.1", "--no-tls", "--echo-upload", "--trailer=x-sum: 6", "--htdocs", folder];
    arguments.map(str::to_owned).to_vec()
}

impl Nghttpd {
    async fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mut command = foreign("nghttpd", UNTESTED)?;
        // It takes no port 0. Between the two binds another may come: then it ends, and the test fails with that.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut process = command.args(nghttpd_arguments(&folder)).arg(address.port().to_string()).spawn().unwrap();
        eventually(secs(10), "nghttpd listens", async || {
            assert_eq!(process.try_wait().unwrap(), None, "nghttpd has ended");
            TcpStream::connect(address).await.map_err(|error| error.to_string())
        })
        .await;
        Some(Self { _process: process, _folder: folder, address })
    }
}

/// Runs h2load, and sees that each of so many requests was answered 200.
async fn all_answered(requests: usize, arguments: &[&str], url: &str) {
    let Some(mut command) = foreign("h2load", UNTESTED) else { return };
    command.args(["-n", &requests.to_string()]).args(arguments).arg(url);
    let said = succeeds(command).await.unwrap();
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let all = format!(
        "requests: {requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert_eq!(line("requests: "), all, "{said}");
    assert_eq!(line("status codes: "), format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
}

fn counting(request: &Taken) -> Vec<u8> {
    whole(&format!("{} bytes", request.body.len()))
}

#[tokio::test]
async fn every_stream_of_many_connections_is_answered_by_a_model_of_http1() {
    let Some(server) = Server::start("asgi.py", &[]).await else { return };
    let sidecar = Sidecar::beside(server.address(), &[]).await;
    all_answered(1_500, &["-c", "6", "-m", "32"], &sidecar.url("/")).await;
}

#[tokio::test]
async fn requests_that_are_pipelined_are_all_answered() {
    let model = Model::start(counting).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    all_answered(3_000, &["--h1", "-c", "4", "-m", "16"], &sidecar.url("/")).await;
}

#[tokio::test]
async fn uploads_on_many_streams_at_once_are_all_answered() {
    let model = Model::start(counting).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "x".repeat(200_000)).unwrap();
    all_answered(300, &["-c", "3", "-m", "20", "-d", file.path().to_str().unwrap()], &sidecar.url("/")).await;
    assert!(model.taken().iter().all(|taken| taken.body.len() == 200_000));
}

#[tokio::test]
async fn a_model_of_http2_is_spoken_to_in_http2() {
    let Some(nghttpd) = Nghttpd::start().await else { return };
    let sidecar = Sidecar::beside(nghttpd.address, &[]).await;
    // Activators come on this port, and speak as the endpoint's port says.
    let url = format!("http://{}/file", sidecar.proxied());
    all_answered(4_000, &["-c", "4", "-m", "50"], &url).await;
}

#[tokio::test]
async fn the_port_named_h2c_makes_it_http2_all_the_way() {
    let (Some(nghttpd), Some(_)) = (foreign("nghttpd", UNTESTED), foreign("h2load", UNTESTED)) else { return };
    let folder = TempDir::new().unwrap();
    let program = nghttpd.as_std().get_program().to_str().unwrap().to_owned();
    let words = [vec![program], nghttpd_arguments(&folder), vec!["$(PORT)".to_owned()]].concat();
    let model = wired::Model::command("peer", words.iter().map(String::as_str));
    let up = Up::start(&File::of(wired::Model { port_name: "h2c", ..model })).await;
    let url = format!("http://{}/file", up.shared());
    all_answered(2_000, &["-c", "4", "-m", "25"], &url).await;
    // What the client speaks is its own affair.
    all_answered(500, &["--h1", "-c", "4"], &url).await;
}

#[tokio::test]
async fn trailers_pass_from_http2_to_http2() {
    let Some(nghttpd) = Nghttpd::start().await else { return };
    let sidecar = Sidecar::beside(nghttpd.address, &[]).await;
    let Some(mut nghttp) = foreign("nghttp", UNTESTED) else { return };
    nghttp.args(["--verbose", "--null-out", "--timeout=20", &format!("http://{}/file", sidecar.proxied())]);
    let said = succeeds(nghttp).await.unwrap();
    assert!(said.contains(") :status: 200") && said.contains(") x-sum: 6"), "{said}");
}

#[tokio::test]
async fn cookies_that_come_in_crumbs_reach_a_model_of_http1_whole() {
    let model = Model::start(counting).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let Some(mut nghttp) = foreign("nghttp", UNTESTED) else { return };
    nghttp.args(["--header", "cookie: a=1", "--header", "cookie: b=2", &sidecar.url("/")]);
    succeeds(nghttp).await.unwrap();
    assert_eq!(model.only().header("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_has_ended_arrives_over_http2() {
    fn refusing(_: &Taken) -> Vec<u8> {
        b"HTTP/1.1 413 Too Much\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno\n".to_vec()
    }
    let model = Model::start(refusing).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "x".repeat(30_000_000)).unwrap();
    let Some(mut nghttp) = foreign("nghttp", UNTESTED) else { return };
    nghttp.args(["--verbose", "--timeout=20", "--data", file.path().to_str().unwrap(), &sidecar.url("/early")]);
    let said = succeeds(nghttp).await.unwrap();
    assert!(said.contains(") :status: 413"), "{said}");
    // Ended, and not broken off: RFC 9113 §8.1 has NO_ERROR for just this.
    assert!(said.contains("recv DATA frame <length=3, flags=0x01") && said.contains("NO_ERROR"), "{said}");
}
