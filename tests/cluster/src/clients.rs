//! Clients that go on asking while something happens, and what became of each of their requests.

use http::Method;
use wired::{Client, Load, Outcome};

/// How many of each kind of clients that are not of the two usual kinds.
const OF_THE_OTHERS: usize = 2;

/// Clients of several kinds at one endpoint: those that keep their connections, those that connect anew each time, and those
/// whose answers take long.
pub struct Clients {
    loads: Vec<(&'static str, Load)>,
}

/// What was not answered 200.
#[derive(Debug, Default)]
pub struct Ended {
    /// Requests in all.
    pub asked: usize,
    /// Without an answer, or with half of one: what happened, each.
    pub lost: Vec<String>,
    /// Answered otherwise.
    pub refused: Vec<String>,
}

impl Clients {
    /// So many of each of the two usual kinds.
    pub fn start(client: &Client, of_each: usize) -> Self {
        let load = |client| Load::start(client, of_each, &Method::POST, "/");
        Self { loads: vec![("keeping", load(client)), ("connecting", load(&client.clone().connecting_anew()))] }
    }

    /// And some whose answers come in pieces, and some that talk over WebSockets.
    pub fn of_all_kinds(client: &Client, of_each: usize) -> Self {
        let mut clients = Self::start(client, of_each);
        let events = Load::start(client, OF_THE_OTHERS, &Method::GET, "/events?n=20&every=100ms");
        clients.loads.extend([("streaming", events), ("talking", Load::talking(client, OF_THE_OTHERS))]);
        clients
    }

    /// Requests begun so far, of that of the usual kinds of which there are fewer.
    pub fn begun(&self) -> u64 {
        self.loads.iter().take(2).map(|(_, load)| load.begun()).min().unwrap_or(0)
    }

    /// Begins no more, and tells what became of all.
    pub async fn end(self) -> Ended {
        let mut ended = Ended::default();
        for (kind, load) in self.loads {
            for (id, outcome) in load.end().await {
                ended.asked += 1;
                match outcome {
                    Outcome::Good => {}
                    Outcome::Bad(status, reason, _) => ended.refused.push(format!("{kind} {id}: {status} {reason}")),
                    Outcome::Lost(error) => ended.lost.push(format!("{kind} {id}: {error}")),
                }
            }
        }
        ended
    }
}

impl Ended {
    /// Every request was answered 200.
    ///
    /// # Errors
    /// The first that were not.
    pub fn all_good(&self, at_least: usize) -> anyhow::Result<()> {
        let faults = self.lost.iter().chain(&self.refused);
        let first: Vec<&String> = faults.clone().take(10).collect();
        anyhow::ensure!(first.is_empty(), "{} of {} were not answered 200: {first:#?}", faults.count(), self.asked);
        anyhow::ensure!(at_least <= self.asked, "only {} requests were asked meanwhile", self.asked);
        Ok(())
    }
}
