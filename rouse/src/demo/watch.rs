//! What a demonstration has seen so far, as the admin port tells it: kept for the terminal and for the report.

use std::time::Duration;

use api::admin::{Decision, DecisionList, Endpoint, EndpointList, Point, Revision, Series, Wake, WakeList};

use crate::admin::{Server, typed};

/// The revision of `model.yaml`.
const REVISION: &str = "/api/v1/revisions/default/demo-v1";

/// How often is looked.
pub(super) const EVERY: Duration = Duration::from_millis(500);

/// Everything that was seen last, and how many replicas were ready at each look.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) points: Vec<Point>,
    pub(super) decisions: Vec<Decision>,
    pub(super) wakes: Vec<Wake>,
    /// In their order.
    pub(super) ready: Vec<u32>,
}

/// Returns once the admin port tells of the revision: requests are taken a moment before the autoscaler has heard of it.
///
/// # Errors
/// If the admin port does not answer.
pub(super) async fn until_known(admin: &Server) -> anyhow::Result<()> {
    while admin.find(REVISION).await?.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Seen {
    /// Looks once more.
    ///
    /// # Errors
    /// If the admin port does not answer.
    pub(super) async fn look(&mut self, admin: &Server) -> anyhow::Result<()> {
        self.endpoints = typed::<EndpointList>(admin.get("/api/v1/endpoints").await?)?.endpoints;
        self.points = typed::<Series>(admin.get(&format!("{REVISION}/series")).await?)?.points;
        self.decisions = typed::<DecisionList>(admin.get(&format!("{REVISION}/decisions")).await?)?.decisions;
        self.wakes = typed::<WakeList>(admin.get(&format!("{REVISION}/wakes")).await?)?.wakes;
        self.ready.extend(self.revision().map(|revision| revision.ready_replicas));
        Ok(())
    }

    /// The revision as it was last.
    pub(super) fn revision(&self) -> Option<&Revision> {
        self.endpoints.first()?.revisions.first()
    }

    /// Has it gone to sleep, with no replica left?
    pub(super) fn is_asleep(&self) -> bool {
        let state = self.revision().map(|revision| (revision.state, revision.replicas.is_empty()));
        state == Some((api::admin::State::Zero, true))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_revision_that_is_not_known_yet_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = Server::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let answering = async {
            for status in ["404 Not Found", "404 Not Found", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let read = stream.read(&mut [0; 1024]).await.unwrap();
                assert_ne!(read, 0);
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let (known, ()) = tokio::join!(until_known(&admin), answering);
        known.unwrap();
    }
}
