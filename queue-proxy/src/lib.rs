//! Beside each model server: counts what is in flight, bounds it, knows when the model is ready, reports, and lets the
//! replica leave without a loss.
//!
//! ```text
//! let sidecar = QueueProxy::bind(config, clock)?;      // ports are taken; `config.listen` may have port 0
//! let ready = sidecar.readiness();                     // follows the model
//! sidecar.run(draining).await?;                        // serves until `draining`, then drains, then returns
//! ```
//!
//! One process may run many: nothing is global. In reading order: `service` (the request path), `gate` (who goes, who
//! waits, what is counted), `trust` (who is believed), `proof` (how it is believed itself), `probe` and `readiness` (the model), `autoscalers` and `report` (who is told, and what), `foreign` (who goes round us),
//! `admin`, `config`, `metrics`. The mechanics of HTTP are in `forward`, the rules of the line in `breaker`.

mod admin;
mod autoscalers;
mod config;
mod foreign;
mod gate;
mod metrics;
mod probe;
mod proof;
mod readiness;
mod report;
mod service;
mod shared;
mod trust;

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use breaker::Via;
use daemon::{Admin, Clock, Listener, Phase, register_build_info};
use forward::{Class, Ended, LooseEnds, Server, ServerLimits};
use futures_util::FutureExt as _;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

pub use breaker::Budget;
pub use config::{Asked, Config, HELP, Identity, Launch, UNLIMITED_DEPTH};
pub use foreign::Strangers;
pub use forward::ByClass;
pub use metrics::every_metric;
pub use probe::{Asker, NotReady, Probe, Question};
pub use proof::AutoscalerTrust;
pub use readiness::pause_while_starting;
pub use trust::ProxiedTls;

use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::proof::Proven;
use crate::report::Reporter;
use crate::service::Door;
use crate::shared::Shared;
use crate::trust::Trusted;

/// A sidecar whose ports are bound. See the crate's page.
#[derive(Debug)]
pub struct QueueProxy {
    config: Config,
    shared: Arc<Shared>,
    direct: Port,
    proxied: Port,
    trusted: Option<Trusted>,
    /// Whether the port for activators lets in only who has a certificate.
    guarded: bool,
    admin: Option<(Admin, Registry)>,
}

/// The longest that is waited for activators to hang up. They do when they hear that this replica leaves, and drop what is
/// idle after 4 s in any case ([`forward::KEPT_IDLE`]).
const HANG_UP: Duration = Duration::from_secs(5);

/// For the last answers of the admin port.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Port {
    listener: Listener,
    server: Server<Door>,
}

