//! A headless Chromium, spoken to over its own DevTools protocol: a handful of calls as JSON over one WebSocket. The
//! libraries for it bring the whole protocol along, which takes longer to build than everything else here together.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::wait::secs;

/// What the browser is called where.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser with one page. Ended when it is dropped.
pub struct Browser {
    _process: Child,
    _profile: TempDir,
    _tasks: JoinSet<()>,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    next: u64,
    /// Events that came while an answer was waited for.
    events: VecDeque<Value>,
}

/// What a page has done that it should not, or may.
#[derive(Debug, Default)]
pub struct Seen {
    /// Errors and warnings on the console, and exceptions that nobody caught.
    pub complaints: Vec<String>,
    /// Every URL that was asked for.
    pub requests: Vec<String>,
}

impl Browser {
    /// Starts one; `None` if this machine has none, which is said as `tests/run.sh` counts it.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub async fn start(width: u32, height: u32) -> Option<Self> {
        let Some(program) = NAMES.iter().find_map(|name| on_path(name)) else {
            println!(
                "\nLEFT OUT: the live page and the report in a browser: there is no chromium on the PATH (make deps installs it where apt can)"
            );
            return None;
        };
        let profile = TempDir::new().expect("a folder for the profile");
        let mut process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--remote-debugging-port=0", "--disable-background-networking", "--disable-component-update"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromium starts");
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let address = timeout(secs(60), async {
            loop {
                let line =
                    lines.next_line().await.expect("its lines are read").expect("chromium says where it listens");
                if let Some((_, address)) = line.split_once("DevTools listening on ") {
                    return address.to_owned();
                }
            }
        })
        .await
        .expect("chromium listens within a minute");
        let mut tasks = JoinSet::new();
        // Who does not read the other end of a full pipe stops it.
        tasks.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = tokio_tungstenite::connect_async(address).await.expect("chromium takes the WebSocket");
        let mut browser = Self {
            _process: process,
            _profile: profile,
            _tasks: tasks,
            socket,
            session: String::new(),
            next: 0,
            events: VecDeque::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attached).await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, json!({})).await;
        }
        Some(browser)
    }

    /// Goes to a URL.
    pub async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    /// What an expression comes to on the page, as JSON.
    ///
    /// # Panics
    /// If it throws.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Moves the mouse to a place on the page.
    pub async fn point_at(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y })).await;
    }

    /// What has happened on the page since it was asked last.
    pub async fn seen(&mut self) -> Seen {
        // Whatever was sent before this answer has come with it.
        self.eval("0").await;
        let mut seen = Seen::default();
        for event in self.events.drain(..) {
            let of = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    seen.requests.push(of["request"]["url"].as_str().unwrap_or_default().to_owned());
                }
                "Runtime.exceptionThrown" | "Log.entryAdded" => seen.complaints.push(of.to_string()),
                "Runtime.consoleAPICalled" if of["type"] == "error" || of["type"] == "warning" => {
                    seen.complaints.push(of["args"].to_string());
                }
                _ => {}
            }
        }
        seen
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).await.expect("chromium reads");
        let answered = timeout(secs(30), async {
            loop {
                let message = self.socket.next().await.expect("chromium is there").expect("chromium speaks");
                let Ok(text) = message.into_text() else { continue };
                let value: Value = serde_json::from_str(&text).expect("chromium speaks JSON");
                if value["id"] == id {
                    return value;
                }
                self.events.push_back(value);
            }
        });
        let answer = answered.await.unwrap_or_else(|_| panic!("{method} is answered within 30 s"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }
}

/// A program by its name, as a shell finds it.
#[expect(clippy::disallowed_methods, reason = "a test looks for a program as a shell does")]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").ok()?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
