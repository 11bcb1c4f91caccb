//! Every task has an owner, and ends in the right order.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, info_span, warn};

/// A program's tasks, of two lifetimes.
///
/// Data tasks serve requests: they end by themselves once they have been told to drain. Support tasks serve the data
/// tasks (watches, reporters, the admin port) and must not end at all, which their type says; they are dropped after
/// the last data task has ended. If any task ends otherwise, everything is told to drain and the program fails.
#[derive(Debug)]
pub struct Tasks {
    data: JoinSet<(String, anyhow::Result<()>)>,
    support: JoinSet<(String, anyhow::Result<Infallible>)>,
    draining: CancellationToken,
}

/// Tells a data task that it is to drain: stop taking what is new, finish what is there, return.
#[derive(Clone, Debug)]
pub struct Draining(CancellationToken);

impl Draining {
    /// Begins when `token` is cancelled.
    pub fn when(token: CancellationToken) -> Self {
        Self(token)
    }

    /// Returns once draining has begun.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }

    /// Has it begun?
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl Tasks {
    /// No tasks yet.
    #[expect(clippy::new_without_default, reason = "a set of tasks is made on purpose")]
    pub fn new() -> Self {
        Self { data: JoinSet::new(), support: JoinSet::new(), draining: CancellationToken::new() }
    }

    /// What data tasks listen to.
    pub fn draining(&self) -> Draining {
        Draining(self.draining.clone())
    }

    /// Adds a task that serves requests.
    pub fn data(&mut self, name: &str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let name = name.to_owned();
        let span = info_span!("task", name);
        self.data.spawn(async move { (name, task.await) }.instrument(span));
    }

    /// Adds a task that must outlive the requests, and must not end by itself.
    pub fn support(&mut self, name: &str, task: impl Future<Output = anyhow::Result<Infallible>> + Send + 'static) {
        let name = name.to_owned();
        let span = info_span!("task", name);
        self.support.spawn(async move { (name, task.await) }.instrument(span));
    }

    /// Runs until `stop` resolves or a task fails; then drains the data tasks for at most `grace`, then drops the rest.
    ///
    /// # Errors
    /// If a task failed or panicked, or if data tasks were still at work when the grace ended.
    pub async fn run(mut self, stop: impl Future<Output = ()>, grace: Duration) -> anyhow::Result<()> {
        let failed = tokio::select! {
            () = stop => Ok(()),
            failure = Self::first_failure(&mut self.data, &mut self.support) => Err(failure),
        };
        self.draining.cancel();
        let draining = self.data.len();
        info!(tasks = draining, "draining");
        let drained = tokio::time::timeout(grace, async {
            while let Some(ended) = self.data.join_next().await {
                if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|(name, end)| end.context(name)) {
                    warn!(error = format!("{error:#}"), "a task failed while draining");
                }
            }
        })
        .await;
        // Support tasks are dropped with the sets, at an await of theirs.
        failed?;
        drained.map_err(|_| anyhow!("still at work after {grace:?}: {} of {draining} tasks", self.data.len()))
    }

    /// Waits for a task that ended though nobody asked it to. Data tasks may end well, if all their work is done.
    async fn first_failure(
        data: &mut JoinSet<(String, anyhow::Result<()>)>,
        support: &mut JoinSet<(String, anyhow::Result<Infallible>)>,
    ) -> anyhow::Error {
        loop {
            tokio::select! {
                Some(ended) = data.join_next() => match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((name, Err(error))) => return error.context(name),
                    Err(panic) => return panic.into(),
                },
                Some(ended) = support.join_next() => match ended {
                    Ok((name, Err(error))) => return error.context(name),
                    Err(panic) => return panic.into(),
                },
                else => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_end_before_what_serves_them() {
        let mut tasks = Tasks::new();
        let draining = tasks.draining();
        tasks.data("requests", async move {
            draining.begun().await;
            tokio::time::sleep(Duration::from_secs(7)).await;
            Ok(())
        });
        tasks.support("watch", std::future::pending());
        tasks.run(async {}, Duration::from_secs(8)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_drain_in_time_is_said() {
        let mut tasks = Tasks::new();
        tasks.data("stuck", std::future::pending());
        let error = tasks.run(async {}, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.to_string(), "still at work after 3s: 1 of 1 tasks");
    }

    #[tokio::test(start_paused = true)]
    async fn a_support_task_that_fails_ends_the_program_and_is_named() {
        let mut tasks = Tasks::new();
        tasks.support("watch", async { Err(anyhow!("the connection broke")) });
        let error = tasks.run(std::future::pending(), Duration::ZERO).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "watch: the connection broke");
    }
}
