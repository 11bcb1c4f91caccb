//! Replicas come, go, are replaced, killed and drained under load, and nobody loses a request by it.

use loadtest::storm::{Plan, run};
use wired::{rouse, secs};

/// What happens is the same each time; how it meets the requests is up to the machine. `make storm` blows for a minute,
/// and another way each time.
#[tokio::test]
async fn in_a_storm_nothing_is_lost_and_nothing_is_begun_twice() {
    let report = run(rouse(), Plan { lasts: secs(12), in_flight: 256, seed: 3, keep: false }).await.unwrap();
    assert!(report.verdict.is_right(), "{report}");
    assert!(0 < report.killed(), "somebody was killed under load: {report}");
    println!("{report}");
}
