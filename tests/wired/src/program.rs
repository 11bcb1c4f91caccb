//! The program itself: built once, started, asked, stopped.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::file::File;
use crate::processes::Mark;
use crate::wait::eventually;

/// How long a start of the program may take on a slow and busy machine.
const START: Duration = Duration::from_secs(30);
/// How long everything that it started may take to vanish after it has ended (promised: 2 s; looked at in
/// `tests/orphans.rs`).
const VANISH: Duration = Duration::from_secs(10);

/// How long a revision that nobody asks any more may take until its last process is gone, on a slow and busy machine: its
/// window (6 s), its grace (1 s), and a round of decisions or two (2 s each) for each time that it may only be halved.
pub const LEAVING: Duration = Duration::from_secs(60);

/// The program `rouse`: `ROUSE_BIN`, or else built now, once for this process and by one process at a time.
///
/// # Panics
/// If it cannot be built.
pub fn rouse() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| given_or_built("ROUSE_BIN", "rouse"))
}

/// The program `queue-proxy`: `QUEUE_PROXY_BIN`, or else built likewise.
///
/// # Panics
/// If it cannot be built.
pub fn queue_proxy() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| given_or_built("QUEUE_PROXY_BIN", "queue-proxy"))
}

fn given_or_built(variable: &str, name: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(given) => fs::canonicalize(&given).unwrap_or_else(|error| panic!("{variable}={given:?}: {error}")),
        None => build(name),
    }
}

fn build(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/wired-0123456789abcdef
    let target = this.ancestors().nth(3).expect("a test is three folders deep");
    let lock = fs::File::create(target.join("wired.lock")).expect("the target folder can be written to");
    let _alone = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("a lock can be had");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", name, "--bin", name, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{name} could not be built:\n{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug").join(name)
}

/// Runs `rouse` to its end, in an empty folder with `file` as `models.yaml`.
///
/// # Panics
/// If it cannot be started.
pub fn run(file: &str, arguments: &[&str]) -> Output {
    let folder = TempDir::new().expect("a temporary folder can be made");
    fs::write(folder.path().join("models.yaml"), file).expect("a file can be written");
    let mut command = Command::new(rouse());
    command.args(arguments).current_dir(folder.path()).env("LOG_FORMAT", "text").stdin(Stdio::null());
    command.output().expect("rouse runs")
}

/// A running `rouse up`. When it is dropped it is killed, and nothing of it may be left.
#[derive(Debug)]
pub struct Up {
    process: Child,
    folder: TempDir,
    mark: Mark,
    shared: SocketAddr,
    admin: SocketAddr,
}

