//! Clients that go on asking while something happens, and what became of each of their requests.

use http::Method;
use wired::{Client, Load, Outcome};

/// Two kinds of clients at one endpoint: those that keep their connections, and those that connect anew each time.
pub struct Clients {
    keeping: Load,
    connecting: Load,
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
    /// So many of each kind.
    pub fn start(client: &Client, of_each: usize) -> Self {
        Self {
            keeping: Load::start(client, of_each, &Method::POST, "/"),
            connecting: Load::start(&client.clone().connecting_anew(), of_each, &Method::POST, "/"),
        }
    }

    /// Requests begun so far, of the kind of which there are fewer.
    pub fn begun(&self) -> u64 {
        self.keeping.begun().min(self.connecting.begun())
    }

    /// Begins no more, and tells what became of all.
    pub async fn end(self) -> Ended {
        let mut ended = Ended::default();
        for (kind, load) in [("keeping", self.keeping), ("connecting", self.connecting)] {
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