impl QueueProxy {
    /// Takes the ports. Must run inside a tokio runtime. Nothing is served before [`Self::run`].
    ///
    /// # Errors
    /// If a port cannot be had, or a certificate cannot be used.
    pub fn bind(mut config: Config, clock: Clock) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let (limit, depth, budget) = (config.container_concurrency, config.queue_depth, config.budget.clone());
        let metrics = Metrics::register(&registry, &budget)?;
        let ends = LooseEnds::new();
        let gate = Gate::new(clock, limit, depth, budget, metrics.clone(), ends.too_late().clone());
        let certified = config.proxied_tls.is_none();
        let proven = config.autoscaler_trust.take().map(|trust| Proven::new(trust, certified, &metrics)).transpose()?;
        let shared = Arc::new(Shared::new(&config, proven, Arc::new(gate), metrics, ends));
        let seen = shared.clone();
        metrics::register_live(&registry, move || seen.now())?;
        register_build_info(&registry, "queue-proxy", env!("CARGO_PKG_VERSION"))?;
        let trusted = config.proxied_tls.take().map(|tls| tls.use_them(&shared.metrics)).transpose()?;
        let direct = Port::bind(config.listen, &shared, Via::Direct).context("the port for clients (LISTEN)")?;
        let mut proxied =
            Port::bind(config.proxied_listen, &shared, Via::Activator).context("the port for activators")?;
        let of_autoscalers = shared.proven.as_ref().and_then(Proven::guard);
        let guard = trusted.as_ref().map(|trusted| &trusted.tls).or(of_autoscalers);
        if let Some(guard) = guard {
            proxied.server = proxied.server.within(guard.clone());
        }
        let guarded = guard.is_some();
        let admin = match config.admin_listen {
            None => None,
            Some(address) => Some((Admin::bind(address).context("the admin port (ADMIN_LISTEN)")?, registry)),
        };
        Ok(Self { config, shared, direct, proxied, trusted, guarded, admin })
    }

    /// Where clients connect.
    pub fn direct_addr(&self) -> SocketAddr {
        self.direct.listener.address()
    }

    /// Where activators connect.
    pub fn proxied_addr(&self) -> SocketAddr {
        self.proxied.listener.address()
    }

    /// Where people and the kubelet look, if there is such a port.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(admin, _)| admin.address())
    }

    /// Follows whether the model is ready.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.shared.readiness.follow()
    }

    /// Serves until `draining` resolves (or `/leave` is asked), then leaves:
    ///
    /// 1. Unready; activators are told that nothing was begun; direct clients are served, and asked to connect elsewhere.
    /// 2. When no new direct request has come for the quiet period, and activators have hung up (or 5 s have
    ///    passed), the ports are closed. A close of ours would meet a request that is on its way, and lose it.
    /// 3. What is in flight ends, each class within its limit of `config.drain`, counted from the first step. What has
    ///    not ended then is cut: who has no head of an answer yet gets 504, the others a close.
    ///
    /// # Errors
    /// If something that must not end did. Being cut is logged, and is no error: it is the limit at work.
    pub async fn run(self, draining: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { config, shared, direct, proxied, trusted, guarded: _, admin } = self;
        let mut support = JoinSet::new();
        let (asking, probe) = (shared.clone(), config.probe.clone());
        support.spawn(async move {
            asking.readiness.keep_asking(&probe, &asking.gate).await;
        });
        let looking = shared.clone();
        support.spawn(async move {
            let _: Infallible = looking.keep_looking().await;
        });
        if !config.autoscalers.is_empty() {
            let (waiting, reporting, identity) = (shared.clone(), shared.clone(), config.identity);
            let report = move |address, known| {
                let (shared, identity) = (reporting.clone(), identity.clone());
                Reporter { shared, identity, address, number: 0 }.run(known)
            };
            let resolve = async |name: &str| Ok(tokio::net::lookup_host(name).await?.collect());
            let follow = autoscalers::follow(config.autoscalers, resolve, report);
            support.spawn(async move {
                let told = async {
                    if let Some(proven) = &waiting.proven {
                        proven.tell_while_waiting().await;
                    }
                };
                tokio::join!(follow, told);
            });
        }
        if let Some(trusted) = trusted {
            support.spawn(async move {
                let _: Infallible = trusted.follow().await;
            });
        }
        if let Some((admin, registry)) = admin {
            let routes = admin::routes(shared.clone(), registry, config.drain, config.admin_token);
            support.spawn(async move {
                let _ = admin.serve(routes).await;
            });
        }

        tokio::select! {
            () = direct.accept() => {}
            () = proxied.accept() => {}
            () = draining => {}
            () = shared.leaving.cancelled() => {}
            Some(ended) = support.join_next() => ended.context("a task of the sidecar ended")?,
        }
        let (began, departure) = (Instant::now(), &shared.metrics.departure);
        shared.leaving.cancel();
        shared.readiness.not_going();
        shared.ends.leave();
        departure.enter(Phase::Quiet);
        let there = shared.ends.in_flight();
        info!(there.unary, there.streaming, there.upgraded, "leaving");

        tokio::select! {
            () = direct.accept() => {}
            () = proxied.accept() => {}
            () = async {
                quiet(&shared, config.quiet, config.drain.unary / 2).await;
                hung_up(&proxied.server, HANG_UP.min(config.drain.unary / 2)).await;
            } => {}
        }
        departure.was_quiet(began.elapsed());
        departure.enter(Phase::Draining);
        let (direct, proxied) = (direct.close(), proxied.close());
        shared.closed.cancel();
        let left = config.drain.map(|limit| limit.saturating_sub(began.elapsed()));
        let ended = |class: Class, Ended { took, cut }| {
            departure.were_cut(class.word(), config.drain[class], cut);
            departure.class_ended(class.word(), took);
        };
        let cut = shared.ends.drain(left, ended).await.sum();
        tokio::join!(direct.ended(), proxied.ended());
        info!(took = ?began.elapsed(), cut, "nothing is left");
        tokio::join!(told(&shared), tell_of(cut, &shared));
        Ok(())
    }
}

