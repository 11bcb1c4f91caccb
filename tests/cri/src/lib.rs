//! A container runtime whose containers are local processes, for the real kubelet.
//!
//! With it a kubelet needs no image, no cgroup and no machine of its own: inside one user namespace it starts, probes, stops
//! and restarts programs of this machine by its usual rules, each pod in a network namespace, each container in a root of its
//! own. The binary `cri` is the server; `docs` of the flags are its `--help`.
//!
//! In reading order: [`images`] says which program an image's name stands for; [`state`] is what is kept, and what the kubelet
//! is told of it; [`sandboxes`], [`containers`] and [`exec`] are the calls; [`events`] is the stream; [`forward`] leads to ports of pods; [`server`] maps calls to
//! them. [`inside`] is what the same binary does within namespaces, before it becomes a container.
//!
//! Left out: users (one id is mapped; `runAsUser` is ignored), limits, capabilities, `kubectl exec`, `attach` and
//! `port-forward` (only clients that ask over WebSockets get one), rotation of logs. Restarting the server loses its containers.

mod containers;
mod events;
mod exec;
mod forward;
mod images;
mod inside;
mod line;
mod logs;
mod network;
mod sandboxes;
mod server;
mod state;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use inside::Role;
pub use network::PodRange;

/// The kubelet's protocol, made of `proto/runtime.v1.proto`.
#[expect(missing_docs, clippy::all, clippy::missing_errors_doc, reason = "made by the compiler of protos")]
pub mod protocol {
    tonic::include_proto!("runtime.v1");
}

/// Where a server listens and works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The unix socket that the kubelet connects to. What lies there is replaced.
    pub socket: PathBuf,
    /// A folder for mount points and for one file per running container.
    pub root: PathBuf,
    /// JSON: an image's name to what it runs. Read anew whenever an image is asked for.
    pub images: PathBuf,
    /// Where pods get their addresses from.
    pub pod_range: PodRange,
    /// The node's address: where pods' packets go, and where those of the host come from.
    pub node_address: Ipv4Addr,
    /// Without a stream of events, so that the kubelet has to ask.
    pub polling: bool,
}

/// A container that runs, as its file in `<root>/containers` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The process, as it is numbered where the server runs.
    pub pid: u32,
    /// The pod's address; none if it is on the host's network.
    pub address: Option<Ipv4Addr>,
}

/// The containers that run now, in no order. One that ends while this reads may be missing or not.
///
/// # Errors
/// If the folder cannot be listed: no server has worked there.
pub fn running(root: &Path) -> anyhow::Result<Vec<Running>> {
    let folder = root.join("containers");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let files =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    Ok(files.filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok()).collect())
}

/// What all calls share.
struct Runtime {
    config: Config,
    state: Mutex<state::State>,
    images: images::Images,
    /// Filled while `state` is locked, so that the order of events is the order of changes.
    events: broadcast::Sender<protocol::ContainerEventResponse>,
    forwards: forward::Forwards,
    /// What must not end with the call that began it.
    tasks: TaskTracker,
}

/// Serves until told to stop; the containers end with it.
///
/// # Errors
/// If the folders or the socket cannot be made, or packets cannot be forwarded here.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let containers = config.root.join("containers");
    // Files of a server that was killed tell of processes that died with it.
    let _ = std::fs::remove_dir_all(&containers);
    for folder in [&containers, &config.root.join("roots")] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    network::forward_packets()?;
    let (listener, forwards) = forward::Forwards::bind().await?;
    let runtime = Arc::new(Runtime {
        forwards,
        images: images::Images::at(config.images.clone()),
        state: Mutex::default(),
        // A reader that is slower than this misses events, and has a fresh picture with the next heartbeat.
        events: broadcast::Sender::new(1_024),
        tasks: TaskTracker::new(),
        config,
    });
    let beats = async {
        if runtime.config.polling {
            std::future::pending().await
        }
        runtime.beat().await;
    };
    tokio::select! {
        served = server::serve(runtime.clone(), stop.clone()) => served,
        () = beats => Ok(()),
        () = runtime.forward_ports(listener) => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}
