//! The commands that ask an admin port, against one that answers one thing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use assert_cmd::Command;

fn get(admin: SocketAddr, arguments: &[&str]) -> Output {
    ask(admin, &[&["get"], arguments].concat())
}

fn ask(admin: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("rouse").unwrap();
    command.args(arguments).args(["--admin", &format!("http://{admin}")]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const REVISION: &str = r#"{"namespace":"default","name":"m-v1","state":"zero","path":"proxied","mode":"stable",
"because":"zero","reason":null,"desiredReplicas":0,"readyReplicas":0,"startingReplicas":0,"newerField":[1],
"demand":{"metric":"concurrency","stable":null,"panic":null,"target":7},"settings":{},"replicas":[]}"#;

/// An admin port with one endpoint, which answers for as long as the test runs.
fn admin() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| 0 < read) {
                request.push(byte[0]);
            }
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = match path.as_str() {
                "/api/v1/endpoints" => {
                    let share = r#"[{"revision":"m-v1","percent":100,"tag":null}]"#;
                    let head =
                        r#""namespace":"default","name":"m","url":"http://127.0.0.1:8081","hosts":[],"state":"zero""#;
                    ("200 OK", format!(r#"{{"endpoints":[{{{head},"traffic":{share},"revisions":[{REVISION}]}}]}}"#))
                }
                "/api/v1/revisions/default/m-v1" => ("200 OK", REVISION.to_owned()),
                _ => ("404 Not Found", String::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    address
}

#[test]
fn endpoints_and_revisions_are_tables_without_colours_where_nobody_sees_them() {
    let admin = admin();
    let endpoints = get(admin, &[]);
    assert_eq!(text(&endpoints.stderr), "");
    assert_eq!(
        text(&endpoints.stdout),
        "NAME   URL                     STATE   READY   TRAFFIC\n\
         m      http://127.0.0.1:8081   zero    0/0     m-v1=100%\n"
    );
    for arguments in [&["revisions"][..], &["revision", "m-v1"], &["rev", "default/m-v1"]] {
        assert_eq!(
            text(&get(admin, arguments).stdout),
            "NAME   STATE   READY   STARTING   DEMAND   TARGET   MODE     PATH      BECAUSE\n\
             m-v1   zero    0/0     0          -        7        stable   proxied   zero\n",
            "{arguments:?}"
        );
    }
}

#[test]
fn as_json_it_is_what_the_admin_port_says_also_what_is_not_known_here() {
    let output = get(admin(), &["revisions", "m-v1", "-o", "json"]);
    assert!(text(&output.stdout).contains("newerField"), "{}", text(&output.stdout));
}

#[test]
fn a_name_that_nothing_has_is_told_with_the_nearest_one() {
    let output = get(admin(), &["revisions", "m-v2"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "rouse: there is no revision m-v2; the nearest one is m-v1\n");
}

#[test]
fn where_nothing_answers_it_says_what_to_do() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let output = get(free, &[]);
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("is `rouse up` running?"), "{}", text(&output.stderr));
}

#[test]
fn without_a_terminal_the_live_view_is_a_line_for_each_revision() {
    let output = ask(admin(), &["top", "--once"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "--:--:-- m-v1      -/s    - here    - held  0/0     p99 -       zero\n");
}

#[test]
fn a_live_view_of_nobody_ends_at_once() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    assert_eq!(ask(free, &["top"]).status.code(), Some(69));
}