impl Port {
    fn bind(address: SocketAddr, shared: &Arc<Shared>, via: Via) -> anyhow::Result<Self> {
        let door = Arc::new(Door { shared: shared.clone(), via });
        let server = Server::new(door, ServerLimits::default(), shared.ends.clone());
        Ok(Self { listener: Listener::bind(address)?, server })
    }

    async fn accept(&self) {
        loop {
            let (stream, peer) = self.listener.accept().await;
            self.server.serve(stream, peer);
        }
    }

    /// Closes the port. What has connected already is served: a close would reset it.
    fn close(self) -> Server<Door> {
        let Self { listener, server } = self;
        // `accept` goes first, and is ready for as long as somebody waits.
        while let Some((stream, peer)) = listener.accept().now_or_never() {
            server.serve(stream, peer);
        }
        server
    }
}

/// Returns when no direct request has come for as long as `pause`, at most after `limit`.
async fn quiet(shared: &Shared, pause: Duration, limit: Duration) {
    let direct = || {
        let (reading, _) = shared.gate.read();
        reading.requests - reading.proxied_requests
    };
    if pause.is_zero() {
        return;
    }
    let until = sleep(limit);
    let still = async {
        let mut seen = direct();
        loop {
            sleep(pause).await;
            if std::mem::replace(&mut seen, direct()) == seen {
                return;
            }
        }
    };
    tokio::select! {
        () = until => {}
        () = still => {}
    }
}

/// Returns when activators have no connection any more, at most after `limit`.
async fn hung_up(activators: &Server<Door>, limit: Duration) {
    let gone = async {
        while 0 < activators.connections() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    // Those that stay are in use: what they carry is waited for by the drain.
    let _ = timeout(limit, gone).await;
}

/// Returns when those who wait to hear that the model may go have heard it, and soon in any case.
async fn told(shared: &Shared) {
    shared.drain_followers.close();
    if !shared.drain_followers.is_empty() {
        let _ = timeout(FAREWELL, shared.drain_followers.wait()).await;
        // Heard, it has still to be written.
        sleep(FAREWELL / 20).await;
    }
}

/// Returns when autoscalers have heard what was cut, and soon in any case: nobody reads the numbers of this process any more.
async fn tell_of(cut: usize, shared: &Shared) {
    if cut == 0 {
        return;
    }
    shared.ended.cancel();
    shared.telling.close();
    let _ = timeout(FAREWELL, shared.telling.wait()).await;
}

/// `queue-proxy leave`: asks the sidecar on this machine to leave. For its preStop hook.
///
/// # Errors
/// If it cannot be asked.
pub fn ask_to_leave(config: &Config) -> anyhow::Result<()> {
    let limit = Duration::from_secs(5);
    let mut address = config.admin_listen.context("there is no admin port")?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let context = || format!("asking {address} to leave");
    let mut stream = TcpStream::connect_timeout(&address, limit).with_context(context)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"POST /leave HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(context)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{address} answered {:?}", answer.lines().next());
    Ok(())
}

/// The whole program, once its settings are read.
///
/// # Errors
/// If a port is taken, or something that must not end did.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = daemon::Stop::on_signals()?;
    let sidecar = QueueProxy::bind(config, Clock::start())?;
    let admin = sidecar.admin_addr().map(tracing::field::display);
    trust::warn_if_open(sidecar.proxied_addr(), sidecar.guarded);
    info!(direct = %sidecar.direct_addr(), proxied = %sidecar.proxied_addr(), admin, "serving");
    stop.guard(async |asked| sidecar.run(async { asked.begun().await }).await).await
}