impl Up {
    /// Starts it on a file, and returns once it takes requests.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(file: &File) -> Self {
        Self::start_text(&file.text()).await
    }

    /// The same, of a file as people write it.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start_text(file: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let path = folder.path();
        fs::write(path.join("models.yaml"), file).expect("a file can be written");
        let output = fs::File::create(path.join("output")).expect("a file can be written");
        let mark = Mark::new();
        let process = Command::new(rouse())
            .args(["up", "-f", "models.yaml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--announce", "addresses.json"])
            .current_dir(path)
            .env(Mark::NAME, mark.value())
            .env("LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor can be had"))
            .stderr(output)
            .spawn()
            .expect("rouse runs");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut up = Self { process, folder, mark, shared: nowhere, admin: nowhere };
        (up.shared, up.admin) = eventually(START, "rouse up takes requests", async || {
            if let Ok(Some(status)) = up.process.try_wait() {
                panic!("rouse up ended with {status}");
            }
            announced(&up.path("addresses.json"))
        })
        .await;
        up
    }

    /// Where requests go.
    pub fn shared(&self) -> SocketAddr {
        self.shared
    }

    /// A client of one of its endpoints.
    pub fn client(&self, endpoint: &str) -> Client {
        Client::new(self.shared, endpoint)
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What all its processes have in common.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Its own process number.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a process number is small")
    }

    /// Writes its file anew, at once as editors do: the new one takes the old one's name.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn rewrite(&self, text: &str) {
        fs::write(self.path("models.new"), text).expect("a file can be written");
        fs::rename(self.path("models.new"), self.path("models.yaml")).expect("a file can be renamed");
    }

    /// All that it and its replicas have printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.path("output")).unwrap_or_default()
    }

    /// What its admin port answers.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn admin(&self, path: &str) -> Answer {
        Client::new(self.admin, "localhost").get(path).await
    }

    /// The admin port's address, as `rouse get --admin` takes it.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What its admin port answers, as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.admin(path).await;
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {}: {error}: {}", answer.status, answer.text()))
    }

    /// A revision of the namespace `default`.
    pub async fn revision(&self, name: &str) -> Value {
        self.json(&format!("/api/v1/revisions/default/{name}")).await
    }

    /// How many replicas of it are ready; none while the program is so new that it knows nothing of it.
    pub async fn ready(&self, name: &str) -> u64 {
        self.revision(name).await["readyReplicas"].as_u64().unwrap_or(0)
    }

    /// Waits until a revision is in a state and returns it.
    ///
    /// # Panics
    /// If it does not get there.
    pub async fn until_state(&self, name: &str, state: &str, within: Duration) -> Value {
        eventually(within, &format!("{name} is {state}"), async || {
            let revision = self.revision(name).await;
            if revision["state"] == state { Ok(revision) } else { Err(brief(&revision)) }
        })
        .await
    }

    /// Waits until a revision has no replica, ordered, starting, ready or leaving, and returns it.
    ///
    /// # Panics
    /// If it does not get there.
    pub async fn until_gone(&self, name: &str, within: Duration) -> Value {
        eventually(within, &format!("{name} is at zero and its processes are gone"), async || {
            let revision = self.revision(name).await;
            let gone = revision["state"] == "zero" && revision["replicas"].as_array().is_some_and(Vec::is_empty);
            if gone { Ok(revision) } else { Err(brief(&revision)) }
        })
        .await
    }

    /// Sends a signal to the program, and to nobody else.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("rouse up is alive");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn until_ended(&mut self, within: Duration) -> ExitStatus {
        let process = &mut self.process;
        eventually(within, "rouse up has ended", async || {
            process.try_wait().expect("a child can be waited for").ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    /// Waits until nobody carries its mark any more.
    ///
    /// # Panics
    /// If somebody still does, with who it is.
    pub async fn until_nothing_is_left(&self, within: Duration) {
        eventually(within, "nothing is left", async || match self.mark.carriers() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what rouse up printed, at the end:\n{}---", last(&self.path("output")));
            self.mark.sweep();
            return;
        }
        let pause = Duration::from_millis(20);
        for _ in 0..VANISH.as_millis() / pause.as_millis() {
            if self.mark.carriers().is_empty() {
                return;
            }
            std::thread::sleep(pause);
        }
        let left = self.mark.carriers();
        self.mark.sweep();
        panic!("{VANISH:?} after rouse up was killed there are still {left:?}");
    }
}

/// The addresses that a program has written down: `{"listen": "http://127.0.0.1:1", "admin": "http://127.0.0.1:2"}`.
fn announced(file: &Path) -> Result<(SocketAddr, SocketAddr), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let addresses: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    let address = |name: &str| {
        let address = addresses[name].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
        address.ok_or_else(|| format!("no address {name} in {text}"))
    };
    Ok((address("listen")?, address("admin")?))
}

/// The end of a file that may be long.
fn last(file: &Path) -> String {
    const BYTES: u64 = 16 << 10;
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    read().unwrap_or_else(|error| error.to_string())
}

/// A revision in a line.
fn brief(revision: &Value) -> String {
    let fields = ["state", "because", "reason", "desiredReplicas", "readyReplicas", "startingReplicas", "demand"];
    let fields = fields.map(|field| format!("{field}: {}", revision[field]));
    format!("{}, {} replicas", fields.join(", "), revision["replicas"].as_array().map_or(0, Vec::len))
}
