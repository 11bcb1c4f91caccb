//! Memory does not grow with what passes through, and what a burst took goes back. `make bench-memory` has the same with
//! more, and with figures.

use loadtest::memory::{Holding, hold, raise_open_files, through_rouse_up, through_sidecar};
use wired::{queue_proxy, rouse};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_large_body_passes_through_activator_and_sidecar_without_being_kept() {
    let large = through_rouse_up(rouse(), 256 * MIB).await.unwrap();
    assert!(large.growth() < 8 * MIB, "{large}");
}

#[tokio::test]
async fn a_large_body_passes_through_a_sidecar_without_being_kept() {
    let large = through_sidecar(rouse(), queue_proxy(), 256 * MIB).await.unwrap();
    assert!(large.growth() < 8 * MIB, "{large}");
}

#[tokio::test]
async fn many_that_wait_take_about_what_they_are_charged_and_all_are_answered() {
    raise_open_files().unwrap();
    let held = hold(rouse(), Holding { requests: 700, bytes: 100 }).await.unwrap();
    assert!(held.holding - held.before < held.charged / 4 * 5, "{held}");
}

#[tokio::test]
async fn what_a_burst_took_goes_back() {
    raise_open_files().unwrap();
    let held = hold(rouse(), Holding { requests: 700, bytes: 64 << 10 }).await.unwrap();
    assert!(held.at_rest.saturating_sub(held.before) < 20 * MIB, "of 44 MiB that came: {held}");
}
