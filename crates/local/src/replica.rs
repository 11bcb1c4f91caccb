//! One replica: one run of one process behind one queue-proxy, from the order to start until nothing is left of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use platform::Endpoint;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use units::{Moment, RevisionKey};

use crate::described::Workload;
use crate::front::{self, For, Front};
use crate::health::{self, Check};
use crate::keeper::Task;
use crate::output::{self, Tail};
use crate::port::Port;
use crate::process::{End, Heard, Process};
use crate::seams::Shared;
use crate::tree::{self, Listener};

/// Who is not ready after so long is looked at: does it listen elsewhere? Servers that read their port from nowhere
/// listen within a second; and a hint is worth more than one that comes after the first cup of coffee.
const LOOK_FIRST: Duration = Duration::from_secs(3);
/// And again, while it is not ready: a large model opens its port late.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// For ending when asked to, whatever of its grace is over; as on a cluster.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// The longest that the last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Programs that open a port on behalf of a container that they run.
const FORWARDERS: [&str; 5] = ["docker-proxy", "rootlessport", "pasta", "slirp4netns", "gvproxy"];

/// What a replica is made of.
#[derive(Debug)]
pub(crate) struct Making {
    pub(crate) number: u64,
    pub(crate) name: Arc<str>,
    pub(crate) revision: RevisionKey,
    pub(crate) workload: Arc<Workload>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Cancelled when it is to leave.
    pub(crate) leave: CancellationToken,
    pub(crate) tell: mpsc::UnboundedSender<News>,
    pub(crate) shared: Arc<Shared>,
}

/// What a fleet hears from a replica.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) number: u64,
    pub(crate) told: Told,
}

/// In this order: spawned and an address, each of which may be the first; ready and unready in turn; no address any more; at
/// most one fall; gone, always, as the last.
#[derive(Debug)]
pub(crate) enum Told {
    /// Its process runs, since then.
    Spawned(Moment),
    /// Where it is to be found; `None` when nobody is to be sent there any more.
    Address(Option<SocketAddr>),
    Ready,
    Unready,
    /// Something is wrong, and it still runs.
    Warning(String),
    /// Its process ended or never began, asked or not: the reason and the last lines.
    Fell(String),
    /// Nothing is left of it.
    Gone,
}

/// A replica while its process runs.
struct Running {
    process: Process,
    front: Front,
    tail: Tail,
    /// Ends when nobody can print any more.
    output: JoinHandle<()>,
    port: Port,
    startup: Option<Check>,
    liveness: Option<Check>,
    /// When its start was asked for.
    asked: Moment,
}

impl Making {
    /// Lives it. Never fails: what goes wrong is told.
    pub(crate) async fn live(self) {
        match self.begin().await {
            Ok(running) => self.run(running).await,
            Err(why) => self.tell(Told::Fell(why)),
        }
        self.tell(Told::Gone);
    }

    fn tell(&self, told: Told) {
        // The fleet outlives its replicas, but for a program that is ending.
        let _ = self.tell.send(News { number: self.number, told });
    }

    /// The process first: it is what somebody waits for.
    async fn begin(&self) -> Result<Running, String> {
        let port = self.shared.ports.pick().map_err(|error| error.to_string())?;
        let asked = self.shared.clock.now();
        let (process, output) =
            self.start(port.number).await.map_err(|error| format!("cannot start a keeper: {error}"))?;
        debug!(replica = %self.name, port = port.number, after = ?self.since(asked), "keeper started");
        let tail = Tail::default();
        let drain = output::drain(Arc::clone(&self.name), output, self.shared.shown.clone(), tail.clone());
        let output = self.shared.tasks.spawn(drain);
        let whom = For {
            name: &self.name,
            revision: &self.revision,
            workload: &self.workload,
            endpoint: &self.endpoint,
            shared: &self.shared,
        };
        let front = Front::before(port.number, whom)
            .map_err(|error| format!("cannot stand a queue-proxy before it: {error:#}"))?;
        let container = &self.workload.container;
        let check = |probe: &Option<api::Probe>| {
            let check = probe.as_ref().map(|probe| front::check(probe, port.number, whom)).transpose();
            check.map_err(|error| format!("{error:#}"))
        };
        let (startup, liveness) = (check(&container.startup)?, check(&container.liveness)?);
        Ok(Running { process, front, tail, output, port, startup, liveness, asked })
    }

