use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::up::machine::Machine;

/// Long enough for a slow machine; nothing waits for it to pass but a failure.
const SOON: Duration = Duration::from_secs(20);

fn model(limit: &str) -> String {
    format!(
        "apiVersion: rouse.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{ name: m }}\n\
         spec: {{ traffic: [{{ revision: v1 }}], containerConcurrency: {limit} }}\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: v1 }}\n\
         spec: {{ template: {{ spec: {{ containers: [{{ command: [rouse, predictor] }}] }} }} }}\n"
    )
}

fn follow(file: &Path) -> Follower {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Follower::new(Source::Files(vec![file.to_owned()]), Planner::new(loopback, loopback, Machine::this())).unwrap()
}

async fn next_change(follower: &mut Follower) -> Option<Plan> {
    tokio::time::timeout(SOON, follower.change()).await.expect("the change is seen")
}

async fn next_limit(follower: &mut Follower) -> u32 {
    let plan = next_change(follower).await.expect("it has no fault");
    plan.described.endpoints[0].container_concurrency.to_field()
}

/// As most editors do: a new file takes the old one's name.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_read_again_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, model("1")).unwrap();
    let mut follower = follow(&file);
    replace(&file, &model("2"));
    assert_eq!(next_limit(&mut follower).await, 2);
    std::fs::write(&file, model("3")).unwrap();
    assert_eq!(next_limit(&mut follower).await, 3);
    replace(&file, &model("4"));
    assert_eq!(next_limit(&mut follower).await, 4);
}

#[tokio::test]
async fn a_bad_file_is_passed_over_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, model("1")).unwrap();
    let mut follower = follow(&file);
    replace(&file, &model("-1"));
    assert!(next_change(&mut follower).await.is_none());
    std::fs::remove_file(&file).unwrap();
    assert!(next_change(&mut follower).await.is_none());
    replace(&file, &model("5"));
    assert_eq!(next_limit(&mut follower).await, 5);
}

#[tokio::test]
async fn a_link_is_followed_to_the_file_that_changes() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, file) = (folder.path().join("m.yaml"), elsewhere.path().join("real.yaml"));
    std::fs::write(&file, model("1")).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let mut follower = follow(&link);
    std::fs::write(&file, model("2")).unwrap();
    assert_eq!(next_limit(&mut follower).await, 2);
}

#[tokio::test]
async fn a_link_that_is_set_anew_is_a_change() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, new_link) = (folder.path().join("m.yaml"), folder.path().join("m.new"));
    for limit in ["1", "2"] {
        std::fs::write(elsewhere.path().join(limit), model(limit)).unwrap();
    }
    std::os::unix::fs::symlink(elsewhere.path().join("1"), &link).unwrap();
    let mut follower = follow(&link);
    std::os::unix::fs::symlink(elsewhere.path().join("2"), &new_link).unwrap();
    std::fs::rename(&new_link, &link).unwrap();
    assert_eq!(next_limit(&mut follower).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_in_a_folder_that_never_rests() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, model("1")).unwrap();
    let mut follower = follow(&file);
    let (changed, changes) = mpsc::unbounded_channel();
    follower.changes = changes;
    let busy = async {
        loop {
            changed.send(()).unwrap();
            tokio::time::sleep(QUIET / 2).await;
        }
    };
    tokio::select! {
        () = follower.settled() => {}
        () = busy => {}
        () = tokio::time::sleep(2 * LONGEST_WAIT) => panic!("it goes on waiting"),
    }
}
