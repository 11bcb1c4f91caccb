//! Nothing outlives the program, and nothing that should live dies before.

use nix::sys::signal::Signal;
use serde_json::json;
use wired::{File, Model, Up, eventually, rouse, secs, throughout};

/// A server that a shell starts; `ROUSE` stands for the program and `MARK` for a number of this test.
fn shell(name: &str, script: &str, up_to_here: &str) -> Model {
    let script = script.replace("ROUSE", &rouse().display().to_string()).replace("MARK", up_to_here);
    let mut model = Model::command(name, ["sh", "-c", &script]);
    model.autoscaling = json!({ "minReplicas": 1 });
    model
}

#[tokio::test]
async fn nothing_is_left_two_seconds_after_the_program_was_killed() {
    let mark = wired::Mark::new();
    let models = vec![
        shell(
            "workers",
            "for n in 1 2 3 4; do ROUSE predictor --port 0 & done; exec ROUSE predictor --port $(PORT)",
            mark.value(),
        ),
        shell("behind-a-shell", "ROUSE predictor --port $(PORT); exit 1", mark.value()),
        // Forked twice, in a session of its own, and without the environment that it would be known by.
        shell(
            "runaway",
            "(env -i setsid sleep 1000.MARK >/dev/null 2>&1 &); exec ROUSE predictor --port $(PORT)",
            mark.value(),
        ),
    ];
    let mut up = Up::start(&File::of_all(models)).await;
    eventually(secs(40), "seven servers and the runaway run", async || {
        let (servers, runaways) = (up.mark().predictors(), mark.carriers());
        let runs_away = runaways.iter().any(|(_, line)| line.starts_with("sleep "));
        if servers.len() == 7 && runs_away { Ok(()) } else { Err(format!("{servers:?}, {runaways:?}")) }
    })
    .await;

    up.signal(Signal::SIGKILL);
    up.until_ended(secs(10)).await;
    up.until_nothing_is_left(secs(2)).await;
    assert_eq!(mark.carriers(), []);
}

/// A child can ask to die with its parent, but the kernel takes the *thread* that started it for its parent. So: let
/// threads come and go, and see who is still there. (Idle ones end after 10 s.)
#[tokio::test]
async fn who_should_live_lives_through_an_idle_stretch() {
    let mut model = Model::predictor("steady", &[]);
    model.autoscaling = json!({ "minReplicas": 2 });
    let file = File::of(model);
    let up = Up::start(&file).await;
    eventually(secs(30), "two replicas are ready", async || match up.ready("steady-v1").await {
        2 => Ok(()),
        ready => Err(format!("{ready}")),
    })
    .await;
    let there = up.mark().predictors();
    assert_eq!(there.len(), 2);
    for number in 0..20 {
        up.rewrite(&format!("{}# read again, {number}\n", file.text()));
        up.admin("/metrics").await;
    }
    throughout(secs(16), "the same two live", async || match up.mark().predictors() {
        now if now == there => Ok(()),
        now => Err(format!("{now:?}")),
    })
    .await;
    assert_eq!(up.ready("steady-v1").await, 2);
}

/// What a keeper started dies with the thread that started it. A second thread could be the one.
#[tokio::test]
async fn a_keeper_has_one_thread() {
    let mut model = Model::predictor("kept", &[]);
    model.autoscaling = json!({ "minReplicas": 2 });
    let up = Up::start(&File::of(model)).await;
    eventually(secs(30), "two replicas are ready", async || match up.ready("kept-v1").await {
        2 => Ok(()),
        ready => Err(format!("{ready}")),
    })
    .await;
    let everyone = up.mark().carriers();
    let keepers: Vec<i32> =
        everyone.iter().filter(|(_, line)| line.ends_with(" keeper")).map(|(pid, _)| *pid).collect();
    assert!(2 <= keepers.len(), "{everyone:?}");
    for keeper in keepers {
        let threads = std::fs::read_dir(format!("/proc/{keeper}/task")).unwrap().count();
        assert_eq!(threads, 1, "keeper {keeper}");
    }
}