    async fn start(&self, port: u16) -> std::io::Result<(Process, pipe::Receiver)> {
        let run = self.workload.container.invocation(port);
        let task = Task {
            program: run.program,
            args: run.args,
            env: run.env,
            working_dir: self.workload.container.working_dir.as_ref().map(Into::into),
        };
        let started = self.shared.keepers.start(task).await;
        self.shared.tasks.spawn(Arc::clone(&self.shared.keepers).replenish());
        started
    }

    async fn run(&self, mut running: Running) {
        let mut look = running.asked.plus(LOOK_FIRST);
        let (startup, liveness) = (running.startup.take(), running.liveness.take());
        let (starting, sickness) = (health::started(startup.as_ref()), health::unwell(liveness.as_ref()));
        tokio::pin!(starting, sickness);
        // Ready is who has started and whose queue-proxy says so; until it has started nobody is to know where it is.
        let (mut started, mut well) = (false, false);
        let end = loop {
            tokio::select! {
                // Each of these may be dropped and asked again.
                heard = running.process.next() => match heard {
                    Heard::Started { pid } => {
                        self.tell(Told::Spawned(self.shared.clock.now()));
                        info!(replica = %self.name, pid, port = running.port.number, "started");
                    }
                    Heard::Ended(end) => break end.to_string(),
                },
                start = &mut starting, if !started => match start {
                    Ok(()) => {
                        started = true;
                        self.tell(Told::Address(Some(running.front.address)));
                        if well {
                            self.ready(&running);
                        }
                    }
                    Err(why) => break self.condemn(&mut running, why).await,
                },
                why = &mut sickness, if started => break self.condemn(&mut running, why).await,
                is_well = running.front.readiness() => {
                    let Some(is_well) = is_well else {
                        break self.condemn(&mut running, "its queue-proxy failed".to_owned()).await;
                    };
                    if is_well && !well && let Some(thief) = self.thief(&running).await {
                        let why = format!("{thief} has taken its port {}", running.port.number);
                        break self.condemn(&mut running, why).await;
                    }
                    let was_well = std::mem::replace(&mut well, is_well);
                    match (was_well, well) {
                        (false, true) if started => self.ready(&running),
                        (true, false) if started => self.unready(),
                        (false, true) | (true, false) | (true, true) | (false, false) => {}
                    }
                }
                () = self.shared.clock.sleep_until(look), if !well => {
                    self.look(&running).await;
                    look = self.shared.clock.now().plus(LOOK_AGAIN);
                }
                () = self.leave.cancelled() => break self.part(&mut running).await.to_string(),
                () = self.shared.kill.cancelled() => break self.kill(&mut running.process).await.to_string(),
            }
        };
        let was_asked = self.leave.is_cancelled();
        // Its keeper has ended too, so nothing holds the pipe open; what is in it belongs to the last words.
        let _ = tokio::time::timeout(LAST_WORDS, &mut running.output).await;
        self.tell(Told::Fell(with_last_lines(&end, &running.tail)));
        // What waits in front is told that it was not begun, and what was begun breaks: nobody is left to finish it.
        tokio::select! {
            () = running.front.drain() => {}
            () = self.shared.kill.cancelled() => {}
        }
        if was_asked {
            info!(replica = %self.name, "gone: {end}");
        } else {
            // Who counts its falls has told this one, with what follows from it.
            debug!(replica = %self.name, "gone: {end}");
        }
    }

