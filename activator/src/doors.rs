//! The listeners: the shared one, and one for each endpoint that has a port of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::{Draining, Listener};
use forward::{ByClass, LooseEnds, Server, ServerLimits};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;
use units::EndpointKey;

use crate::directory::{Directory, OwnPort};
use crate::service::Door;

/// What is served at one listener, and what is under way there.
#[derive(Clone)]
struct Doorway {
    server: Arc<Server<Door>>,
    ends: LooseEnds,
}

/// All listeners of one activator.
pub(crate) struct Doors {
    directory: Arc<Directory>,
    open: HashMap<EndpointKey, (Doorway, AbortHandle)>,
    accepting: JoinSet<()>,
    /// Doors that were closed and whose last requests still run.
    closing: JoinSet<()>,
}

impl Doors {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, open: HashMap::new(), accepting: JoinSet::new(), closing: JoinSet::new() }
    }

    /// Serves until draining begins, then finishes what is in flight within the grace.
    pub(crate) async fn run(
        mut self,
        shared: Listener,
        mut orders: mpsc::UnboundedReceiver<OwnPort>,
        draining: Draining,
    ) -> anyhow::Result<()> {
        let shared_door = self.door(None);
        let shared_accepting = self.accept(shared, &shared_door);
        loop {
            tokio::select! {
                () = draining.begun() => break,
                Some(order) = orders.recv() => match order {
                    OwnPort::Open(key, listener) => self.open(key, listener),
                    OwnPort::Close(key) => self.close(&key),
                },
                Some(_) = self.closing.join_next() => {}
                Some(_) = self.accepting.join_next() => {}
            }
        }
        let grace = self.directory.config.grace;
        shared_accepting.abort();
        let doors = self.open.drain().map(|(_, (door, accepting))| {
            accepting.abort();
            door
        });
        for door in doors.chain([shared_door]) {
            self.closing.spawn(async move { drain(&door, grace).await });
        }
        while self.closing.join_next().await.is_some() {}
        Ok(())
    }

    fn open(&mut self, key: EndpointKey, listener: Listener) {
        self.close(&key);
        let door = self.door(Some(key.clone()));
        let accepting = self.accept(listener, &door);
        self.open.insert(key, (door, accepting));
    }

    fn close(&mut self, key: &EndpointKey) {
        let Some((door, accepting)) = self.open.remove(key) else { return };
        accepting.abort();
        let grace = self.directory.config.grace;
        self.closing.spawn(async move { drain(&door, grace).await });
    }

    fn door(&self, own: Option<EndpointKey>) -> Doorway {
        let ends = LooseEnds::new();
        let service = Door { directory: Arc::clone(&self.directory), own, ends: ends.clone() };
        let server = Server::new(Arc::new(service), ServerLimits::default(), ends.clone());
        Doorway { server: Arc::new(server), ends }
    }

    fn accept(&mut self, listener: Listener, door: &Doorway) -> AbortHandle {
        let server = Arc::clone(&door.server);
        self.accepting.spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await;
                server.serve(stream, peer);
            }
        })
    }
}

async fn drain(door: &Doorway, grace: Duration) {
    door.ends.leave();
    let cut = door.ends.drain(ByClass::all(grace), |_, _| {}).await.sum();
    door.server.ended().await;
    if cut != 0 {
        warn!(cut, ?grace, "connections were still busy at the end of the grace, and were cut");
    }
}
