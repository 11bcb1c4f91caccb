//! `cri`: the server that a kubelet drives, and what that server starts itself as.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use cri::{Config, PodRange, Role};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A container runtime whose containers are local processes. Needs namespaces of its own: start it within
/// `unshare -rnpmf --mount-proc --kill-child`, with a tmpfs on /var/lib and /var/log.
#[derive(Parser)]
struct Args {
    /// Unix socket to listen on
    #[arg(long)]
    socket: PathBuf,
    /// Folder for mount points, and for containers/<id>.json: pod, container, pid and address of each that runs
    #[arg(long)]
    root: PathBuf,
    /// JSON: {"image": {"command": ["/program", "arg"], "env": {"K": "V"}, "folders": ["/read/only"], "startDelay": "2s",
    /// "refusePull": false}}; all but the command may be left out. Read whenever an image is asked for
    #[arg(long)]
    images: PathBuf,
    /// Where pods get their addresses
    #[arg(long)]
    pod_cidr: PodRange,
    /// The node's address, which must be on an interface already
    #[arg(long)]
    node_address: Ipv4Addr,
    /// Without a stream of events: the kubelet has to ask
    #[arg(long)]
    polling: bool,
}

fn main() -> ExitCode {
    // Before anything has a second thread: a namespace can only be entered by a process with one.
    if let Some(role) = std::env::args().nth(1).and_then(|name| Role::named(&name)) {
        return role.play();
    }
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(args: Args) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let config = Config {
        socket: args.socket,
        root: args.root,
        images: args.images,
        pod_range: args.pod_cidr,
        node_address: args.node_address,
        polling: args.polling,
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        served = cri::serve(config, stop.clone()) => served,
        _ = terminate.recv() => Ok(()),
    }
}