    fn ready(&self, running: &Running) {
        let since_start =
            Duration::from_millis(u64::try_from(self.since(running.asked).as_millis()).unwrap_or(u64::MAX));
        info!(replica = %self.name, ?since_start, "ready");
        self.tell(Told::Ready);
    }

    fn unready(&self) {
        warn!(replica = %self.name, "not ready any more");
        self.tell(Told::Unready);
    }

    /// Leaves: finishes what is in flight, asks the process to end, and makes it.
    async fn part(&self, running: &mut Running) -> End {
        info!(replica = %self.name, "leaving");
        tokio::select! {
            () = running.front.drain() => {}
            // There is nobody left to finish anything.
            end = running.process.ended() => return end,
            () = self.shared.kill.cancelled() => return self.kill(&mut running.process).await,
        }
        self.end(&mut running.process, self.workload.termination_grace).await
    }

    /// Asks it to end, and makes it after the grace.
    async fn end(&self, process: &mut Process, grace: Duration) -> End {
        process.terminate();
        tokio::select! {
            end = process.ended() => return end,
            () = tokio::time::sleep(grace) => warn!(replica = %self.name, ?grace, "did not end when asked to, killing it"),
            () = self.shared.kill.cancelled() => {}
        }
        self.kill(process).await
    }

    /// Ends one that is of no use, and says why. Nobody is sent to it any more. What it has begun is given its grace, as on a
    /// cluster, where a container's preStop is part of that. Another takes its place once it has gone: there may be no room
    /// for both.
    async fn condemn(&self, running: &mut Running, why: String) -> String {
        warn!(replica = %self.name, "{why}, ending it");
        self.tell(Told::Unready);
        self.tell(Told::Address(None));
        let (grace, condemned) = (self.workload.termination_grace, self.shared.clock.now());
        tokio::select! {
            () = running.front.drain() => {}
            // There is nobody left to finish anything.
            _ = running.process.ended() => return why,
            () = self.shared.clock.sleep_until(condemned.plus(grace)) => {}
            () = self.shared.kill.cancelled() => {}
        }
        let left = grace.saturating_sub(self.since(condemned)).max(LEAST_GRACE);
        self.end(&mut running.process, left).await;
        why
    }

    async fn kill(&self, process: &mut Process) -> End {
        process.kill();
        process.ended().await
    }

    /// Who else has taken its port, so that what answers there is not our model? A port on which we cannot say who
    /// listens is believed to be the model's: a container's is opened by another user's process.
    async fn thief(&self, running: &Running) -> Option<String> {
        let (ancestor, port) = (running.process.ancestor(), running.port.number);
        let looking = tokio::task::spawn_blocking(move || match tree::listener(ancestor, port) {
            Listener::Other(pid) => Some((pid, tree::name(pid))),
            Listener::Own | Listener::Unknown => None,
        });
        let (pid, name) = looking.await.ok()??;
        (!FORWARDERS.contains(&name.as_str())).then(|| format!("another program ({name}, process {pid})"))
    }

    /// Says so if the process listens, but elsewhere.
    async fn look(&self, running: &Running) {
        let (ancestor, port) = (running.process.ancestor(), running.port.number);
        let Ok(ports) = tokio::task::spawn_blocking(move || tree::ports(ancestor)).await else { return };
        if ports.is_empty() || ports.contains(&port) {
            return;
        }
        let elsewhere = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let words = format!("listens on {elsewhere}, not on {port}: its port is in $(PORT), and in the variable PORT");
        warn!(replica = %self.name, "{words}");
        self.tell(Told::Warning(words));
    }

    fn since(&self, earlier: Moment) -> Duration {
        self.shared.clock.now().since(earlier)
    }
}

fn with_last_lines(end: &str, tail: &Tail) -> String {
    match tail.text() {
        lines if lines.is_empty() => end.to_owned(),
        lines => format!("{end}; its last lines:\n{lines}"),
    }
}
