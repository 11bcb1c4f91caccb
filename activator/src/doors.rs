//! The listeners: the shared one, and one for each endpoint that has a port of its own; and how all of them leave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon::{Draining, Listener, Phase};
use forward::{ByClass, Class, Ended, LooseEnds, Server, ServerLimits};
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::info;
use units::EndpointKey;

use crate::directory::{Directory, OwnPort};
use crate::service::Door;

/// All listeners of one activator.
pub(crate) struct Doors {
    directory: Arc<Directory>,
    open: HashMap<EndpointKey, Doorway>,
    shared: Option<Doorway>,
    /// One task a door, until the last of its requests has ended.
    serving: JoinSet<()>,
    tell: mpsc::UnboundedSender<(Class, Ended)>,
    told: mpsc::UnboundedReceiver<(Class, Ended)>,
    /// Doors that have not told the end of a class.
    untold: ByClass<usize>,
}

/// How one listener is told to go.
struct Doorway {
    ends: LooseEnds,
    /// With how long each class is given.
    close: oneshot::Sender<ByClass<Duration>>,
}

/// Its port would answer nobody any more, and leaving would wait for it for ever.
const BROKE: &str = "the task of a port broke";

impl Doors {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (open, serving, untold) = (HashMap::new(), JoinSet::new(), ByClass::default());
        Self { directory, open, shared: None, serving, tell, told, untold }
    }

    /// Serves until draining begins, then leaves: tells the autoscalers, serves on until nobody comes any more, closes the
    /// ports, and finishes what is in flight and what is held, each class within its limit.
    ///
    /// # Errors
    /// If the task of a port broke.
    pub(crate) async fn run(
        mut self,
        shared: Listener,
        mut orders: mpsc::UnboundedReceiver<OwnPort>,
        draining: Draining,
    ) -> anyhow::Result<()> {
        self.shared = Some(self.serve(shared, None));
        self.until(draining.begun(), &mut orders).await?;

        let directory = Arc::clone(&self.directory);
        let (began, limits) = (directory.clock.now(), directory.config.drain);
        let (took, departure) = (|| directory.clock.now().since(began), &directory.metrics.departure);
        directory.leave();
        departure.enter(Phase::Quiet);
        let mut there = ByClass::<usize>::default();
        for ends in self.open.values().chain(&self.shared).map(|door| &door.ends) {
            ends.leave();
            Class::ALL.into_iter().for_each(|class| there[class] += ends.in_flight()[class]);
        }
        info!(there.unary, there.streaming, there.upgraded, "leaving");
        self.until(directory.nobody_comes(), &mut orders).await?;

        departure.was_quiet(took());
        departure.enter(Phase::Draining);
        let left = limits.map(|limit| limit.saturating_sub(took()));
        for door in self.open.drain().map(|(_, door)| door).chain(self.shared.take()) {
            // The task of a door ends only when it is told to.
            let _ = door.close.send(left);
        }
        let mut time_is_up = std::pin::pin!(tokio::time::sleep(left.unary));
        while 0 < self.untold.sum() || !self.serving.is_empty() {
            tokio::select! {
                Some((class, ended)) = self.told.recv() => if self.has_ended(class, ended) {
                    departure.class_ended(class.word(), took());
                },
                Some(ended) = self.serving.join_next(), if !self.serving.is_empty() => ended.context(BROKE)?,
                () = &mut time_is_up, if !directory.metrics.is_time_up() => directory.metrics.time_is_up(),
            }
        }
        directory.shadows.end().await;
        info!(took = ?took(), "nothing is left");
        Ok(())
    }

    /// Opens and closes doors as it is ordered, until something happens.
    async fn until(
        &mut self,
        happens: impl Future<Output = ()>,
        orders: &mut mpsc::UnboundedReceiver<OwnPort>,
    ) -> anyhow::Result<()> {
        let mut happens = std::pin::pin!(happens);
        loop {
            tokio::select! {
                () = &mut happens => return Ok(()),
                Some(order) = orders.recv() => match order {
                    OwnPort::Open(key, listener) => {
                        self.close(&key);
                        let door = self.serve(listener, Some(key.clone()));
                        self.open.insert(key, door);
                    }
                    OwnPort::Close(key) => self.close(&key),
                },
                Some((class, ended)) = self.told.recv() => { self.has_ended(class, ended); }
                Some(ended) = self.serving.join_next(), if !self.serving.is_empty() => ended.context(BROKE)?,
            }
        }
    }

    fn close(&mut self, key: &EndpointKey) {
        if let Some(door) = self.open.remove(key) {
            let _ = door.close.send(self.directory.config.drain);
        }
    }

    /// At one door. Was it the last of this class?
    fn has_ended(&mut self, class: Class, Ended { cut, .. }: Ended) -> bool {
        self.untold[class] -= 1;
        self.directory.metrics.departure.were_cut(class.word(), self.directory.config.drain[class], cut);
        self.untold[class] == 0
    }

    fn serve(&mut self, listener: Listener, own: Option<EndpointKey>) -> Doorway {
        let ends = LooseEnds::new();
        if self.directory.is_leaving() {
            ends.leave();
        }
        let service = Door { directory: Arc::clone(&self.directory), own, ends: ends.clone() };
        let server = Server::new(Arc::new(service), ServerLimits::default(), ends.clone());
        let (close, closed) = oneshot::channel();
        self.serving.spawn(keep(listener, server, ends.clone(), closed, self.tell.clone()));
        Class::ALL.into_iter().for_each(|class| self.untold[class] += 1);
        Doorway { ends, close }
    }
}

/// One door, from its first connection to its last.
async fn keep(
    listener: Listener,
    server: Server<Door>,
    ends: LooseEnds,
    mut closed: oneshot::Receiver<ByClass<Duration>>,
    tell: mpsc::UnboundedSender<(Class, Ended)>,
) {
    let limits = loop {
        tokio::select! {
            // Nothing is lost with it: a connection stays in the backlog.
            (stream, peer) = listener.accept() => server.serve(stream, peer),
            // Dropped unsent only with all doors.
            limits = &mut closed => break limits.unwrap_or_default(),
        }
    };
    // What has connected already is served: a close would reset it.
    while let Some((stream, peer)) = listener.accept().now_or_never() {
        server.serve(stream, peer);
    }
    drop(listener);
    ends.leave();
    // Who does not listen has gone, and its doors with it.
    ends.drain(limits, |class, ended| tell.send((class, ended)).unwrap_or_default()).await;
    server.ended().await;
}
